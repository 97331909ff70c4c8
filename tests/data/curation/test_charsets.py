"""A charset from a dictionary file or from labels, as the options of a model and of the data
commands take it.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from PIL import Image

from strhub.cli.data import run
from strhub.data.curation.charsets import (
    expand_charsets,
    named_charset,
    read_charset,
    sorted_charset,
)
from strhub.data.sources.lmdb import write_lmdb
from strhub.errors import DataError
from strhub.text import CHARSET_94, check_charset


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("b\na\n中\n", "ba中"),
        ("\ufeffb\r\na\r\n \r\n\r\n", "ba "),
        ("b\ra\ra", "ba"),
        ("ba中 ", "ba中 "),
        ("e\u0301\nx\n", "éx"),
        ("$\n{\n}\n", "{}$"),
    ],
)
def test_dictionary_files(tmp_path: Path, text: str, charset: str) -> None:
    (tmp_path / "dict.txt").write_text(text, "utf-8", newline="")
    assert read_charset(tmp_path / "dict.txt") == charset


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n<unk>\nb\n", "holds '<unk>' as entry 2: it must have one character a line"),
        (b"", "charset is empty"),
        (b"a\n\xff\n", "is not UTF-8"),
        ("e\n\u0301\n".encode(), "composed form"),
    ],
)
def test_dictionary_files_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "dict.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_charset(tmp_path / "dict.txt")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "words"
    image = Image.new("RGB", (8, 4))
    write_lmdb(root / "lmdb", [(image, "Mu\u0308\u200bll"), (image, "a b"), (image, " 5% ")])
    (root / "folder").mkdir()
    (root / "folder" / "labels.csv").write_text("x.png,कृपा\ny.png,zz\n", "utf-8")
    return root


def test_labels_of_a_data_set(tree: Path) -> None:
    assert read_charset(tree) == "5ablzM%üकपाृ "
    assert set(read_charset(tree / "folder" / "labels.csv")) == set("zकृपा")
    assert read_charset(tree / "lmdb") == "5ablM%ü "
    (tree / "empty").mkdir()
    with pytest.raises(DataError, match="there are no labels in it"):
        read_charset(tree / "empty")


def test_marks_never_become_part_of_a_letter() -> None:
    assert check_charset(sorted_charset("e\u0301\u0300aे"))
    assert sorted_charset("${}x") == "x{}$"
    assert sorted_charset(CHARSET_94 + " ") == CHARSET_94 + " "


def test_options(tree: Path) -> None:
    config = OmegaConf.create(
        {"charset_train": f"@{tree}/lmdb", "charset_test": "abc", "name": "x"}
    )
    expand_charsets(config)  # type: ignore[arg-type]
    assert OmegaConf.to_container(config) == {
        "charset_train": "5ablM%ü ",
        "charset_test": "abc",
        "name": "x",
    }
    with pytest.raises(DataError, match=r"charset_test: there is no file or folder abc\. To use"):
        expand_charsets({"charset_test": "@abc"})
    assert named_charset(f"@{tree}/lmdb") == "5ablM%ü "
    assert named_charset("@") == "@"


def test_command(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(["charset", str(tree), "--output", str(tmp_path / "dict.txt"), "--min_count", "2"])
    said = capsys.readouterr()
    assert said.out == "lz\n"
    assert "a 1" in said.err
    assert f"model.charset_train=@{tmp_path}/dict.txt" in said.err
    run(
        [
            "render",
            str(tmp_path / "drawn"),
            "--count",
            "3",
            "--workers",
            "1",
            "--charset",
            f"@{tmp_path}/dict.txt",
        ]
    )
    assert set(read_charset(tmp_path / "drawn")) <= set("lz")
