"""Architectures that PyTorch's own exporter takes, TRBA whose decoder is written by hand, and
archives.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")
pytest.importorskip("onnxruntime", reason="exporting is an extra: pip install strhub[export]")
pytest.importorskip("onnxscript", reason="exporting is an extra: pip install strhub[export]")

import onnx
from onnx import TensorProto, helper
from tiny_models import CLIP_PARSEQ

from strhub import create_model
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.export import archive, export, trba
from strhub.export.archive import DESCRIPTION, largest_difference_of_archive
from strhub.export.checking import soft_noise
from strhub.export.generic import trace
from strhub.export.graph import Graph
from strhub.inference.archive_file import read_program
from strhub.inference.onnx_description import IMAGES, LOGITS
from strhub.inference.onnx_engine import Recognizer
from strhub.inference.onnx_session import open_session

pytestmark = pytest.mark.numeric

SMALL: dict[str, dict[str, Any]] = {
    "abinet": {},
    "crnn": {"hidden_size": 16, "output_channel": 32},
    "svtr-tiny": {},
    "trba": {"hidden_size": 16, "output_channel": 32, "localization_channel": 32},
    "trbc": {"hidden_size": 16, "output_channel": 32, "localization_channel": 32},
    "vitstr": {"embed_dim": 32, "num_heads": 2, "depth": 1},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_other_architectures(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, **SMALL[name]).eval()
    export(model, tmp_path / "model.onnx")
    for batch in (1, 3, 64):
        same_logits_and_texts(model, tmp_path / "model.onnx", batch)
    recognizer = Recognizer(tmp_path / "model.onnx")
    assert recognizer.description["tokenizer"] == model.model.tokenizer
    inputs = [np.zeros(size, dtype=np.uint8) for size in ((8, 8), (32, 100), (8, 8), (20, 300))]
    assert [reading.error for reading in recognizer(inputs)] == [None] * 4


def same_logits_and_texts(
    model: SceneTextModel, path: Path, batch: int, atol: float = 1e-3
) -> None:
    """Logits to 1e-3 and the same texts as PyTorch's, on images of clouds."""
    images = soft_noise(batch, (model.hparams.img_size[0], min(model.hparams.img_size[1], 256)))
    with torch.inference_mode():
        expected = model(images).numpy()
    found = open_session(path, threads=1).run([LOGITS], {IMAGES: images.numpy()})[0]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=atol)
    assert model.tokenizer.decode(found)[0] == model.tokenizer.decode(expected)[0]


def lively_trba() -> SceneTextModel:
    """A small TRBA whose texts differ, and end at different steps."""
    torch.manual_seed(0)
    model = create_model("trba", **SMALL["trba"], charset_train="abc", max_label_length=9).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Not where the image is straightened: larger weights there only make more of the
            # rounding.
            parameter.mul_(2 if parameter.ndim > 1 and "Transformation" not in name else 1)
        model.model.Prediction.char_embeddings.weight.normal_()
        model.model.Prediction.generator.weight.mul_(4)
        model.model.Prediction.generator.bias[0] = 1
    return model


def test_the_loop_of_trba(tmp_path: Path) -> None:
    """The decoder alone, on columns of its own: what comes before is PyTorch's own export, a slow
    test.
    """
    model = lively_trba()
    network: Any = model.model
    graph = Graph(20)
    logits = trba.step_by_step(graph, network.Prediction, network.max_label_length + 1)
    columns = helper.make_tensor_value_info(trba.COLUMNS, TensorProto.FLOAT, ["batch", "width", 16])
    output = helper.make_tensor_value_info(logits, TensorProto.FLOAT, ["batch", "length", 6])
    whole = helper.make_graph(graph.nodes, "trba", [columns], [output], graph.initializers)
    onnx.save(
        helper.make_model(whole, opset_imports=[helper.make_opsetid("", 20)], ir_version=9),
        tmp_path / "a.onnx",
    )
    session: Any = open_session(tmp_path / "a.onnx", threads=1)
    lengths = set()
    for batch in (1, 1, 1, 1, 3, 64):
        values = torch.randn(batch, 33, 16) * 3
        with torch.inference_mode():
            expected = network.Prediction(values, 10, stop_early=True).numpy()
        found = session.run([logits], {trba.COLUMNS: values.numpy()})[0]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-4)
        lengths.add(found.shape[1])
    assert len(lengths) > 1


