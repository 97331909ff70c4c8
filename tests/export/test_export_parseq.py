"""Exported files against the models they were made from: the same numbers, the same texts, the same
early stop.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")
pytest.importorskip("onnxruntime", reason="exporting is an extra: pip install strhub[export]")

from strhub import Recognizer, create_model, load
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.data.synth import RenderedWords
from strhub.export import export, largest_difference
from strhub.inference.onnx_description import IMAGES, LOGITS
from strhub.inference.onnx_engine import Recognizer as OnnxRecognizer
from strhub.inference.onnx_session import open_session

pytestmark = pytest.mark.numeric

TINY = {
    "embed_dim": 32,
    "enc_num_heads": 2,
    "dec_num_heads": 4,
    "enc_depth": 2,
    "patch_size": [16, 16],
    "max_label_length": 9,
}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stem": {"enc_stem": [8, 8, 16, 16]},
    "stem of the embedded kind": {"enc_stem": [8, 8, 16], "patch_size": [8, 4], "embed_dim": 64},
    "deep decoder": {"dec_depth": 2},
    "CLIP's encoder": {
        "encoder": "clip",
        "enc_embed_dim": 64,
        "normalize": "clip",
        "img_size": [32, 64],
        "patch_size": [16, 16],
    },
    "CLIP's encoder with another activation": {
        "encoder": "clip",
        "enc_embed_dim": 64,
        "enc_activation": "gelu",
        "normalize": "clip",
    },
}
MODES = list(product([True, False], [0, 1, 2]))


def fresh(kind: str, **decoding: Any) -> SceneTextModel:
    """A small model whose random weights are large enough that its output depends on its input."""
    torch.manual_seed(3)
    model = create_model("parseq-tiny", **{**TINY, **KINDS[kind], **decoding}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5 if parameter.ndim > 1 else 1)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    return model


def noise(model: SceneTextModel, batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(batch)
    return torch.rand(batch, 3, *model.hparams.img_size, generator=generator) * 2 - 1


def both(
    model: SceneTextModel, path: Path, images: torch.Tensor
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with torch.inference_mode():
        expected = model(images).numpy()
    return expected, open_session(path, threads=1).run([LOGITS], {IMAGES: images.numpy()})[0]


@pytest.fixture(scope="module")
def words() -> list[Any]:
    rendered = RenderedWords(
        charset="".join(map(chr, range(33, 127))), max_length=12, seed=8, difficulty=0.2
    )
    return [rendered.render(index)[0] for index in range(300)]


@pytest.mark.parametrize(
    ("kind", "decode_ar", "refine_iters"), [(kind, *mode) for kind, mode in product(KINDS, MODES)]
)
def test_logits_are_those_of_pytorch(
    tmp_path: Path, kind: str, decode_ar: bool, refine_iters: int
) -> None:
    model = fresh(kind, decode_ar=decode_ar, refine_iters=refine_iters)
    export(model, tmp_path / "model.onnx")
    for batch in (1, 3, 64):
        expected, found = both(model, tmp_path / "model.onnx", noise(model, batch))
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "opset"), [("stem", 17), ("stem", 18), ("stem", 21), ("CLIP's encoder", 17)]
)
def test_every_opset_gives_the_same(tmp_path: Path, kind: str, opset: int) -> None:
    model = fresh(kind, refine_iters=1)
    export(model, tmp_path / "model.onnx", opset=opset)
    assert largest_difference(model, tmp_path / "model.onnx") < 1e-4


def test_reading_stops_when_every_row_has_ended(tmp_path: Path) -> None:
    model = load("strhub-tiny", decode_ar=True, refine_iters=1).eval()
    export(model, tmp_path / "model.onnx")
    rendered = RenderedWords(
        charset="abcdefghijklmnopqrstuvwxyz", max_length=12, seed=1, difficulty=0.0
    )
    recognizer = OnnxRecognizer(tmp_path / "model.onnx")
    arrays = [
        views[0] for views in recognizer.prepare([rendered.render(index)[0] for index in range(24)])
    ]
    alone = []
    for array in arrays:
        expected, found = both(model, tmp_path / "model.onnx", torch.from_numpy(array[None]))
        assert found.shape == expected.shape
        alone.append(found.shape[1])
    assert len(set(alone)) > 3  # words of different lengths take different numbers of steps
    assert min(alone) < 10
    together = both(model, tmp_path / "model.onnx", torch.from_numpy(np.stack(arrays)))[1]
    assert together.shape[1] == max(alone)


def test_max_label_length_ends_reading(tmp_path: Path) -> None:
    model = fresh("plain", decode_ar=True, refine_iters=1)
    with torch.no_grad():
        model.model.head.bias[0] = -1e4  # it never ends by itself
    export(model, tmp_path / "model.onnx")
    expected, found = both(model, tmp_path / "model.onnx", noise(model, 2))
    assert found.shape == expected.shape == (2, 10, 95)


@pytest.mark.parametrize(
    ("decode_ar", "refine_iters"),
    [
        (True, 1),
        *(pytest.param(*decoding, marks=pytest.mark.slow) for decoding in ((True, 0), (False, 2))),
    ],
)
def test_the_embedded_model_reads_the_same(
    tmp_path: Path, words: list[Any], decode_ar: bool, refine_iters: int
) -> None:
    model = load("strhub-tiny", decode_ar=decode_ar, refine_iters=refine_iters)
    export(model, tmp_path / "model.onnx")
    expected = Recognizer(model, device="cpu", batch_size=50)(words)
    found = OnnxRecognizer(tmp_path / "model.onnx", batch_size=50)(words)
    assert [reading.text for reading in found] == [reading.text for reading in expected]
    assert sum(len(reading.text) > 1 for reading in found) > 200
    for one, other in zip(found, expected, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
        assert one.character_confidences == pytest.approx(other.character_confidences, abs=1e-3)


@pytest.mark.parametrize(
    ("precision", "fraction", "size"),
    [
        ("float16", 0.99, 0.6),
        pytest.param("int8-weights", 0.97, 0.35, marks=pytest.mark.slow),
        pytest.param("int8", 0.9, 0.5, marks=pytest.mark.slow),
        pytest.param("int8-static", 0.8, 0.5, marks=pytest.mark.slow),
    ],
)
def test_smaller_numbers_read_nearly_the_same(
    tmp_path: Path, words: list[Any], precision: str, fraction: float, size: float
) -> None:
    model = load("strhub-tiny")
    export(model, tmp_path / "full.onnx")
    export(model, tmp_path / "small.onnx", precision=precision, calibration_images=words[::4])
    full, small = (
        OnnxRecognizer(tmp_path / name, batch_size=50)(words)
        for name in ("full.onnx", "small.onnx")
    )
    same = [one.text == other.text for one, other in zip(full, small, strict=True)]
    assert np.mean(same) >= fraction
    assert (tmp_path / "small.onnx").stat().st_size < size * (tmp_path / "full.onnx").stat().st_size


def test_half_precision_keeps_what_it_cannot_hold(tmp_path: Path) -> None:
    model = fresh("stem of the embedded kind")
    with torch.no_grad():
        model.model.encoder.pos_embed[0, 0, 0] = 1e6  # infinite in 16 bits
    export(model, tmp_path / "model.onnx", precision="float16")
    expected, found = both(model, tmp_path / "model.onnx", noise(model, 1))
    assert found.shape == expected.shape
    assert np.isfinite(found).all()


def test_a_fresh_process_reads_the_same(tmp_path: Path, words: list[Any]) -> None:
    export(load("strhub-tiny"), tmp_path / "model.onnx")
    words[0].save(tmp_path / "word.png")
    code = (
        "import sys; from strhub.onnx import Recognizer; "
        "print(Recognizer(sys.argv[1])(sys.argv[2])[0].text)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.onnx"), str(tmp_path / "word.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.strip() == Recognizer("strhub-tiny", device="cpu")(words[0])[0].text


def test_exporting_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = fresh("stem").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    export(model, tmp_path / "model.onnx")
    assert model.training
    assert model.model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_weights_are_kept_once_however_often_they_are_used(tmp_path: Path) -> None:
    sizes = []
    for refine_iters in (0, 3):
        export(fresh("plain", refine_iters=refine_iters), tmp_path / "model.onnx")
        sizes.append((tmp_path / "model.onnx").stat().st_size)
    assert sizes[1] - sizes[0] < 40_000  # nodes alone: the decoder's weights are 60,000 bytes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "float8"}, "no precision 'float8'"),
        ({"opset": 9}, "opset is 9"),
        ({"opset": 999}, "opset is 999"),
        ({"path": "model.bin"}, "exported as .onnx or .pt2"),
        ({"precision": "int8-static"}, "need images to calibrate on"),
        (
            {"precision": "int8-static", "calibration_images": ["missing.png"]},
            "need images to calibrate on",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / options.pop("path", "model.onnx")
    with pytest.raises(ValueError, match=message):
        export(fresh("plain"), path, **options)
    assert not list(tmp_path.iterdir())
