"""Files for OpenVINO: by itself where it is installed, else what is said without it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")

from strhub import load
from strhub.cli import export as command
from strhub.errors import MissingExtra
from strhub.export.openvino import largest_difference_of_openvino, write_openvino


def test_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match=r"writing for OpenVINO needs: .*\[openvino\]"):
        command.run(["strhub-tiny", str(tmp_path / "words.xml")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["words.xml", "--precision", "int8"], "float32 or float16, not int8"),
        (["words.xml", "--opset", "18"], "a model for OpenVINO has none"),
        (["words.xml", "--layout", "rapidocr"], r"is for \.onnx files"),
    ],
)
def test_what_it_has_not(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        command.run(["strhub-tiny", *arguments])


class Written:
    """What a stand-in of OpenVINO makes of a graph."""

    def __init__(self, graph: Path) -> None:
        self.graph, self.reported = graph.read_bytes(), ""

    def set_rt_info(self, value: str, path: list[str]) -> None:
        assert path == ["strhub"]
        self.reported = value


def test_both_files_come_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(model: Written, path: Path, compress_to_fp16: bool) -> None:
        path.write_text(model.reported, "utf-8")
        if compress_to_fp16:
            raise OSError(28, "No space left on device")
        path.with_suffix(".bin").write_bytes(model.graph)

    fake = SimpleNamespace(Core=lambda: SimpleNamespace(read_model=Written), save_model=save)
    monkeypatch.setitem(sys.modules, "openvino", fake)
    model = load("strhub-tiny")
    write_openvino(model, tmp_path / "deep" / "words.xml", card={"licence": "MIT"})
    reported = json.loads((tmp_path / "deep" / "words.xml").read_text("utf-8"))
    assert reported["charset"] == model.tokenizer.charset
    assert reported["card"] == {"licence": "MIT"}
    with pytest.raises(ValueError, match="cannot be written: No space left"):
        write_openvino(model, tmp_path / "full" / "words.xml", precision="float16")
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        "words.xml",
        "words.bin",
    }
    assert not list((tmp_path / "full").iterdir())


@pytest.mark.parametrize(
    ("name", "options"),
    [("strhub-small", {}), ("strhub-tiny", {}), ("strhub-tiny", {"decode_ar": False})],
)
def test_openvino_itself_gives_pytorchs_logits(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    openvino = pytest.importorskip("openvino")
    model = load(name, **options)
    write_openvino(model, tmp_path / "words.xml")
    assert largest_difference_of_openvino(model, tmp_path / "words.xml") < 1e-3
    reported = openvino.Core().read_model(tmp_path / "words.xml").get_rt_info(["strhub"])
    assert json.loads(reported.astype(str))["charset"] == model.tokenizer.charset
