"""How far a long command has come: on terminals, after two seconds, and nowhere else."""

from __future__ import annotations

import io
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from strhub.checkpoint import download
from strhub.cli.data import run as run_data
from strhub.cli.model_words import rendered_words, stored_words
from strhub.data.sources.lmdb import write_lmdb
from strhub.utils import progress as module

CLEAR = "\r\x1b[K"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a terminal, before which every look at the clock takes a second."""
    now = iter(range(10**6))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    terminal = Terminal()
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=terminal))
    return terminal


def test_a_line_of_progress_is_for_terminals() -> None:
    screen, pipe = Terminal(), io.StringIO()
    for stream in (screen, pipe):
        line = module.ProgressLine(stream=stream)
        line.clear()
        line.count(1, 3, "images")
        line.count(2, 3, "images")  # too soon after the one before
        line.count(3, 3, "images")
        line.clear()
    assert pipe.getvalue() == ""
    assert screen.getvalue().count(CLEAR) == 3
    assert "1 of 3 images" in screen.getvalue()
    assert "2 of 3" not in screen.getvalue()


def test_progress_is_said_after_two_seconds_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    screen, pipe, quick = Terminal(), io.StringIO(), Terminal()
    for stream in (screen, pipe):
        assert [*module.progress("abcdef", "letters", stream=stream)] == [*"abcdef"]
    assert "5 of 6 letters" in screen.getvalue()
    assert screen.getvalue().endswith(CLEAR)
    assert pipe.getvalue() == ""
    monkeypatch.setattr(module.time, "monotonic", lambda: 0)
    assert [*module.progress(iter("ab"), "letters", stream=quick)] == ["a", "b"]
    assert quick.getvalue() == ""


def test_words_to_measure_on_and_shards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], screen: Terminal
) -> None:
    words = [(Image.new("RGB", (20, 10)), f"word{number}") for number in range(6)]
    write_lmdb(tmp_path / "data" / "set", words)
    assert len([*stored_words(tmp_path / "data", "set")]) == 6
    assert "5 of 6 words of set" in screen.getvalue()
    assert len([*rendered_words("abc", 4, 1)]) == 4
    assert "3 of 4 words rendered" in screen.getvalue()
    pattern = str(tmp_path / "shards" / "words-%06d.tar")
    run_data(["shard", str(tmp_path / "data"), pattern, "--per_shard", "1"])
    assert "5 of 6 shards" in screen.getvalue()
    assert CLEAR not in capsys.readouterr().out


def test_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: Terminal) -> None:
    class Answer(io.BytesIO):
        headers = MappingProxyType({"Content-Length": str(3 << 20)})

    def opened(request: Any) -> Answer:
        return Answer(bytes(3 << 20))

    monkeypatch.setattr(download, "open_address", opened)
    download._receive("https://example.org/x.safetensors", tmp_path / "x")
    assert "3.0 of 3.0 MiB fetched" in screen.getvalue()
    assert screen.getvalue().endswith(CLEAR)
    quiet = io.StringIO()
    monkeypatch.setattr(module, "sys", SimpleNamespace(stderr=quiet))
    download._receive("https://example.org/x.safetensors", tmp_path / "x")
    assert quiet.getvalue() == ""
