"""Work killed at random moments and done again: `kills.py KIND EXAMPLES LOG FIRST LAST`, as
`worker.py` logs.

Everything is imported here once; what is killed are forked copies, with a session of their own, so
that an attempt takes a fraction of a second. After a kill, what lies under its final name is whole,
the old one or the new one; when the work is done again, the result and the names beside it are
those of a run that nobody killed.
"""

from __future__ import annotations

import faulthandler
import os
import random
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from attack_support import session
from numbered import Task, keep_quiet
from operations import OPERATIONS, RUNS, Operation
from tqdm import tqdm

SECONDS = 900  # that one run may take, on a machine that has other things to do
# seconds in which the processes of a killed run have to be gone, on a machine that may be busy
GRACE = 15.0
STOPS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)  # of whole runs
KEPT = "ATTACK_KEPT"  # variable: folder for what an attempt that failed has left


class Undisturbed(NamedTuple):
    """A run that nobody killed: what it gives, the names beside it, and how long it takes."""

    result: object
    names: list[str]
    seconds: float


def run(
    operation: Operation,
    sources: Path,
    folder: Path,
    kill_after: float | None = None,
    by: int = signal.SIGKILL,
) -> str:
    """Do the work in a forked copy, killed by a signal after some seconds if it takes that long;
    return what went wrong.
    """
    told = folder.with_suffix(".told")
    child = os.fork()
    if child == 0:
        _work(operation.work, sources, folder, told)
    deadline = time.monotonic() + (SECONDS if kill_after is None else kill_after)
    ended = 0
    while not ended and time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if not ended:
            time.sleep(0.0005)
    if not ended and by != signal.SIGKILL:
        os.kill(child, by)
        if not _gone(child):
            by = signal.SIGKILL
            kill_after = None
    if not ended and by == signal.SIGKILL:
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if kill_after is None:
            return f"HANG {told.read_text('utf-8')[-1500:] if told.exists() else ''}"
    if survivors := _survivors(child):
        return f"LEAK of {survivors} processes"
    if not ended:
        return ""
    code = os.waitstatus_to_exitcode(status)
    error = told.read_text("utf-8") if code and told.exists() else ""
    done = "already exists" in error  # it was complete when it was killed
    return "" if code == 0 or done else f"ERROR status {code}: {' '.join(error.split())[-300:]}"


def _gone(child: int) -> bool:
    """Return whether a process that was told to stop has done so in time."""
    deadline = time.monotonic() + GRACE
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.005)
    return False


def _work(work: Callable[[Path, Path], object], sources: Path, folder: Path, told: Path) -> None:
    """The life of a copy."""
    code = 1
    try:
        os.setsid()
        traces = told.open("w", encoding="utf-8")
        faulthandler.dump_traceback_later(SECONDS - 5, file=traces)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        work(sources, folder)
        code = 0
    except BaseException:
        with suppress(OSError):
            told.write_text(traceback.format_exc(), "utf-8")
    finally:
        os._exit(code)


def _survivors(leader: int) -> int:
    """Kill what is left of a session; return how many processes outlived their time."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:  # nobody is left; sooner known than by looking at all processes
        return 0
    deadline = time.monotonic() + GRACE
    pause = 0.002
    while (left := session(leader)) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, 0.2)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    return len(left)


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def undisturbed(operation: Operation, sources: Path) -> Undisturbed:
    """Do the work once here, so that copies need not import what it needs, and twice in copies."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "work").mkdir()
        if operation.warm:
            operation.work(sources, Path(place) / "work")
    for _ in range(2):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "work"
            folder.mkdir()
            began = time.monotonic()
            if wrong := run(operation, sources, folder):
                raise RuntimeError(f"{operation}: {wrong}")
            found = Undisturbed(operation.result(folder), _names(folder), time.monotonic() - began)
    return found


def attempt(kind: str, number: int, sources: Path, known: dict[str, Undisturbed]) -> str:
    """Kill some work once or twice, look at what is there, let it be done; return its name or what
    is wrong.
    """
    rng = random.Random(number)
    names = [name for name, one in OPERATIONS.items() if one.kind == kind]
    name = rng.choices(names, [OPERATIONS[name].weight for name in names])[0]
    operation = OPERATIONS[name]
    if name not in known:
        known[name] = undisturbed(operation, sources)
    expected = known[name]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "work"
        folder.mkdir()
        wrong = ""
        for _ in range(rng.randint(1, 2)):
            by = rng.choice(STOPS) if kind == RUNS else signal.SIGKILL
            after = rng.uniform(0, 1.05 * expected.seconds)
            wrong = wrong or run(operation, sources, folder, after, by)
            with suppress(FileNotFoundError):
                wrong = wrong or operation.half_there(folder)
        wrong = wrong or run(operation, sources, folder)
        if not wrong and operation.result(folder) != expected.result:
            wrong = "DIFFERENT from a run that nobody killed"
        if not wrong and (names := _names(folder)) != expected.names:
            wrong = f"LEFTOVERS {sorted(set(names) ^ set(expected.names))}"
        if wrong and (kept := os.environ.get(KEPT)):
            shutil.copytree(folder, Path(kept) / f"{kind}-{number}", dirs_exist_ok=True)
    return f"{wrong.split()[0]} {name}: {wrong}" if wrong else name


def main() -> None:
    """Make the attempts and log them."""
    task = Task.of_command_line()
    keep_quiet()
    # Its own lock is shared by all copies, and a killed one would hold it for ever.
    tqdm.set_lock(threading.RLock())
    known: dict[str, Undisturbed] = {}

    def told(number: int) -> str:
        try:
            return attempt(task.kind, number, task.sources, known)
        except Exception:
            return f"ERROR of the attack itself: {traceback.format_exc()[-600:]}"

    task.run(told)


if __name__ == "__main__":
    main()
