"""test.py beyond its table: predictions, files, pages, comparisons; and corrections of labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_models import SIZES
from words_support import image_of, write_folder, write_table, write_words

import strhub
from strhub.cli.data import run as run_data
from strhub.cli.test import run
from strhub.data.curation.corrections import COLUMNS
from strhub.data.sources.word_sets import open_set
from strhub.errors import DataError
from strhub.evaluation.results.files import read_samples

WORDS = ("Exit", "Hotel", "24h", "open")
GOOD = [(f"image-{number + 1:09d}", word, "0.95") for number, word in enumerate(WORDS)]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Return an LMDB of four words."""
    return write_words(tmp_path / "words", WORDS)


@pytest.fixture
def readings(tmp_path: Path) -> Path:
    """Return predictions, of which one is wrong."""
    return write_table(tmp_path / "other.tsv", [(GOOD[0][0], "exlt", "0.99"), *GOOD[1:]])


def test_predictions_get_the_table(words: Path, readings: Path) -> None:
    table = run(["--predictions", str(readings), "--sets", str(words)])
    assert "| words    |         4 |    75.00 |   93.75 |      96.00 |         4.00 |" in table
    assert "computed in" not in table


def test_everything_is_written_and_can_be_had_again(
    words: Path, readings: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    args = ["--predictions", str(readings), "--sets", str(words)]
    args += ["--output", str(output), "--charset", "94"]
    run(args)
    assert sorted(path.name for path in output.iterdir()) == [
        "report.html",
        "results.json",
        "samples.parquet",
        "samples.tsv",
        "suspects.html",
    ]
    results = json.loads((output / "results.json").read_text())
    assert results["reader"]["sha256"]
    assert (
        results["sets"]["words"]["sha256"]
        == f"{sum(word.digest for word in open_set(words)) % (1 << 128):032x}"
    )
    assert (results["sets"]["words"]["samples"], results["sets"]["words"]["correct"]) == (4, 3)
    assert results["versions"]["strhub"]
    assert [one.correct for one in read_samples(output / "samples.tsv")] == [
        False,
        True,
        True,
        True,
    ]
    before = (output / "samples.tsv").read_bytes()
    run(args)
    assert (output / "samples.tsv").read_bytes() == before


def test_readers_are_compared(words: Path, readings: Path, tmp_path: Path) -> None:
    right = write_table(tmp_path / "right.tsv", GOOD)
    output = tmp_path / "out"
    text = run(
        ["--compare", f"a={readings}", f"b={right}", "--sets", str(words), "--output", str(output)]
    )
    assert "a and b" in text
    assert "no difference that these words can show" in text
    assert (output / "compare.html").is_file()
    assert (output / "a" / "report.html").is_file()
    again = run(
        [
            "--compare",
            str(output / "a"),
            f"c={right}",
            "--sets",
            str(words),
            "--output",
            str(tmp_path / "two"),
        ]
    )
    assert "a and c" in again
    folders = [
        "--compare",
        str(output / "a"),
        str(output / "b"),
        "--output",
        str(tmp_path / "three"),
    ]
    assert "a and b" in run(folders)
    assert "data:image/webp" in (tmp_path / "three" / "compare.html").read_text()


def test_a_model_is_read_through_the_recognizer_or_bare(words: Path, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "folder", [("1.png", "wrong")])
    image_of("right").save(folder / "1.png")
    bare = run(
        [
            "strhub-tiny",
            "--sets",
            str(words),
            str(folder),
            "--output",
            str(tmp_path / "bare"),
            "--device",
            "cpu",
        ]
    )
    assert "strhub-tiny, computed in float32 on cpu" in bare
    assert "own charset of 94 characters" in bare
    whole = run(
        ["strhub-tiny", "--sets", str(words), "--reader", "--reread_below", "0", "--device", "cpu"]
    )
    # all but the confidence, which only the reader calibrates
    rows = [
        [cell for column, cell in enumerate(line.split("|")) if column != 5]
        for printed in (bare, whole)
        for line in printed.splitlines()
        if line.startswith("| words")
    ]
    assert rows
    assert rows[: len(rows) // 2] == rows[len(rows) // 2 :]
    assert "data:image/webp" in (tmp_path / "bare" / "report.html").read_text()


@pytest.mark.slow
def test_exported_files_read_the_same(words: Path, tmp_path: Path) -> None:
    from strhub.export.writing import export

    model = strhub.create_model("crnn", **SIZES["crnn"])
    strhub.save(model, tmp_path / "model.safetensors")
    tables = []
    for suffix in (".onnx", ".pt2", ".safetensors"):
        path = tmp_path / f"model{suffix}"
        if suffix != ".safetensors":
            export(model, path)
        text = run([str(path), "--sets", str(words), "--reader", "--device", "cpu"])
        tables.append([line for line in text.splitlines() if line.startswith("|")])
    assert tables[0] == tables[1] == tables[2]


def test_further_protocols_are_scored_where_they_are_there(tmp_path: Path) -> None:
    write_words(tmp_path / "test" / "Union14M-Benchmark" / "curve", WORDS)
    rows = [("Union14M-Benchmark/curve", *row) for row in GOOD]
    readings = write_table(tmp_path / "r.tsv", rows, ("set", "image", "text", "confidence"))
    table = run(["--predictions", str(readings), "--data_root", str(tmp_path)])
    assert "union14m protocol (absent: Union14M-Benchmark/multi_oriented" in table
    assert "long protocol" not in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--predictions", "{readings}", "--sets", "{words}", "--cased", "--charset", "36"],
            "--charset sets all characters",
        ),
        (["--predictions", "{readings}", "--sets", "{words}", "--charset", "own"], "needs a model"),
        (["--predictions", "{readings}", "--sets", "{words}", "--charset", "aa"], "repeats 'a'"),
        (["--predictions", "{readings}", "--sets", "/gone"], "there is neither /gone nor /gone"),
        (
            ["strhub-tiny", "--predictions", "{readings}", "--sets", "{words}"],
            "stands for the model",
        ),
        (
            ["--compare", "{readings}", "x={readings}", "--sets", "{words}"],
            "--compare needs --output",
        ),
        (["--compare", "{readings}", "--sets", "{words}"], "--compare needs a second reader"),
        (
            ["strhub-tiny", "--reader", "--rotation", "90", "--sets", "{words}"],
            "--rotation is for a bare network",
        ),
        (["a.ckpt", "b.ckpt"], "one model at a time"),
        (["gone.onnx", "--sets", "{words}"], "gone.onnx"),
        (["gone.pt2", "--sets", "{words}"], "gone.pt2 cannot be read"),
        (
            ["--predictions", "{readings}", "--sets", "{words}", "--output", "{tmp}"],
            "contains something other than results",
        ),
        (
            ["--predictions", "{readings}", "--sets", "{words}", "--output", "{readings}"],
            "is a file",
        ),
        (
            ["--predictions", "{readings}", "--data_root", "/gone"],
            "none of IIIT5k.* is in /gone/test",
        ),
    ],
)
def test_mistakes_get_a_clear_message(
    arguments: Sequence[str], message: str, words: Path, readings: Path, tmp_path: Path
) -> None:
    filled = [one.format(words=words, readings=readings, tmp=tmp_path) for one in arguments]
    with pytest.raises((ValueError, OSError), match=message):
        run(filled)


