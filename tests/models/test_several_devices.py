"""Every architecture trains on two devices: no parameter is left without a gradient, and gradients
are the mean.

Two processes on this machine, joined by gloo, one run for all architectures.
"""

from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from device_process import compare_devices
from tiny_models import TRAININGS, Training

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What both processes found, by training: see `compare_devices`."""
    folder = tmp_path_factory.mktemp("devices")
    mp.start_processes(compare_devices, args=(str(folder),), nprocs=2, start_method="spawn")
    found: dict[str, Any] = torch.load(folder / "found.pt", weights_only=True)
    return found


@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_gradients_are_those_of_one_device_with_all_words(
    found: dict[str, Any], training: Training
) -> None:
    result = found[str(training)]
    assert result["error"] == ""
    for name, (here, there, together) in result["gradients"].items():
        assert torch.equal(here, there), f"{name}: the devices would go apart"
        allowed = 1e-3 * together.abs() + 1e-4 * together.abs().max() + 1e-7
        assert ((here - together).abs() <= allowed).all(), name
    assert any(bool(together.any()) for _, _, together in result["gradients"].values())


@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_several_steps_go_without_a_search_for_unused_parameters(
    found: dict[str, Any], training: Training
) -> None:
    """With norms that take the statistics of their own device's words, as in training."""
    losses = found[str(training)]["losses"]
    assert len(losses) == 3
    assert all(torch.tensor(losses).isfinite())


def test_a_parameter_without_a_gradient_would_be_found(found: dict[str, Any]) -> None:
    assert "Expected to have finished reduction" in found["unused"]["error"]
