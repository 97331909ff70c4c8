"""Commands on data killed at a random moment and given again: the result is that of a run that nobody killed."""

from __future__ import annotations

import random
import signal
import sys
import tempfile
from pathlib import Path

from attack_support import run_limited

WORDS = 12


def _commands(folder: Path, rng: random.Random) -> list[str]:
    workers = str(rng.choice((1, 2)))
    drawn = ["draw", str(folder / "drawn"), "--count", str(WORDS), "--difficulty", "0", "--workers", workers]
    return rng.choice((drawn, [*drawn, "--seed", "5"]))


def _records(folder: Path) -> list[tuple[bytes, bytes]]:
    import lmdb

    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return sorted((bytes(key), bytes(value)) for key, value in transaction.cursor())


def kill_at_random(number: int) -> str:
    """Kill a command once or twice, let it end, and compare; return `same` or what is wrong."""
    rng = random.Random(number)
    records = []
    for killed in (True, False):
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-m", "strhub.cli.data", *_commands(Path(place), random.Random(number))]
            for _ in range(rng.randint(1, 2) if killed else 0):
                ended = run_limited(command, signals=[(rng.uniform(0.3, 3.0), signal.SIGKILL)], seconds=120)
                if ended.survivors > 0:
                    return f"LEAK of {ended.survivors} processes"
            ended = run_limited(command, seconds=300)
            if not ended.ended_well or ended.status:
                return f"ERROR status {ended.status}: {' '.join(ended.stderr.split())[-300:]}"
            records.append(_records(Path(place) / "drawn"))
    return "same" if records[0] == records[1] else f"DIFFERENT {len(records[0])} and {len(records[1])} entries"
