"""Attacks run in a child process with limits on memory, time and files: what it did, and what it
left behind.

    outcome = run_limited([sys.executable, "read.py", "--images", hostile], memory_mib=1000,
    seconds=60) assert outcome.ended_well, outcome

Used by tests/security, tests/faults and `make attack`.
"""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The repository: where children run unless told otherwise, and from where they import strhub."""


GRACE = 10
"""Seconds that processes have to notice that whoever started them is gone: a moment where the
machine has time for them."""


@dataclass(frozen=True)
class Outcome:
    """What a child did.

    status: as `subprocess` has it, below 0 for a signal. seconds: wall time. timed_out: it was
        killed for its time.
    survivors: processes of its own that were still there `GRACE` seconds after its end, and were
        killed.
    """

    status: int
    stdout: str
    stderr: str
    seconds: float
    timed_out: bool
    survivors: int

    @property
    def ended_well(self) -> bool:
        """Return whether it ended by itself, in time, with no traceback, and left no process
        behind.
        """
        by_itself = self.status >= 0 and not self.timed_out and not self.survivors
        return by_itself and "Traceback (most recent call last)" not in self.stderr


def run_limited(
    command: Sequence[str | Path],
    *,
    memory_mib: int = 2000,
    seconds: float = 240,
    file_mib: int | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str | None] | None = None,
    stdin: bytes = b"",
    signals: Sequence[tuple[float, int]] = (),
    begun: Path | None = None,
) -> Outcome:
    """Run a command in a session of its own and return what it did.

    memory_mib: of private data, each process. A MemoryError is what Python makes of the limit.
        Stacks count, 8 MiB a thread.
    file_mib: the longest file that it may write; beyond that, writing fails as on a full disk.
    environment: variables beside this process's own; None takes one away. PYTHONPATH begins with
        the repository.
    seconds: of wall time, so many that only what hangs takes them on a slow, busy machine.
    signals: (seconds, number), to the command alone; the seconds count from when the file `begun`
        is there, by default from its start.
    """
    limits = f"ulimit -c 0; ulimit -d {memory_mib * 1024}; "
    if file_mib is not None:
        limits += f"trap '' XFSZ; ulimit -f {file_mib * 2048}; "  # in blocks of 512 bytes
    started = time.monotonic()
    with (
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
        tempfile.TemporaryFile() as stdin_file,
    ):
        stdin_file.write(stdin)
        stdin_file.seek(0)
        child = subprocess.Popen(
            ["/bin/sh", "-c", limits + 'exec "$@"', "sh", *map(str, command)],
            cwd=cwd or ROOT,
            env=_environment(environment or {}),
            stdin=stdin_file,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            timed_out = not _waited(child, seconds, signals, begun)
        finally:
            survivors = _end_session(child)
        took = time.monotonic() - started
        out.seek(0)
        err.seek(0)
        printed = [file.read().decode("utf-8", "replace") for file in (out, err)]
    return Outcome(child.returncode, *printed, took, timed_out, survivors)


def run_python(code: str, *arguments: str | Path, **options: object) -> Outcome:
    """Run Python code in a child; arguments are its `sys.argv[1:]`, options those of
    `run_limited`.
    """
    return run_limited([sys.executable, "-c", code, *arguments], **options)  # type: ignore[arg-type]


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    for name, value in changes.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


def _waited(
    child: subprocess.Popen[bytes],
    seconds: float,
    signals: Sequence[tuple[float, int]],
    begun: Path | None,
) -> bool:
    """Wait for a child's end, sending it signals on the way; return whether it ended in time."""
    end = time.monotonic() + seconds
    while begun is not None and not begun.exists() and child.poll() is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    started = time.monotonic()
    for after, number in sorted(signals):
        with suppress(subprocess.TimeoutExpired):
            child.wait(max(0.0, started + after - time.monotonic()))
            return True
        child.send_signal(number)
    try:
        child.wait(max(0.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _end_session(child: subprocess.Popen[bytes]) -> int:
    """Kill what is left of a child's session; return how many processes outlived it."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return 0
    deadline = time.monotonic() + GRACE
    while (left := session(child.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def session(leader: int) -> list[int]:
    """Return the living processes of a session, by its leader; none where there is no /proc."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            state, _, _, session = (
                status.read_text("utf-8", "replace").rpartition(")")[2].split()[:4]
            )
            if int(session) == leader and state not in "ZX":
                found.append(int(status.parent.name))
    return found


def end_with_parent() -> None:
    """End this process soon after the one that has started it, with everything of its session."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        for process in session(os.getsid(0)):
            if process != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def write_line_ends(path: Path, headers: Sequence[tuple[str, bytes, int]]) -> Path:
    """Write a packed tar of members that are nothing but line ends: name, type and size of each."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        for name, kind, size in headers:
            member = tarfile.TarInfo(name)
            member.size, member.type = size, kind
            file.write(member.tobuf(tarfile.USTAR_FORMAT))
            for _ in range(-(-size // (1 << 20))):
                file.write(b"\n" * (1 << 20))
        file.write(bytes(1024))
    return path
