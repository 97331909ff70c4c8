"""Another Python process with limits, for what a stranger's file may make of a library: compute for
hours, take terabytes, or crash.

The process that starts it holds the other end of its standard input: it ends when that one does.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = [
    "OUT_OF_TIME",
    "command",
    "end_with_other",
    "environment",
    "limit",
    "limit_time",
    "unlimit_time",
]

OUT_OF_TIME: Final = tuple(
    -getattr(signal, name) for name in ("SIGXCPU", "SIGKILL") if hasattr(signal, name)
)
"""Exit statuses of a process that has taken too much time, as `subprocess` has them."""


def command(code: str, *arguments: str) -> list[str]:
    """Return what starts Python with some code; `OSError` for a frozen program, whose executable
    is the program itself.
    """
    if getattr(sys, "frozen", False):
        raise OSError(f"{sys.executable} is a program and not Python")
    return [sys.executable or "python", "-W", "ignore", "-c", code, *arguments]


def environment(threads: int = 1) -> dict[str, str]:
    """Return the environment of such a process: it imports from where this one does, and computes
    by so many threads.
    """
    packages = [str(Path(__file__).parents[2]), *filter(None, sys.path)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(packages),
        "PYTHONSAFEPATH": "1",
        "OMP_NUM_THREADS": str(threads),
    }


def end_with_other() -> None:
    """End this process when its standard input ends, of which nothing more is to come."""

    def watch() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def limit(memory: int, seconds: int) -> None:
    """Limit this process: bytes of its data, 0 for any, and seconds of a processor from its
    start.
    """
    if sys.platform == "win32":
        return
    import resource

    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_CPU: seconds}
    if memory:
        limits[resource.RLIMIT_DATA] = memory
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        with suppress(OSError, ValueError):
            resource.setrlimit(
                kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
            )


def limit_time(seconds: int) -> None:
    """Limit this process to so many more seconds of a processor from now on."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = int(used.ru_utime + used.ru_stime) + seconds
    with suppress(OSError, ValueError):
        resource.setrlimit(
            resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
        )


def unlimit_time() -> None:
    """Let this process compute for as long as it is let to from outside."""
    if sys.platform == "win32":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
