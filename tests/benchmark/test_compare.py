"""benchmarks/compare.py: rounds that resume, ratios within a round, and readers that fail."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

FOLDER = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture
def compare(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(FOLDER)
    yield import_module("compare")
    for name in ("compare", "peers"):
        sys.modules.pop(name, None)


@pytest.fixture
def words(tmp_path: Path) -> Path:
    folder = tmp_path / "words"
    folder.mkdir()
    for label in ("exit", "stop", "open"):
        Image.new("RGB", (60, 20), "white").save(folder / f"{label}.png")
    lines = "".join(f"{label}.png\t{label}\n" for label in ("exit", "stop", "open"))
    (folder / "labels.tsv").write_text(lines, "utf-8")
    return folder


def stand_in(calls: list[str]) -> Any:
    """A machine that gets ten times slower later on; rapidocr takes twice strhub-tiny's time."""

    def run(python: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        calls.append(asked["name"])
        if asked["name"] == "easyocr":
            return {"failed": "ModuleNotFoundError: No module named 'easyocr'"}
        assert all(Path(path).exists() for path in asked["paths"])
        slow = {"strhub-tiny": 1.0, "rapidocr": 2.0}[asked["name"]] * 10 ** (len(calls) // 4)
        texts = (
            ["EXIT", "stop", "0pen"] if asked["name"] == "rapidocr" else ["exit", "stop!", "open"]
        )
        return {"texts": texts, "alone": [slow, slow, 9 * slow], "batches": 3 * slow, "memory": 100}

    return run


def arguments(words: Path, tmp_path: Path, *more: str) -> list[str]:
    peers = ["--peer", f"easyocr={sys.executable}", "--peer", f"rapidocr={sys.executable}"]
    ours = ["--ours", "strhub-tiny", "--rounds", "2", "--state", str(tmp_path / "state.json")]
    return [str(words), *ours, *peers, *more]


def test_ratios_are_taken_within_a_round(
    compare: Any,
    words: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(compare, "run_reader", stand_in(calls))
    figures = tmp_path / "results.json"
    one = {"name": "tiny", "measured": "strhub-tiny", "alone_ms": None, "batch_ms": None}
    figures.write_text(json.dumps({"readers": [one, {"name": "ü"}]}), "utf-8")
    plot = tmp_path / "plot.png"
    compare.main(arguments(words, tmp_path, "--plot", str(plot), "--update", str(figures)))
    said = capsys.readouterr().out
    assert "3 words, medians of 2 rounds" in said
    assert "| strhub-tiny | 100.0 [" in said
    assert "| rapidocr | 66.7 [" in said
    assert "| 2.00 (2.00 to 2.00) |" in said
    assert "easyocr is left out: ModuleNotFoundError: No module named 'easyocr'" in said
    assert calls.count("easyocr") == 1
    assert calls == ["strhub-tiny", "easyocr", "rapidocr", "rapidocr", "strhub-tiny"]
    with Image.open(plot) as image:
        assert image.width > 500
    written = json.loads(figures.read_text("utf-8"))["readers"]
    assert (written[0]["alone_ms"], written[1]) == (5500.0, {"name": "ü"})


def test_what_is_done_is_not_done_again(
    compare: Any,
    words: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(compare, "run_reader", stand_in(calls))
    compare.main(arguments(words, tmp_path, "--minutes", "0"))
    assert "no round is done yet" in capsys.readouterr().out
    assert calls == []
    compare.main(arguments(words, tmp_path))
    first = capsys.readouterr().out
    calls.clear()
    compare.main(arguments(words, tmp_path))
    assert calls == []
    assert capsys.readouterr().out == first
    with pytest.raises(SystemExit, match="other words or settings"):
        compare.main(arguments(words, tmp_path, "--threads", "1"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--peer", "somebody=python"], "with a name of rapidocr, onnxtr, easyocr"),
        (["--peer", "rapidocr"], "give NAME=PYTHON"),
        (["--count", "0"], "it must be at least 1"),
        (["--letters", "26"], "it must be from 1 to 25"),
        (["--peer", "parseq, int8=python"], "with a name of rapidocr, onnxtr, easyocr"),
    ],
)
def test_wrong_options_are_said(
    compare: Any, words: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        compare.main([str(words), *more])
    assert message in capsys.readouterr().err


def test_a_fresh_process_measures_and_a_failure_has_its_reason(
    compare: Any, tmp_path: Path
) -> None:
    path = tmp_path / "word.png"
    Image.new("RGB", (60, 20), "white").save(path)
    asked = {"paths": [str(path)], "threads": 1, "batch_size": 2}
    found = compare.run_reader(sys.executable, {**asked, "name": "strhub-tiny, one look"})
    assert len(found["texts"]) == len(found["alone"]) == 1
    assert found["batches"] > 0
    assert found["memory"] > 20
    failed = compare.run_reader(sys.executable, {**asked, "name": "onnxtr"})
    assert "No module named 'onnxtr'" in failed["failed"]


def test_fresh_weights_read_so_many_letters(
    compare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from strhub.checkpoint.zoo import create_model

    peers, sizes = import_module("peers"), {"enc_depth": 1, "enc_num_heads": 2, "dec_num_heads": 2}

    def small(name: str) -> Any:
        return create_model(name, embed_dim=64, **sizes)

    torch.manual_seed(0)
    for letters in (25, 6, 1):
        made = small("parseq-tiny").eval()
        peers.settle(made.model.state_dict(), letters)
        with torch.inference_mode():
            logits = made(torch.rand(3, 3, 32, 128))
        assert logits.shape[1] == letters + 1
        texts, probabilities = made.tokenizer.decode(logits.softmax(-1))
        assert {len(text) for text in texts} == {letters}
        assert min(float(one.min()) for one in probabilities) > 0.9
    monkeypatch.setattr("strhub.checkpoint.zoo.create_model", small)
    path = tmp_path / "word.png"
    Image.new("RGB", (60, 20), "white").save(path)
    threads = torch.get_num_threads()
    for name, length in (("parseq-tiny, bfloat16", 6), ("parseq-tiny, encoder", 0)):
        found = peers.measure(name, [str(path)], threads=threads, batch_size=1, letters=6)
        assert [len(text) for text in found["texts"]] == [length]


def test_rapidocr_is_given_blue_first_and_no_word_is_empty(
    compare: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    class Engine:
        def __init__(self, params: dict[str, int]) -> None:
            assert list(params.values()) == [1]

        def __call__(self, image: Any, **options: bool) -> Any:
            assert options == {"use_det": False, "use_cls": False, "use_rec": True}
            text = str(image[0, 0].tolist())
            return types.SimpleNamespace(txts=(text,) if image.any() else None)

    monkeypatch.setattr("logging.disable", lambda level: None)  # this process has other tests
    module = types.ModuleType("rapidocr")
    module.RapidOCR = Engine  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rapidocr", module)
    red = np.zeros((2, 2, 3), dtype=np.uint8)
    read = import_module("peers").rapidocr(1)
    empty = red.copy()
    red[..., 0] = 255
    assert read([red, empty]) == ["[0, 0, 255]", ""]
