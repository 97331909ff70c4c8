"""What strangers have named steers no terminal, forges no line, and stays legible."""

from __future__ import annotations

import json
import logging

import pytest

from strhub.utils.terminal import PlainFormatter, json_line, printable, printable_lines

HOSTILE = "a\x1b[2J\x1b]0;t\x07b\r\nread.py: all is well\x9b31m\x7f\u202egnp.exe\u2028\udcff\0"


def test_nothing_that_steers_is_left() -> None:
    for text in (
        printable(HOSTILE),
        printable_lines(HOSTILE).replace("\n    ", ""),
        json_line({"a": HOSTILE}),
    ):
        assert text.isprintable()
        assert text.isascii()
    assert printable("a\x1b[2J\nb") == "a\\x1b[2J\\nb"


@pytest.mark.parametrize(
    "text", ["ñandú", "नमस्ते", "a\u200db", "שלום\u200f", "日本", "a b\u00a0c", "🙂", "C:\\new"]
)
def test_what_is_read_stays_as_it_is(text: str) -> None:
    assert printable(text) == text
    assert text in json_line([text]).replace("\\\\", "\\")


def test_json_is_the_same_json() -> None:
    record = {HOSTILE: [HOSTILE, 1.5, None, {"ä": "\\u001b"}]}
    assert json.loads(json_line(record)) == record
    assert "\n" not in json_line(record)


def test_lines_of_a_message_are_indented() -> None:
    assert (
        printable_lines("first\nread.py: all is well\x1b") == "first\n    read.py: all is well\\x1b"
    )
    assert printable_lines("a table\n  of two", indent="") == "a table\n  of two"


def test_log_messages() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%s: damaged", ("a\x1b\nb.png",), None)
    assert PlainFormatter("%(message)s").format(record) == "a\\x1b\n    b.png: damaged"
