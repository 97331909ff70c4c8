"""Architectures that PyTorch's own exporter takes, and the one that is not exported yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")
pytest.importorskip("onnxruntime", reason="exporting is an extra: pip install strhub[export]")
pytest.importorskip("onnxscript", reason="exporting is an extra: pip install strhub[export]")

from strhub import create_model
from strhub.export import export, largest_difference
from strhub.export.generic import trace
from strhub.onnx import IMAGES, LOGITS, Recognizer, open_session

SMALL: dict[str, dict[str, Any]] = {
    "abinet": {},
    "crnn": {"hidden_size": 16, "output_channel": 32},
    "svtr-tiny": {},
    "trbc": {"hidden_size": 16, "output_channel": 32},
    "vitstr": {"embed_dim": 32, "num_heads": 2, "depth": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_other_architectures(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, **SMALL[name]).eval()
    export(model, tmp_path / "model.onnx")
    assert largest_difference(model, tmp_path / "model.onnx") < 1e-3
    recognizer = Recognizer(tmp_path / "model.onnx")
    assert recognizer.description["tokenizer"] == model.model.tokenizer
    pictures = [np.zeros(size, dtype=np.uint8) for size in ((8, 8), (32, 100), (8, 8), (20, 300))]
    assert [reading.error for reading in recognizer(pictures)] == [None] * 4


def test_a_loop_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="trba cannot be exported"):
        export(create_model("trba"), tmp_path / "model.onnx")


class Attending(torch.nn.Module):
    """Attention in three dimensions, at any width."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = images.mean(2).transpose(1, 2)  # (B, W, 3)
        mask = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
        return torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens, attn_mask=mask)


class Wilful(torch.nn.Module):
    """A network whose course depends on what it sees."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if images.sum() > 0 else images + 1


def test_attention_of_three_dimensions_and_any_width(tmp_path: Path) -> None:
    import onnx

    onnx.save(trace(Attending(), (8, 64), any_width=True, opset=20), tmp_path / "model.onnx")
    session: Any = open_session(tmp_path / "model.onnx")
    for batch, width in ((1, 16), (5, 64)):
        images = torch.rand(batch, 3, 8, width)
        torch.testing.assert_close(
            torch.from_numpy(session.run([LOGITS], {IMAGES: images.numpy()})[0]), Attending()(images)
        )


def test_a_course_that_depends_on_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot export this network"):
        trace(Wilful(), (8, 64), any_width=False, opset=20)
