"""The published recognizer by name: where it is found, what it reads, what is said where it is not
there.
"""

from __future__ import annotations

import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

pytest.importorskip(
    "onnx", reason="reading the published file is an extra: pip install strhub[export]"
)

from published_graph import write_published
from small_runs import Compose

from strhub import CheckpointError, Recognizer, load
from strhub.checkpoint.zoo import locate, model_card
from strhub.text import CHARSET_94
from strhub.training.run import model_from_config
from strhub.weights import PUBLISHED_FILE, is_published

# Unicode composes the sign of Ohm, the last but one, to the last
OTHERS = "äß中文字あア한жя\u2126Ω"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "PP-OCRv6_rec_small.onnx"
    write_published(path, CHARSET_94 + OTHERS)
    return path


def test_by_file_wheel_and_installed_package(
    graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / "rapidocr-3.10.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(graph, PUBLISHED_FILE)
    installed = tmp_path / "site"
    (installed / PUBLISHED_FILE).parent.mkdir(parents=True)
    (installed / "rapidocr" / "__init__.py").write_text("raise RuntimeError('it is not imported')")
    (installed / PUBLISHED_FILE).write_bytes(graph.read_bytes())
    expected = load(graph).state_dict()
    for source in (f"ppocrv6-small@{graph}", wheel, f"pretrained=ppocrv6-small@{wheel}"):
        assert torch.equal(load(source).model.head.weight, expected["model.head.weight"]), source
    monkeypatch.syspath_prepend(installed)
    model = load("ppocrv6-small")
    assert torch.equal(model.model.head.weight, expected["model.head.weight"])
    assert model.hparams["charset_train"] == f"{CHARSET_94} "
    assert (model.hparams["name"], model.hparams["keep_aspect"]) == ("ppocrv6-small", True)
    assert len(load("strhub-small-multi").hparams["charset_train"]) == len(
        CHARSET_94 + OTHERS
    )  # with a space, and one omega
    assert locate("ppocrv6-small") == installed / PUBLISHED_FILE
    assert locate(f"ppocrv6-small@{wheel}") == wheel
    assert model_card("ppocrv6-small")["licence"] == "Apache-2.0"


def test_it_reads_and_a_choice_of_characters_can_be_made(graph: Path, tmp_path: Path) -> None:
    for model in (f"ppocrv6-small@{graph}", graph, str(graph)):
        assert Recognizer(model, device="cpu")(Image.new("RGB", (90, 30)))[0].error is None
    few = load(f"strhub-small-multi@{graph}", charset_train="abcß中")
    assert few.model.head.out_features == 6
    with pytest.raises(CheckpointError, match="cannot read €"):
        load(graph, charset_train="a€")


def test_its_encoder_can_be_parseqs(graph: Path, compose_main: Compose) -> None:
    options = ("model.encoder=ppocrv6_small", f"pretrained_encoder='ppocrv6-small@{graph}'")
    system: Any = model_from_config(compose_main(*options))
    system.load_initial_weights()
    expected = load(graph).model.encoder.state_dict()["stem.conv1.weight"]
    assert torch.equal(system.model.encoder.backbone.stem.conv1.weight, expected)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strhub.checkpoint.published.find_spec", lambda name: None)
    with pytest.raises(
        CheckpointError,
        match=r"pip install --no-deps rapidocr, or name its wheel.*ppocrv6-small@<path>",
    ):
        load("ppocrv6-small")
    with pytest.raises(CheckpointError, match=r"there is no file .*gone\.onnx"):
        load(f"ppocrv6-small@{tmp_path / 'gone.onnx'}")
    (tmp_path / "rapidocr-0.whl").write_bytes(b"no wheel")
    with pytest.raises(CheckpointError, match="is not a wheel with rapidocr/models"):
        load(tmp_path / "rapidocr-0.whl")
    (tmp_path / "x.onnx").write_bytes(b"no graph")
    with pytest.raises(CheckpointError, match=r"x\.onnx is not"):
        load(f"ppocrv6-small@{tmp_path / 'x.onnx'}")
    with pytest.raises(ValueError, match="Did you mean 'ppocrv6-small'"):
        load("ppocrv6-smal")


def test_other_names_are_no_published_model() -> None:
    assert not any(
        map(
            is_published,
            ("strhub-small", "a/b@c.onnx", "model.onnx", "hf://a/b@main/x.safetensors"),
        )
    )


@pytest.mark.skipif(find_spec("rapidocr") is None, reason="rapidocr is not installed")
def test_the_real_one_reads_words() -> None:
    readings = Recognizer("ppocrv6-small", device="cpu")("demo_images/01.png")
    assert readings[0].text == "clock"
