"""Sheets and the commands that make rendered sets: sizes, labels, two sets side by side, going on
after a stop.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strhub.cli.data_commands import render
from strhub.cli.data_commands import sheet as sheet_command
from strhub.data.sources.lmdb import LmdbWords, write_lmdb
from strhub.data.synth import RenderedWords
from strhub.data.synth.options import parse_difficulty
from strhub.data.synth.sheet import CELL, LABEL_HEIGHT, beside, sheet, tree_words


def run(command: object, *args: object) -> None:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)  # type: ignore[attr-defined]
    command.run(parser.parse_args([str(value) for value in args]))  # type: ignore[attr-defined]


def colored(count: int, color: tuple[int, int, int] = (200, 0, 0)) -> list[tuple[Image.Image, str]]:
    return [
        (Image.new("RGB", (60 + 10 * number, 30), color), f"w{number}") for number in range(count)
    ]


def test_cells_have_one_size() -> None:
    small, large = sheet(colored(3), columns=4), sheet(colored(9), columns=4)
    width = large.width / 4
    assert small.width == pytest.approx(3 * width, abs=6)
    assert large.height == pytest.approx(3 * (CELL[1] + 6), abs=6)
    labeled = sheet(colored(9), columns=4, labels=True)
    assert labeled.height - large.height == 3 * LABEL_HEIGHT
    below = np.asarray(labeled.convert("L"))[6 + CELL[1] + 1 : 6 + CELL[1] + LABEL_HEIGHT, :40]
    assert below.min() < 120, "the label is written there"


def test_very_long_words_and_labels_fit() -> None:
    original = sheet(
        [(Image.new("RGB", (900, 20)), "x" * 60), (Image.new("RGB", (3, 90)), "漢字")],
        columns=2,
        labels=True,
    )
    assert original.width < 2 * (CELL[0] + 10) + 10


def test_two_sets_side_by_side() -> None:
    both = np.asarray(beside(colored(8), colored(8, (0, 0, 200)), columns=4))
    half = both.shape[1] // 2
    assert (both[:, :half] == (200, 0, 0)).all(axis=2).any()
    assert not (both[:, :half] == (0, 0, 200)).all(axis=2).any()
    assert (both[:, half:] == (0, 0, 200)).all(axis=2).any()


def test_bad_sheets(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one word"):
        sheet([])
    with pytest.raises(ValueError, match="columns"):
        sheet(colored(1), columns=0)
    with pytest.raises(ValueError, match="no words at or below"):
        tree_words(tmp_path, 5)
    with pytest.raises(ValueError, match="--beside"):
        run(sheet_command, tmp_path / "a.png", "--statistics")


def test_words_of_a_tree_are_drawn_evenly_and_damaged_ones_left_out(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "a", [*colored(10), (b"no picture", "bad")])
    (tmp_path / "b").mkdir()
    write_lmdb(tmp_path / "b" / "c", [(original, f"c{label}") for original, label in colored(10)])
    labels = [label for _, label in tree_words(tmp_path, 100)]
    assert len(labels) == 20
    assert "bad" not in labels
    assert {label[0] for _, label in tree_words(tmp_path, 8)} == {"w", "c"}
    assert [label for _, label in tree_words(tmp_path, 8, seed=1)] != labels[:8]


def test_a_folder_of_labeled_images_is_laid_out_too(tmp_path: Path) -> None:
    for number, (image, _) in enumerate(colored(3)):
        image.save(tmp_path / f"{number}.png")
    (tmp_path / "labels.csv").write_text("filename,words\n0.png,no\n1.png,1\n2.png,two\n", "utf-8")
    assert {label for _, label in tree_words(tmp_path, 5)} == {"no", "1", "two"}


def test_sheet_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lmdb(tmp_path / "set", colored(12))
    run(sheet_command, tmp_path / "tree.png", "--from", tmp_path / "set", "--count", 8)
    run(
        sheet_command,
        tmp_path / "both.png",
        "--beside",
        tmp_path / "set",
        "--count",
        8,
        "--statistics",
        12,
        "--labels",
    )
    reported = capsys.readouterr().out
    assert "8 words beside as many" in reported
    assert re.search(r"sharpness +[\d.]+", reported)
    with Image.open(tmp_path / "both.png") as both, Image.open(tmp_path / "tree.png") as tree:
        assert both.format == tree.format == "PNG"
        assert both.height > tree.height


def test_draw_command_writes_what_the_set_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(render, tmp_path / "set", "--count", 9, "--seed", 4, "--difficulty", "0.2:0.8", "--charset",
        "abcdef", "--max_length", 6, "--workers", 1)  # fmt: skip
    assert "9 words written" in capsys.readouterr().out
    stored = LmdbWords(tmp_path / "set")
    words = RenderedWords(charset="abcdef", max_length=6, seed=4, difficulty=(0.2, 0.8))
    assert stored.labels == [words.render(index)[1] for index in range(9)]
    assert stored.read(5)[0].size == words.render(5)[0].size
    with pytest.raises(ValueError, match="exist"):
        run(render, tmp_path / "set", "--count", 9, "--workers", 1)


def test_draw_command_goes_on_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []
    stop = [True]
    original = RenderedWords.render_encoded

    def counted(self: RenderedWords, index: int) -> tuple[bytes, str]:
        if stop[0] and index == 7:
            raise KeyboardInterrupt
        rendered.append(index)
        return original(self, index)

    monkeypatch.setattr(RenderedWords, "render_encoded", counted)
    monkeypatch.setattr(
        "strhub.data.curation.writer.COMMIT_BYTES", 0
    )  # each word is stored as soon as it is drawn
    args = (tmp_path / "set", "--count", 10, "--workers", 1)
    with pytest.raises(KeyboardInterrupt):
        run(render, *args)
    stop[0] = False
    run(render, *args)
    assert rendered == list(range(10)), "nothing is drawn twice"
    assert len(LmdbWords(tmp_path / "set")) == 10


def test_difficulty_on_the_command_line() -> None:
    assert parse_difficulty("0.5") == 0.5
    assert parse_difficulty("0.2:0.8") == (0.2, 0.8)
    for bad in ("", "hard", "0.1:0.2:0.3"):
        with pytest.raises(ValueError, match=r"0\.2:0\.8"):
            parse_difficulty(bad)
    with pytest.raises(ValueError, match="count"):
        run(render, "nowhere", "--count", 0)
