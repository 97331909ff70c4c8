"""Patterns of regular expressions that meet a stranger's text: none takes a time that grows faster
than the text.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import strhub
from strhub.data.sources import annotated_photos, annotation_lines
from strhub.errors import DataError

LENGTH = 3000  # what takes the square of it, takes a tenth of a second and more
SECONDS = 0.05
PARTS = (
    '"', '""', '"a', " ", "\t", ", ", ".png", ".png ", ".png\v", "x: [[", "x: [[1", "[[",
    "transcriptions: [", "transcriptions: [u'", "1", "1,", "1 ", "-1.", "_", "1_", "1_a", "${a",
    "+", "a=", "step=", "accuracy=1", "a\u0300", "\u00ad", '1,1,1,1,"', '1 1 1 1 " ', "\n", "\\",
    "\x1b[", "`", "{a,",
)  # fmt: skip
SEARCHED_WITH_FULL = ("NAMED", "QUOTED", "NAME_RULES", "_NAME", "_OVERRIDE", "_SEARCH_PATH")


def modules() -> Iterator[Any]:
    """Return the modules of strhub that compile patterns, but for the service, whose texts are
    short.
    """
    root = Path(strhub.__path__[0])
    for path in sorted(root.rglob("*.py")):
        name = ".".join(("strhub", *path.relative_to(root).with_suffix("").parts))
        if "re.compile(" in path.read_text("utf-8") and not name.startswith("strhub.serving"):
            yield importlib.import_module(name)


def patterns() -> dict[str, re.Pattern[str]]:
    """Return all patterns by their names."""
    found: dict[str, re.Pattern[str]] = {}
    for module in modules():
        for name, value in vars(module).items():
            values = value.items() if isinstance(value, Mapping) else [("", value)]
            found.update(
                {
                    f"{name}{key}": one
                    for key, one in values
                    if isinstance(one, re.Pattern) and isinstance(one.pattern, str)
                }
            )
    return found


def test_no_pattern_takes_the_square_of_a_text() -> None:
    known = patterns()
    assert len(known) >= 12
    slow = []
    for name, pattern in known.items():
        full = name.startswith(SEARCHED_WITH_FULL)
        for part in PARTS:
            text = part * (LENGTH // len(part)) + "\0"
            best = min(_seconds(pattern, text, full=full) for _ in range(2))
            if best > SECONDS:
                slow.append((name, part, best))
    assert not slow


def _seconds(pattern: re.Pattern[str], text: str, *, full: bool) -> float:
    began = time.process_time()
    pattern.fullmatch(text)
    if not full:
        pattern.search(text)
    return time.process_time() - began


@pytest.mark.parametrize("text", [" " * 200_000, "\v" * 200_000 + "x", ".png" * 50_000])
def test_a_line_of_labels_is_read_at_once(text: str) -> None:
    began = time.process_time()
    with pytest.raises(annotation_lines.BadLine):
        annotation_lines.from_gt(text)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: [[" * 200_000, "no x and y"),
        (f"x: [[{'9' * 400} 1 2]], y: [[1 2 3]], transcriptions: [u'a']", "in pixels"),
        ("1,2,3,4,nan,6,7,8,word", "in pixels"),
        ("1,2,3,4,1e400,6,7,8,word", "in pixels"),
        (f'{"9" * 400} 1 1 1 "word"', "in pixels"),
    ],
)
def test_annotations_of_photographs_are_read_at_once(text: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(DataError, match=message):
        annotated_photos.parse_text(text, "gt_a.txt")
    assert time.process_time() - began < 2
