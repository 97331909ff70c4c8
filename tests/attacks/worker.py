"""Attempts of one kind, by their numbers, in this process: `worker.py KIND EXAMPLES LOG FIRST LAST`.

Each attempt leaves a line in the log before it begins and one when it has ended, so that whoever reads the log knows
what it was at if this process does not come to its end.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import re
import resource
import sys
import tempfile
import traceback
import warnings
from contextlib import suppress
from pathlib import Path

from kinds import KINDS, allowed
from mutations import mutated

SECONDS = 20
MEMORY_MIB = 700  # that one attempt may take beyond what there was before


def peak_mib() -> int:
    """Return the process's peak memory since it was last reset; 0 where that cannot be told."""
    try:
        found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    except OSError:
        return 0
    return int(found[1]) // 1024 if found else 0


def reset_peak() -> None:
    """Begin a new peak, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def attempt(kind: str, name: str, content: bytes) -> str:
    """Use a damaged file; return what came of it: `read`, `refused`, or what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        reset_peak()
        before, descriptors = peak_mib(), len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        try:
            KINDS[kind].attempt(path)
            outcome = "read"
        except allowed():
            outcome = "refused"
        except MemoryError:
            outcome = "MEMORY MemoryError"
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            own = [one for one in traceback.extract_tb(error.__traceback__) if "/strhub/" in one.filename]
            where = own[-1] if own else place
            outcome = f"ERROR {type(error).__name__} {Path(where.filename).name}:{where.lineno} {str(error)[:80]!r}"
        if peak_mib() - before > MEMORY_MIB:
            outcome = f"MEMORY {peak_mib() - before} MiB; {outcome}"
        if descriptors and len(os.listdir("/proc/self/fd")) > descriptors + 8:
            outcome = f"LEAK of open files; {outcome}"
    return outcome


def main() -> None:
    """Make the attempts and log them."""
    kind, examples, log, first, last = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:6])
    warnings.simplefilter("ignore")
    logging.disable()
    files = sorted(examples.iterdir())
    contents = [file.read_bytes() for file in files]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with log.open("a", encoding="utf-8", buffering=1) as lines:
        for number in range(first, last):
            rng = random.Random(f"{kind} {number}")
            place = rng.randrange(len(files))
            lines.write(f"begin {number}\n")
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            outcome = attempt(kind, files[place].name, mutated(contents[place], rng, contents))
            faulthandler.cancel_dump_traceback_later()
            lines.write(f"end {number} {' '.join(outcome.split())}\n")


if __name__ == "__main__":
    main()
