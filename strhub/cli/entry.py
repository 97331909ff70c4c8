"""How a command begins: ready for Ctrl-C, SIGTERM and closed streams before anything else is
imported. And how it ends: with a status, one clear line for what its user can mend, and no
traceback for Ctrl-C.

For the sake of its first moments, little is imported here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn

from strhub.cli.interrupted import Terminated, end_interrupted, end_terminated
from strhub.errors import MixedInstall
from strhub.utils.clash import check_alone
from strhub.utils.terminal import PlainFormatter, printable_lines

__all__ = ["begin", "end_with", "open_streams", "results_alone", "start", "terminable"]


def start(command: str) -> None:
    """Run the `main` of a module of `strhub.cli`, by its name, such as `read`."""
    begin(command)
    try:
        with terminable():
            import_module(f"strhub.cli.{command}").main()
    except KeyboardInterrupt:  # such as while packages are imported
        end_interrupted(_program(command))
    except Terminated:
        end_terminated(_program(command))


def begin(command: str) -> None:
    """Open what streams are closed, and end if two projects of one name are installed."""
    open_streams()
    try:
        check_alone()
    except MixedInstall as error:
        sys.exit(f"strhub-{command}: {error}")


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
    """Raise `Terminated` in the main thread for a SIGTERM within the context, so that files and
    workers are cleaned up; a second one kills.

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
    """Keep standard output for what Python prints; what native code and child processes print there
    goes to standard error.

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
    alone = os.fdopen(kept, "w", encoding=before.encoding, errors=before.errors, closefd=False)
    sys.stdout = alone
    try:
        yield
        alone.flush()
    finally:
        sys.stdout = before
        with suppress(OSError):  # what could not be written has been raised already
            alone.close()
        os.dup2(kept, number)
        os.close(kept)


def end_with(program: str, run: Callable[[], int | str]) -> NoReturn:
    """Run a command and end the program: what it returns is its exit status, or a text to print."""
    if isinstance(
        sys.stdout, TextIOWrapper
    ):  # paths and texts that the terminal cannot encode must not end the program
        sys.stdout.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:  # prints warnings where logging is not set up
        logging.lastResort.setFormatter(PlainFormatter())
    try:
        result = run()
        if isinstance(result, str):
            print(printable_lines(result, indent=""))
            result = 0
        sys.stdout.flush()
        sys.exit(result)
    except (ValueError, ImportError) as error:
        sys.exit(f"{program}: {printable_lines(error)}")
    except KeyboardInterrupt:
        end_interrupted(program)
    except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
        _discard_output()
        sys.exit(0)
    except OSError as error:  # such as a full disk
        _discard_output()
        sys.exit(f"{program}: {printable_lines(error)}")


def _discard_output() -> None:
    """Discard what cannot be written to standard output, so that flushing it at exit does not fail,
    too.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def read() -> None:
    """Run `strhub-read`."""
    start("read")


def test() -> None:
    """Run `strhub-test`."""
    start("test")


def train() -> None:
    """Run `strhub-train`."""
    start("train")


def tune() -> None:
    """Run `strhub-tune`."""
    start("tune")


def bench() -> None:
    """Run `strhub-bench`."""
    start("bench")


def export() -> None:
    """Run `strhub-export`."""
    start("export")


def explain() -> None:
    """Run `strhub-explain`."""
    start("explain")


def data() -> None:
    """Run `strhub-data`."""
    start("data")


def model() -> None:
    """Run `strhub-model`."""
    start("model")


def serve() -> None:
    """Run `strhub-serve`."""
    start("serve")


def demo() -> None:
    """Run `strhub-demo`."""
    start("demo")
