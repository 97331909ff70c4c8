"""Photographs' words in the forms of the data sets that have them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from strhub.data.sources.annotated_photos import TrueWord, find_annotated, parse_text
from strhub.errors import DataError

SQUARE = ((1.0, 2.0), (9.0, 2.0), (9.0, 6.0), (1.0, 6.0))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("1,2,9,2,9,6,1,6,Exit\r\n1,2,9,2,9,6,1,6,###\n", [(SQUARE, "Exit"), (SQUARE, None)]),
        ("1,2,9,2,9,6,1,6,a, b\n", [(SQUARE, "a, b")]),
        ('1, 2, 9, 6, "Exit"\n1 2 9 6 "###"\n', [(SQUARE, "Exit"), (SQUARE, None)]),
        ('1, 2, 9, 6, "say "hi""\n', [(SQUARE, 'say "hi"')]),
        (
            "x: [[1 9 9 1]], y: [[2 2 6 6]], ornt: [u'c'], transcriptions: [u'Exit']\n"
            "x: [[1 9 9\n 1]], y: [[2 2 6 6]], ornt: [u'#'], transcriptions: [u'#']\n",
            [(SQUARE, "Exit"), (SQUARE, None)],
        ),
        (
            "x: [[1 9 9 1]], y: [[2 2 6 6]], ornt: [u'h'], transcriptions: [u\"JOE'S\"]",
            [(SQUARE, "JOE'S")],
        ),
        ("", []),
    ],
)
def test_text_files(content: str, expected: list[TrueWord]) -> None:
    assert parse_text(content, "gt.txt") == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1,2,9,2,Exit", "line 1: neither eight"),
        ("\na,2,9,2,9,6,1,6,Exit", "line 2: the first eight"),
        ("x: [[1 9 9]], y: [[2 2]], transcriptions: [u'a']", "no x and y of one length"),
    ],
)
def test_what_cannot_be_understood_is_said(content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse_text(content, "gt.txt")


def test_a_folder_in_any_form(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (20, 10)).save(tmp_path / name)
    with pytest.raises(DataError, match=r"neither words\.jsonl is there"):
        find_annotated(tmp_path)
    (tmp_path / "gt_a.txt").write_bytes(b"\xef\xbb\xbf1,2,9,2,9,6,1,6,Exit\n")
    (tmp_path / "poly_gt_b.txt").write_text(
        "x: [[1 9 9 1]], y: [[2 2 6 6]], transcriptions: [u'b']", "utf-8"
    )
    found = find_annotated(tmp_path)
    assert [(one.path.name, one.words[0].text) for one in found] == [
        ("a.png", "Exit"),
        ("b.png", "b"),
    ]
    other = tmp_path / "truth"
    other.mkdir()
    (other / "c.txt").write_text('1, 2, 9, 6, "c"', "utf-8")
    assert [one.path.name for one in find_annotated(tmp_path, other)] == ["c.png"]
    row = {
        "image": "c.png",
        "words": [{"quad": SQUARE, "text": "c"}, {"polygon": SQUARE[:3], "text": None}],
    }
    (tmp_path / "words.jsonl").write_text(json.dumps(row) + "\n\n", "utf-8")
    (annotated,) = find_annotated(tmp_path)
    assert annotated == (tmp_path / "c.png", [(SQUARE, "c"), (SQUARE[:3], None)])


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "{",
        '{"image": 1, "words": []}',
        '{"image": "a", "words": [{"quad": [[1, 2]], "text": "a"}]}',
        '{"image": "a", "words": [{"quad": [[1, 2], [3, 1e999], [2, 2]], "text": "a"}]}',
        '{"image": "a", "words": [{"quad": [[1, 2], [3, 4], [2, 2]], "text": 3}]}',
    ],
)
def test_damaged_lines_are_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "words.jsonl").write_text(f"\n{line}\n", "utf-8")
    with pytest.raises(DataError, match=r"words\.jsonl, line 2"):
        find_annotated(tmp_path)
