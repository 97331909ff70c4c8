"""Attempts of one kind, by their numbers, in this process: `worker.py KIND EXAMPLES LOG FIRST
LAST`.

Each attempt leaves a line in the log before it begins and one when it has ended, so that whoever
reads the log knows what it was at if this process does not come to its end. When all have ended,
what has piled up is looked at.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import random
import re
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from forking import fork_instead
from kinds import KINDS, allowed
from numbered import Task, keep_quiet
from structure import damaged

SECONDS = 20  # of computing that an attempt may take
WAIT = 600  # seconds by the clock, on a machine that has other things to do
GRACE = 20  # seconds in which processes end
MEMORY_MIB = 700  # that one attempt may take beyond what there was before
GROWTH_MIB = 60.0  # that may pile up after that; caches have limits of their own
MANY = 50  # attempts, after half of which all that stays has been imported and made


LIBRARIES = ("torchinductor_",)  # folders that they make once


class Held(NamedTuple):
    """What this process holds."""

    descriptors: int
    threads: int
    memory_mib: float
    modules: int

    @classmethod
    def now(cls) -> Held:
        """Look, once what can be freed has been."""
        gc.collect()
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        return cls(_descriptors(), threading.active_count(), _status_mib("VmRSS"), len(sys.modules))


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _status_mib(name: str) -> float:
    """Return a figure of this process in MiB, such as its peak memory since it was last reset; 0 if
    there is none.
    """
    try:
        found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) / 1024 if found else 0


def reset_peak() -> None:
    """Begin a new peak, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def leaked(before: Held, after: Held) -> str:
    """Return what has piled up, or nothing."""
    found = []
    if after.descriptors > before.descriptors + 8:
        found.append(f"{after.descriptors - before.descriptors} open files")
    if after.threads > before.threads + 4:
        found.append(f"{after.threads - before.threads} threads")
    imported = after.modules > before.modules + 20  # which takes memory once
    if after.memory_mib > before.memory_mib + GROWTH_MIB and not imported:
        found.append(f"{after.memory_mib - before.memory_mib:.0f} MiB")
    return f"LEAK of {', '.join(found)}" if found else ""


def attempt(kind: str, name: str, content: bytes) -> str:
    """Use a damaged file; return what came of it: `read`, `refused`, or what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        beside = set(os.listdir(tempfile.gettempdir()))
        path = Path(folder) / name
        path.write_bytes(content)
        reset_peak()
        before, descriptors = _status_mib("VmHWM"), _descriptors()
        outcome = _outcome(kind, path)
        if (taken := _status_mib("VmHWM") - before) > MEMORY_MIB:
            outcome = f"MEMORY {taken:.0f} MiB; {outcome}"
        if _descriptors() > descriptors + 8:
            outcome = f"LEAK of open files; {outcome}"
        left = set(os.listdir(tempfile.gettempdir())) - beside
        if left := {one for one in left if not one.startswith(LIBRARIES)}:
            outcome = f"LEAK of temporary files {sorted(left)[:3]}; {outcome}"
        if _stays():
            outcome = f"LEAK of a process; {outcome}"
    return outcome


def _outcome(kind: str, path: Path) -> str:
    try:
        KINDS[kind].attempt(path)
    except allowed():
        return "refused"
    except MemoryError:
        return "MEMORY MemoryError"
    except Exception as error:
        steps = traceback.extract_tb(error.__traceback__)
        where = [*steps[-1:], *(one for one in steps if "/strhub/" in one.filename)][-1]
        return (
            f"ERROR {type(error).__name__} {Path(where.filename).name}:{where.lineno} "
            f"{str(error)[:80]!r}"
        )
    return "read"


def _stays() -> bool:
    """Return whether a process is left, once readers that nobody has any more are gone."""
    deadline = time.monotonic() + GRACE
    while _has_children():
        if time.monotonic() > deadline:
            return True
        gc.collect()
        time.sleep(0.01)
    return False


def _has_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def main() -> None:
    """Make the attempts and log them."""
    task = Task.of_command_line()
    files = sorted(task.sources.iterdir())
    contents = [file.read_bytes() for file in files]
    keep_quiet()
    fork_instead(task.kind)
    faulthandler.register(signal.SIGVTALRM, chain=True)  # which then ends this process
    held: Held | None = None

    def told(number: int) -> str:
        nonlocal held
        rng = random.Random(f"{task.kind} {number}")
        index = rng.randrange(len(files))
        content = damaged(files[index].name, contents[index], rng, contents)
        with _limited():
            outcome = attempt(task.kind, files[index].name, content)
        if number == task.first:
            gc.freeze()  # what was imported stays: looking through it takes longest
        if task.last - task.first >= MANY and number == (task.first + task.last) // 2:
            held = Held.now()
        elif number == task.last - 1 and held is not None:
            outcome = leaked(held, Held.now()) or outcome
        return outcome

    task.run(told)


@contextmanager
def _limited() -> Iterator[None]:
    """Within, this process ends if it computes or waits for too long."""
    faulthandler.dump_traceback_later(WAIT, exit=True)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()
