"""test.py and the evaluation behind it."""

import subprocess
import sys
from pathlib import Path

import pytest
from golden_numbers import FOLDER

from strhub.cli.test import run
from strhub.evaluation.charsets import charset_of
from strhub.evaluation.metrics import Score
from strhub.evaluation.report import format_protocols, protocols
from strhub.text import CHARSET_94

ROOT = Path(__file__).parent.parent.parent
CHECKPOINT = str(FOLDER / "reference-lightning.ckpt")


def test_both_protocols_over_what_is_there(word_tree: Path) -> None:
    table = run(
        [CHECKPOINT, "--data_root", str(word_tree), "--num_workers", "0", "--device", "cpu"]
    )
    assert "float32 on cpu" in table.splitlines()[0]
    assert "subset protocol (absent: IC13_857, IC15_1811, SVTP, CUTE80)" in table
    assert "full protocol (absent: IC13_1015, IC15_2077, SVTP, CUTE80)" in table
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("|")]
    counts = {name.strip(): count.strip() for name, count in rows}
    assert counts["IIIT5k"] == "10"
    assert counts["SVT"] == "4"
    assert counts["Combined (2 of 6 sets)"] == "14"
    assert "own charset" not in table, "it is that of the protocols"


def test_options_rotation_and_workers(word_tree: Path) -> None:
    table = run(
        ["pretrained=strhub-tiny", "refine_iters:int=2", "decode_ar:bool=false", "--data_root",
            str(word_tree),
         "--cased", "--punctuation", "--rotation", "180", "--batch_size", "3", "--num_workers", "1",
             "--sets", "SVT"]
    )  # fmt: skip
    assert "other sets" in table
    assert "SVT" in table


def test_options_behind_the_sets_absent_sets_and_the_models_own_charset(word_tree: Path) -> None:
    table = run(
        ["pretrained=strhub-tiny", "--data_root", str(word_tree), "--num_workers", "0", "--device",
            "cpu", "--new",
         "--sets", "SVT", "CUTE80", "decode_ar:bool=false"]
    )  # fmt: skip
    assert "other sets (absent: CUTE80)" in table
    assert "new protocol (absent: ArT, COCOv1.4, Uber)" in table
    assert "own charset of 94 characters (absent: CUTE80, ArT, COCOv1.4, Uber)" in table
    assert table.count("| Combined (1 of 2 sets) |") == 1
    with pytest.raises(ValueError, match="has no option 'decode_a'"):
        run(
            [
                "pretrained=strhub-tiny",
                "--data_root",
                str(word_tree),
                "--sets",
                "SVT",
                "decode_a:bool=false",
            ]
        )


def test_a_set_of_which_no_word_can_be_scored(tmp_path: Path) -> None:
    from PIL import Image

    from strhub.data.sources.lmdb import write_lmdb

    (tmp_path / "test").mkdir()
    write_lmdb(tmp_path / "test" / "street", [(Image.new("RGB", (40, 10)), "рынок")])
    with pytest.raises(ValueError, match="no word of street can be scored"):
        run(
            [
                CHECKPOINT,
                "--data_root",
                str(tmp_path),
                "--num_workers",
                "0",
                "--device",
                "cpu",
                "--sets",
                "street",
            ]
        )


def test_unreadable_images_count_as_wrong_and_are_told(tmp_path: Path) -> None:
    from PIL import Image

    from strhub.data.sources.lmdb import write_lmdb

    (tmp_path / "test").mkdir()
    write_lmdb(
        tmp_path / "test" / "SVT", [(Image.new("RGB", (40, 10)), "word"), (b"no picture", "lost")]
    )
    table = run([CHECKPOINT, "--data_root", str(tmp_path), "--num_workers", "0", "--device", "cpu"])
    assert "1 images could not be read and count as wrong (SVT 1)" in table
    assert "|         2 |" in table


def test_charsets() -> None:
    assert charset_of(cased=True, punctuation=True) == CHARSET_94
    assert len(charset_of(cased=False, punctuation=False)) == 36
    assert len(charset_of(cased=True, punctuation=False)) == 62
    assert len(charset_of(cased=False, punctuation=True)) == 68


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([CHECKPOINT, "--data_root", "/nowhere"], "none of IIIT5k.* is in /nowhere/test"),
        ([CHECKPOINT, "refine_iters:whole=1"], "unknown type"),
        (["gone.ckpt"], "there is no checkpoint"),
    ],
)
def test_mistakes_get_a_clear_message(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(arguments)


def test_the_table_weighs_by_samples() -> None:
    first, second = Score(), Score()
    for prediction, label in (("abc", "abc"), ("abd", "abc"), ("", "a")):
        first.add(prediction, label, 0.5)
    second.add("x", "x", 1.0)
    table = format_protocols({"IIIT5k": first, "SVT": second}, ["subset"])
    rows = {
        line.split("|")[1].strip(): line.split("|")[2:]
        for line in table.splitlines()
        if line.startswith("| ")
    }
    assert [cell.strip() for cell in rows["IIIT5k"][:5]] == ["3", "33.33", "55.56", "50.00", "2.33"]
    assert [cell.strip() for cell in rows["Combined (2 of 6 sets)"][:5]] == [
        "4",
        "50.00",
        "66.67",
        "62.50",
        "2.00",
    ]


def test_protocols_are_the_published_ones() -> None:
    assert protocols()["subset"] == ["IIIT5k", "SVT", "IC13_857", "IC15_1811", "SVTP", "CUTE80"]
    assert protocols()["full"] == ["IIIT5k", "SVT", "IC13_1015", "IC15_2077", "SVTP", "CUTE80"]


def test_scores_add_up() -> None:
    parts = [Score(), Score()]
    whole = Score()
    for index, (prediction, label) in enumerate(
        [("a", "a"), ("ab", "ac"), ("", "abc"), ("x", "x")]
    ):
        parts[index % 2].add(prediction, label, index / 4)
        whole.add(prediction, label, index / 4)
    assert parts[0] + parts[1] == whole
    assert Score(*whole.sums()) == whole
    assert Score().accuracy == 0


def test_the_script_gives_one_line_for_a_mistake() -> None:
    done = subprocess.run(
        [sys.executable, "test.py", "gone.ckpt"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "test.py: there is no checkpoint gone.ckpt"
