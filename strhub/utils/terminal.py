"""Make text safe to print: what a stranger has named must not steer a terminal or look like a line
of ours.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any, Final

__all__ = ["PlainFormatter", "json_line", "printable", "printable_lines"]

# Control characters, marks that reverse the direction of text, other ends of lines, and lone
# surrogates.
_UNSAFE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    """Return the text on one line and with every character that could steer a terminal as an escape
    such as \\x1b.

    Of a file's name, a tensor's name, a text that was read, a server's message. Raw bytes of a
    file's name that are no text, which Python has as surrogates, come as \\udcff.
    """
    return _UNSAFE.sub(_escape, str(text))


def printable_lines(text: object, *, indent: str = "    ") -> str:
    """Return the same of a text of several lines, those after the first indented.

    So no line of a message looks like a message of its own. A table is ours: its indent is none.
    """
    return f"\n{indent}".join(printable(line) for line in str(text).split("\n"))


def json_line(record: Any) -> str:
    """Return the JSON of a record on one line, other letters as they are, what could steer a
    terminal escaped.
    """
    return _UNSAFE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(record, ensure_ascii=False)
    )


class PlainFormatter(logging.Formatter):
    """Format a log record as its message, made safe to print."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, `printable_lines` of it."""
        return printable_lines(super().format(record))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
