"""A line on a terminal that says how far a long command has come, and goes when it is done."""

from __future__ import annotations

import sys
import time
from typing import TextIO

__all__ = ["ProgressLine"]

_EVERY = 0.2  # seconds between two lines
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """A line that is written over; none where `stream` is no terminal.

    shown: whether there is to be one at all; stream: standard error by default.
    """

    def __init__(self, *, shown: bool = True, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.shown = shown and self.stream.isatty()
        self._began = time.monotonic()
        self._written = 0.0

    def count(self, done: int, total: int, what: str) -> None:
        """Say that so many of so many are done, and at which rate."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        self.say(f"{done} of {total} {what}, {done / seconds:.1f} a second", last=done == total)

    def say(self, text: str, *, last: bool = False) -> None:
        """Write a line, unless one was written just before; the last one always."""
        now = time.monotonic()
        if self.shown and (last or now - self._written >= _EVERY):
            self._written = now
            self.stream.write(_CLEAR + text)
            self.stream.flush()

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        if self.shown and self._written:
            self.stream.write(_CLEAR)
            self.stream.flush()
