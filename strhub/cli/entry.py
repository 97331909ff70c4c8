"""How a command begins: ready for Ctrl-C, SIGTERM and closed streams before anything else is
imported.

For the sake of its first moments, little is imported here.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from strhub.cli.interrupted import Terminated, end_interrupted, end_terminated

__all__ = ["open_streams", "results_alone", "start", "terminable"]


def start(command: str) -> None:
    """Run the `main` of a module of `strhub.cli`, by its name, such as `read`."""
    open_streams()
    try:
        with terminable():
            import_module(f"strhub.cli.{command}").main()
    except KeyboardInterrupt:  # such as while packages are imported
        end_interrupted(_program(command))
    except Terminated:
        end_terminated(_program(command))


def _program(command: str) -> str:
    from strhub.cli.program import program

    return program(command)


def open_streams() -> None:
    """Open the null device in place of standard streams that are closed.

    Else the next file that is opened would get a closed stream's number, and what libraries print
    would go into it.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


@contextmanager
def terminable() -> Iterator[None]:
    """Within, SIGTERM raises `Terminated` in the main thread, so that files and workers are seen
    to; a second kills.

    A signal that is ignored, or that somebody handles already, is left alone. Forked children have
    the default.
    """
    process = os.getpid()

    def receive(number: int, frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:
            os.kill(os.getpid(), number)
            return
        raise Terminated

    own = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    )
    if own:
        signal.signal(signal.SIGTERM, receive)
    try:
        yield
    finally:
        if own and signal.getsignal(signal.SIGTERM) is receive:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def results_alone() -> Iterator[None]:
    """Within, standard output has what Python prints; what native code and child processes print
    there is an error's.

    So JSON lines stay JSON lines, whatever a runtime has to say.
    """
    sys.stdout.flush()
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):  # replaced, by a test or a notebook
        yield
        return
    kept = os.dup(number)
    before = sys.stdout
    os.dup2(2, number)
    sys.stdout = os.fdopen(kept, "w", encoding=before.encoding, errors=before.errors, closefd=False)
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = before
        os.dup2(kept, number)
        os.close(kept)


def read() -> None:
    """`strhub-read`."""
    start("read")


def test() -> None:
    """`strhub-test`."""
    start("test")


def train() -> None:
    """`strhub-train`."""
    start("train")


def tune() -> None:
    """`strhub-tune`."""
    start("tune")


def bench() -> None:
    """`strhub-bench`."""
    start("bench")


def export() -> None:
    """`strhub-export`."""
    start("export")


def explain() -> None:
    """`strhub-explain`."""
    start("explain")


def data() -> None:
    """`strhub-data`."""
    start("data")