@pytest.mark.slow
def test_trba_reads_as_pytorch_does(tmp_path: Path) -> None:
    model = lively_trba()
    export(model, tmp_path / "model.onnx")
    for batch in (1, 3, 64):
        same_logits_and_texts(model, tmp_path / "model.onnx", batch)
    with torch.inference_mode():
        texts = model.tokenizer.decode(model(soft_noise(64, (32, 128))))[0]
    assert len(set(texts)) > 3


CLIP = {**CLIP_PARSEQ, "max_label_length": 5}


class Another(torch.nn.Module):
    """An encoder that the export does not know."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.encoder(images)


def with_another_encoder() -> SceneTextModel:
    torch.manual_seed(0)
    model = create_model("parseq", **CLIP).eval()
    model.model.encoder = Another(model.model.encoder)
    return model


@pytest.mark.slow
def test_parseq_with_an_encoder_that_is_traced(tmp_path: Path) -> None:
    model = with_another_encoder()
    export(model, tmp_path / "model.onnx")
    for batch in (1, 3, 64):
        same_logits_and_texts(model, tmp_path / "model.onnx", batch)


ARCHIVES: dict[str, dict[str, Any]] = {
    "parseq-tiny": {
        "embed_dim": 32,
        "enc_num_heads": 2,
        "dec_num_heads": 4,
        "enc_depth": 1,
        "patch_size": [16, 16],
    },
    "trba": SMALL["trba"],
    "crnn": SMALL["crnn"],
    "svtr-tiny": {},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHIVES)
def test_archives(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = create_model(name, **ARCHIVES[name], max_label_length=5).eval()
    write(model, tmp_path / "model.pt2")


def write(model: SceneTextModel, path: Path) -> None:
    export(model, path, card={"data": "none"})
    assert largest_difference_of_archive(model, path) < 1e-4
    extra = {DESCRIPTION: ""}
    program = torch.export.load(path, extra_files=extra)
    images = soft_noise(2, model.hparams["img_size"])
    with torch.no_grad():
        expected = program.module()(images)
        torch.testing.assert_close(read_program(path)(images), expected, atol=1e-5, rtol=0)
    assert json.loads(extra[DESCRIPTION])["card"] == {"data": "none"}
    assert json.loads(extra[DESCRIPTION])["charset"] == model.tokenizer.charset


def test_archives_are_in_float32(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="written in float32, not int8"):
        export(create_model("crnn", **SMALL["crnn"]), tmp_path / "model.pt2", precision="int8")


class Attending(torch.nn.Module):
    """Attention in three dimensions, at any width."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = images.mean(2).transpose(1, 2)  # (B, W, 3)
        mask = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril()
        return torch.nn.functional.scaled_dot_product_attention(
            tokens, tokens, tokens, attn_mask=mask
        )


class Wilful(torch.nn.Module):
    """A network whose course depends on what it sees."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images if images.sum() > 0 else images + 1


@pytest.mark.slow
def test_attention_of_three_dimensions_and_any_width(tmp_path: Path) -> None:
    onnx.save(trace(Attending(), (8, 64), any_width=True, opset=20), tmp_path / "model.onnx")
    session: Any = open_session(tmp_path / "model.onnx")
    for batch, width in ((1, 16), (5, 64)):
        images = torch.rand(batch, 3, 8, width)
        torch.testing.assert_close(
            torch.from_numpy(session.run([LOGITS], {IMAGES: images.numpy()})[0]),
            Attending()(images),
        )


class Unknown(torch.nn.Module):
    """An operator that ONNX has nothing for."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.special.airy_ai(images.mean(2).transpose(1, 2))


def test_an_operator_that_onnx_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"cannot write this network as ONNX.*airy_ai"):
        trace(Unknown(), (8, 64), any_width=False, opset=20)


def test_a_course_that_depends_on_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot export this network"):
        trace(Wilful(), (8, 64), any_width=False, opset=20)


def test_what_is_traced_needs_a_higher_opset(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it must be 18 to"):
        export(with_another_encoder(), tmp_path / "model.onnx", opset=17)


def test_an_archive_on_a_full_disk_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch, if it wrote the file itself, would end the process."""
    resource: Any = pytest.importorskip(
        "resource", reason="this system cannot limit the size of files"
    )
    monkeypatch.setattr(archive, "exported_program", lambda *_, **__: None)
    monkeypatch.setattr(
        torch.export, "save", lambda _, file, extra_files: file.write(bytes(20_000))
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9_999, limits[1]))
    try:
        with pytest.raises(ValueError, match=r"model\.pt2 cannot be written: File too large"):
            archive.write_archive(create_model("crnn", **SMALL["crnn"]), {}, tmp_path / "model.pt2")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())
