"""The graph without weights: that of the package belongs to the package's weights, and notices
others.
"""

from __future__ import annotations

import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from strhub import create_model, load, save
from strhub.export import export_beside
from strhub.export.stored import StoredWeights
from strhub.inference.onnx_description import IMAGES, LOGITS, METADATA_KEY
from strhub.inference.onnx_engine import Recognizer
from strhub.inference.onnx_session import open_session
from strhub.weights import embedded_graph, embedded_weights

pytestmark = pytest.mark.numeric

TINY: dict[str, Any] = {
    "embed_dim": 32,
    "enc_num_heads": 2,
    "dec_num_heads": 4,
    "enc_depth": 2,
    "patch_size": [16, 16],
}


def outputs(graph: Path, images: torch.Tensor) -> np.ndarray[Any, Any]:
    return open_session(graph, threads=1).run([LOGITS], {IMAGES: images.numpy()})[0]


def test_the_package_s_graph_is_the_one_of_its_weights(tmp_path: Path) -> None:
    """`tools/embed_weights.py` without a checkpoint writes it anew."""
    weights = shutil.copy(embedded_weights("strhub-tiny"), tmp_path)
    written, shipped = (
        onnx.load(path, load_external_data=False)
        for path in (export_beside(weights), embedded_graph("strhub-tiny"))
    )
    assert written.graph == shipped.graph
    assert json.loads(written.metadata_props[0].value) == json.loads(
        shipped.metadata_props[0].value
    )
    assert embedded_graph("strhub-tiny").stat().st_size < 100_000
    model = load("strhub-tiny").eval()
    for batch in (1, 3, 64):
        images = (
            torch.rand(batch, 3, 32, 128, generator=torch.Generator().manual_seed(batch)) * 2 - 1
        )
        with torch.inference_mode():
            expected = model(images).numpy()
        np.testing.assert_allclose(
            outputs(embedded_graph("strhub-tiny"), images), expected, atol=1e-4
        )


@pytest.mark.parametrize("dtype", [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "decoding", [{"decode_ar": True, "refine_iters": 1}, {"decode_ar": False, "refine_iters": 2}]
)
def test_other_models_and_kinds_of_numbers(
    tmp_path: Path, dtype: torch.dtype | None, decoding: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    save(create_model("parseq-tiny", **TINY), tmp_path / "small.safetensors", dtype=dtype)
    graph = export_beside(tmp_path / "small.safetensors", **decoding)
    assert graph == tmp_path / "small.onnx"
    model = load(tmp_path / "small.safetensors", **decoding).eval()
    images = torch.rand(3, 3, 32, 128) * 2 - 1
    with torch.inference_mode():
        np.testing.assert_allclose(outputs(graph, images), model(images).numpy(), atol=1e-4)
    assert Recognizer(graph)(np.zeros((20, 60, 3), np.uint8))[0].error is None


def test_clips_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    sizes = {**TINY, "encoder": "clip", "enc_embed_dim": 64, "normalize": "clip"}
    sizes["img_size"] = [32, 128]
    save(create_model("parseq-tiny", **sizes), tmp_path / "small.safetensors", dtype=torch.float16)
    graph = export_beside(tmp_path / "small.safetensors")
    images = torch.rand(3, 3, 32, 128) * 2 - 1
    with torch.inference_mode():
        expected = load(tmp_path / "small.safetensors").eval()(images).numpy()
    np.testing.assert_allclose(outputs(graph, images), expected, atol=1e-4)


def test_other_weights_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    save(create_model("parseq-tiny", **TINY), path)
    graph = export_beside(path)
    save(create_model("parseq-tiny", **TINY), path, licence="another header")
    with pytest.raises(ValueError, match="written for other weights"):
        Recognizer(graph)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"small\.onnx"):
        Recognizer(graph)
    path.unlink()
    with pytest.raises(ValueError, match=r"small\.onnx"):
        Recognizer(graph)


def test_what_has_no_graph_that_points_at_weights(tmp_path: Path) -> None:
    save(create_model("crnn", hidden_size=16, output_channel=32), tmp_path / "crnn.safetensors")
    with pytest.raises(ValueError, match="holds crnn"):
        export_beside(tmp_path / "crnn.safetensors")
    with pytest.raises(ValueError, match=r"\.safetensors"):
        export_beside(tmp_path / "last.ckpt")
    save(create_model("parseq-tiny", **TINY), tmp_path / "small.safetensors")
    with pytest.raises(ValueError, match="opset is 5"):
        export_beside(tmp_path / "small.safetensors", opset=5)
    with pytest.raises(ValueError, match=r"a tensor of shape .* is not in"):
        StoredWeights(load("strhub-tiny").model, embedded_weights("strhub-tiny")).tensor(
            torch.zeros(3)
        )


def test_the_tool_that_embeds_weights_writes_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = Path(__file__).parents[2] / "tools" / "embed_weights.py"
    out = tmp_path / "words.safetensors"
    command = [
        str(tool),
        str(embedded_weights("strhub-tiny")),
        "--out",
        str(out),
        "--card",
        '{"data": "words"}',
    ]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(tool), run_name="__main__")
    assert capsys.readouterr().err == ""
    description = json.loads(
        onnx.load(tmp_path / "words.onnx", load_external_data=False).metadata_props[0].value
    )
    assert onnx.load(tmp_path / "words.onnx").metadata_props[0].key == METADATA_KEY
    assert description["card"] == {"data": "words"}
    assert description["weights"]["file"] == "words.safetensors"
    assert Recognizer(tmp_path / "words.onnx")("demo_images/04.png")[0].text == "CHOICE"
