"""A line on a terminal that says how far a long command has come, and goes when it is done."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TextIO, TypeVar

__all__ = ["ProgressLine", "closing_line", "progress", "working"]

T = TypeVar("T")
_EVERY = 0.2  # seconds between two lines
_PATIENCE = 2.0  # seconds before progress is shown
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

    def count(self, done: int, total: int | None, what: str) -> None:
        """Say that so many of so many, if that is known, are done, and at which rate."""
        seconds = max(time.monotonic() - self._began, 1e-3)
        of = "" if total is None else f" of {total}"
        self.say(f"{done}{of} {what}, {done / seconds:.1f} a second", last=done == total)

    def amount(self, received: int, total: int | None) -> None:
        """Say how much of a file has come, in bytes, once that takes over two seconds."""
        if time.monotonic() - self._began >= _PATIENCE:
            of = "" if total is None else f" of {total / 2**20:.1f}"
            self.say(f"{received / 2**20:.1f}{of} MiB fetched")

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


@contextmanager
def closing_line(line: ProgressLine) -> Iterator[None]:
    """Take a line away at the end, whatever happens."""
    try:
        yield
    finally:
        line.clear()


@contextmanager
def working(what: str, *, stream: TextIO | None = None) -> Iterator[None]:
    """Say on a terminal what goes on and for how many seconds, from two seconds on; for work of
    which nobody knows how much is left.
    """
    line, ended = ProgressLine(stream=stream), threading.Event()
    if not line.shown:
        yield
        return

    def tell() -> None:
        seconds = _PATIENCE
        while not ended.wait(_PATIENCE if seconds == _PATIENCE else 1.0):
            line.say(f"{what}, {seconds:.0f} s")
            seconds += 1

    teller = threading.Thread(target=tell, daemon=True, name="progress")
    teller.start()
    with closing_line(line):
        try:
            yield
        finally:
            ended.set()
            teller.join()


def progress(
    items: Iterable[T],
    what: str,
    *,
    total: int | None = None,
    shown: bool = True,
    stream: TextIO | None = None,
) -> Iterator[T]:
    """Return an iterator over the same; after two seconds a terminal's last line says how many have
    been taken.

    what: they are, such as "images"; total: how many there are, if that is known; shown, stream: of
    `ProgressLine`. Where there is no line, nothing stands between.
    """
    line = ProgressLine(shown=shown, stream=stream)
    if total is None and isinstance(items, Sized):
        total = len(items)
    return _counted(items, what, total, line) if line.shown else iter(items)


def _counted(items: Iterable[T], what: str, total: int | None, line: ProgressLine) -> Iterator[T]:
    began, taken = time.monotonic(), 0
    try:
        for item in items:
            if time.monotonic() - began >= _PATIENCE:
                line.count(taken, total, what)
            taken += 1
            yield item
    finally:
        line.clear()
