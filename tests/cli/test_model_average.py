"""Several models' weights averaged."""

import argparse
from pathlib import Path

import pytest
import torch

from strhub import load
from strhub.checkpoint.zoo import save_model
from strhub.cli.model_commands.average import averaged, part
from strhub.errors import ConfigError


def test_the_mean_by_fractions(tmp_path: Path) -> None:
    other = load("strhub-small")
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    save_model(other, tmp_path / "zero.safetensors", {}, torch.float32)
    mean = averaged([(3.0, "strhub-small"), (1.0, str(tmp_path / "zero.safetensors"))])
    own = load("strhub-small").state_dict()
    for name, tensor in mean.state_dict().items():
        torch.testing.assert_close(tensor, 0.75 * own[name])


def test_models_that_do_not_fit_together() -> None:
    with pytest.raises(ConfigError, match="strhub-tiny has other parameters"):
        averaged([(1.0, "strhub-small"), (1.0, "strhub-tiny")])


@pytest.mark.parametrize("text", ["strhub-small", "0:strhub-small", "nan:a", "x:a", "0.5:"])
def test_a_part_that_says_no_fraction(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"0\.7:last\.ckpt"):
        part(text)
