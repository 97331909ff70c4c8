"""How far a long command has come: on terminals, after two seconds, and nowhere else."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from strhub.bulk.engines import _shown
from strhub.checkpoint import download
from strhub.cli.data import run as run_data
from strhub.cli.model_words import rendered_words, stored_words
from strhub.data.curation.scan import scan
from strhub.data.sources.folder import FolderWords
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


def test_work_without_an_end_tells_its_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it fails, too, nothing is left on the screen, and no thread."""
    monkeypatch.setattr(module, "_PATIENCE", 0.0)
    told, pipe = threading.Event(), io.StringIO()

    class Told(Terminal):
        def write(self, text: str) -> int:
            told.set()
            return super().write(text)

    screen = Told()
    with pytest.raises(AssertionError, match="too bad"), module.working("exporting", stream=screen):
        assert told.wait(60) is None, "too bad"
    assert screen.getvalue().startswith(f"{CLEAR}exporting, 0 s")
    assert screen.getvalue().endswith(CLEAR)
    before = threading.active_count()
    with module.working("exporting", stream=pipe):
        assert threading.active_count() == before
    assert pipe.getvalue() == ""


def test_ray_tells_of_its_parts() -> None:
    told: list[int] = []
    assert [*_shown(iter([3, 4]), told.append)] == [3, 4]
    assert told == [0, 3, 7]
    assert [*_shown(iter([3, 4]), None)] == [3, 4]


def test_opening_data_and_comparing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: Terminal
) -> None:
    """Whatever opens a data set says how far it has come: the command charset, too."""
    words = [(Image.effect_noise((24, 12), 90 + number), "word") for number in range(6)]
    write_lmdb(tmp_path / "set", words)
    run_data(["charset", str(tmp_path / "set")])
    assert f"of 6 labels of {tmp_path / 'set'}" in screen.getvalue()
    (tmp_path / "labels.csv").write_text("".join(f"{name}.png,word\n" for name in "abcdef"))
    FolderWords(tmp_path / "labels.csv")
    assert f"labels of {tmp_path / 'labels.csv'}" in screen.getvalue()
    run_data(["sheet", str(tmp_path / "sheet.png"), "--count", "4", "--style", "simple"])
    assert "3 of 4 words rendered" in screen.getvalue()


@pytest.mark.parametrize("command", ["shard", "split", "merge"])
def test_records_are_counted_while_they_are_looked_at(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal `scan` is asked for its bar; elsewhere it is not."""
    write_lmdb(tmp_path / "set", [(Image.new("RGB", (20, 10)), f"word{n}") for n in range(4)])
    asked: list[bool] = []

    def seen(*args: Any, progress: bool = False, **options: Any) -> Any:
        asked.append(progress)
        return scan(*args, **options)

    words = {"shard": "{0}/set {1}/words-%06d.tar", "merge": "{1}/all {0}/set",
             "split": "{0}/set {1}/a {1}/b --fraction 0.5"}[command]  # fmt: skip
    for terminal, name in ((True, "one"), (False, "two")):
        monkeypatch.setattr("strhub.data.curation.scan.scan", seen)
        monkeypatch.setattr(sys, "stderr", Terminal() if terminal else io.StringIO())
        (tmp_path / name).mkdir()
        run_data([command, *words.format(tmp_path, tmp_path / name).split()])
    assert asked == [True, False]


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