def test_without_anything_that_reads_the_usage_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["--sets", "x"])
    assert "give a model, --predictions or --compare" in capsys.readouterr().err


def corrections(path: Path, rows: Sequence[Sequence[str]]) -> Path:
    return write_table(path, rows, COLUMNS)


def test_corrections_are_applied(
    words: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ("/elsewhere", "image-000000001", "Exit", "Ex\\tit", "correct"),
        ("/elsewhere", "image-000000003", "24h", "", "remove"),
    ]
    table = corrections(tmp_path / "corrections.tsv", rows)
    run_data(["correct", str(words), str(table), str(tmp_path / "new")])
    assert "3 words, 1 labels corrected, 1 words removed" in capsys.readouterr().out
    before, after = list(open_set(words)), list(open_set(tmp_path / "new"))
    assert [word.label for word in after] == ["Ex\tit", "Hotel", "open"]
    assert [word.content for word in after] == [
        before[0].content,
        before[1].content,
        before[3].content,
    ]
    with pytest.raises(DataError, match=r"has the label .Ex.+tit. in .* are already applied"):
        run_data(["correct", str(tmp_path / "new"), str(table), str(tmp_path / "twice")])
    assert not (tmp_path / "twice").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("s", "image-000000009", "x", "y", "correct")], "has no image image-000000009"),
        ([("s", "image-000000001", "Exit", "", "correct")], "the correction is empty"),
        ([("s", "image-000000001", "Exit", "x", "keep")], "the action is 'keep'"),
        (
            [("s", "image-000000001", "Exit", "x", "correct")] * 2,
            "is corrected twice, here and in line 2",
        ),
        ([("s", "image-000000001", "Exit")], "3 columns instead of 5"),
    ],
)
def test_corrections_that_do_not_fit_are_told(
    rows: Sequence[Sequence[str]], message: str, words: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        run_data(
            [
                "correct",
                str(words),
                str(corrections(tmp_path / "c.tsv", rows)),
                str(tmp_path / "new"),
            ]
        )
    assert not (tmp_path / "new").exists()


def test_labels_are_suspected_by_a_reader(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image, ImageDraw, ImageFont

    from strhub.data.sources.lmdb import write_lmdb

    image = Image.new("RGB", (128, 40), "white")
    ImageDraw.Draw(image).text((10, 6), "HOTEL", fill="black", font=ImageFont.load_default(size=28))
    write_lmdb(tmp_path / "words", [(image, "hotel"), (image, "motel"), (image_of("x"), "")])
    page = tmp_path / "suspects.html"
    run_data(["suspects", str(tmp_path / "words"), str(page), "--model", "strhub-tiny"])
    assert "1 labels of 2 are suspected" in capsys.readouterr().out
    assert "image-000000002" in page.read_text()
