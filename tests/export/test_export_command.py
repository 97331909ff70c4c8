"""`export.py`: one line for one file, and clear words for what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")
pytest.importorskip("onnxruntime", reason="exporting is an extra: pip install strhub[export]")

from strhub import load
from strhub.checkpoint.zoo import model_card
from strhub.cli import export as command
from strhub.inference.onnx_engine import Recognizer
from strhub.weights import embedded_graph


def test_a_model_with_options(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "model.onnx"
    line = command.run(
        ["strhub-tiny", str(path), "decode_ar:bool=false", "refine_iters:int=2", "--opset", "18"]
    )
    assert "float32, opset 18; logits within" in line
    assert float(line.split("within ")[1].split()[0]) < 1e-4
    description = Recognizer(path).description
    prior = load("strhub-tiny").model.word_prior
    assert description["decoding"] == {"decode_ar": False, "refine_iters": 2, "word_prior": prior}
    assert description["card"] == model_card("strhub-tiny")
    assert [item.name for item in path.parent.iterdir()] == ["model.onnx"]


def test_weights_of_whatever_file(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "model.safetensors"
    line = command.run(["strhub-tiny", str(target), "refine_iters:int=2", "--precision", "float16"])
    assert line.endswith("MiB, float16, 94 characters")
    model = load(target)
    assert model.hparams["refine_iters"] == 2
    assert model_card(target) == model_card("strhub-tiny")
    expected = load("strhub-tiny").model.state_dict()
    assert all(
        (model.model.state_dict()[name] == tensor.half()).all() for name, tensor in expected.items()
    )


def test_precision(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert "float16" in command.run(["--precision", "float16", "strhub-tiny", str(path)])
    assert Recognizer(path).description["precision"] == "float16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["strhub-tiny", "model.txt"], "exported as .onnx or .pt2"),
        (["strhub-tini", "model.onnx"], "strhub-tiny"),
        (["strhub-tiny", "model.onnx", "refine_itres:int=2"], "refine_iters"),
        (["strhub-tiny", "model.onnx", "--opset", "5"], "opset is 5"),
        (["strhub-tiny", "model.onnx", "--precision", "int1"], "int1"),
        (["strhub-tiny", "model.onnx", "--calibrate", "words"], "is for --precision int8-static"),
        (
            [
                "strhub-tiny",
                "model.onnx",
                "--calibrate",
                "words",
                "decode_a:bool=false",
                "--precision",
                "int8-static",
            ],
            "has no option 'decode_a'",
        ),
        (["strhub-tiny", "model.pt2", "--opset", "18"], "is for .onnx files"),
        (["strhub-tiny", "model.safetensors", "--opset", "18"], "a file of weights has none"),
        (
            ["strhub-tiny", "model.safetensors", "--precision", "int8"],
            "in float32 or float16, not int8",
        ),
        ([str(embedded_graph("strhub-tiny")), "model.onnx"], "is an exported model"),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["export.py", *arguments])
    with pytest.raises(SystemExit, match=message) as stop:
        command.main()
    assert str(stop.value).startswith("export.py: ")
    assert not list(tmp_path.iterdir())


def test_a_missing_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.run(["strhub-tiny"])
    assert "a model and the file to write" in capsys.readouterr().err
