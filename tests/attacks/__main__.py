"""Attack strhub with damaged files and kills, at random, for some minutes: `make attack MINUTES=10`.

Prints how many attempts of each kind were made and what came of them, and keeps what failed in attack-failures/:
the file, and a line that says what happened. Status 1 if anything failed. --kinds images models, --seed N: which.
A failure is a crash, a hang, an error that is no clear one, memory out of proportion, a file left open, or, of kills,
a result that differs from that of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from attack_support import ROOT, run_limited
from kills import kill_at_random
from kinds import KINDS
from mutations import mutated
from worker import SECONDS

BATCH = 100  # attempts a process


def run_batch(kind: str, examples: Path, log: Path, first: int) -> list[tuple[int, str]]:
    """Make `BATCH` attempts in a child, or as many as it lives for; return number and outcome of each."""
    log.unlink(missing_ok=True)
    worker = [sys.executable, Path(__file__).with_name("worker.py")]
    limits = {"memory_mib": 3000, "seconds": 60 + BATCH * 5.0}
    ended = run_limited([*worker, kind, examples, log, str(first), str(first + BATCH)], **limits)  # type: ignore[arg-type]
    lines = [line.split(" ", 2) for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    outcomes = [(int(line[1]), line[2]) for line in lines if line[0] == "end"]
    begun = [int(line[1]) for line in lines if line[0] == "begin"]
    if len(begun) > len(outcomes):
        hung = ended.timed_out or "Timeout" in ended.stderr
        told = " ".join(ended.stderr.split())[-600:]
        outcomes.append((begun[-1], f"{'HANG' if hung else 'CRASH'} status {ended.status}, {SECONDS} s: {told}"))
    elif not begun:
        outcomes.append((first, f"CRASH before the first attempt: {ended.stderr[-600:]}"))
    return outcomes


def keep(kind: str, examples: Path, number: int, outcome: str, kept: Path) -> None:
    """Keep the file of an attempt that failed."""
    files = sorted(examples.iterdir())
    contents = [file.read_bytes() for file in files]
    rng = random.Random(f"{kind} {number}")
    place = rng.randrange(len(files))
    kept.mkdir(parents=True, exist_ok=True)
    (kept / f"{kind}-{number}-{files[place].name}").write_bytes(mutated(contents[place], rng, contents))
    note(kept, f"{kind} {number}: {outcome}")


def note(kept: Path, line: str) -> None:
    """Add a line to what is told of failures, and print it."""
    kept.mkdir(parents=True, exist_ok=True)
    with (kept / "failures.txt").open("a", encoding="utf-8") as notes:
        notes.write(line + "\n")
    print(line, flush=True)


def main() -> int:
    """Attack until the time is up; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, "kills"], default=[*KINDS, "kills"])
    parser.add_argument("--seed", type=int, default=None, help="of the first attempt; by default another each time")
    parser.add_argument("--kept", type=Path, default=ROOT / "attack-failures", help="where failures are kept")
    given = parser.parse_args()
    seed = int(time.time()) if given.seed is None else given.seed
    deadline = time.monotonic() + 60 * given.minutes
    counts = {kind: Counter[str]() for kind in given.kinds}
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for kind in [one for one in given.kinds if one in KINDS]:
            (Path(folder) / kind).mkdir()
            KINDS[kind].make(Path(folder) / kind)
        numbers = dict.fromkeys(given.kinds, seed * 1000)
        while time.monotonic() < deadline:
            kind = min(given.kinds, key=lambda one: counts[one]["seconds"])  # as much time for each
            started = time.monotonic()
            if kind == "kills":
                outcomes = [(numbers[kind], kill_at_random(numbers[kind]))]
            else:
                outcomes = run_batch(kind, Path(folder) / kind, Path(folder) / "log.txt", numbers[kind])
            numbers[kind] = max(number for number, _ in outcomes) + 1
            for number, outcome in outcomes:
                counts[kind][outcome.split()[0]] += 1
                if outcome.split()[0].isupper():
                    failures += 1
                    if kind == "kills":
                        note(given.kept, f"{kind} {number}: {outcome}")
                    else:
                        keep(kind, Path(folder) / kind, number, outcome, given.kept)
            counts[kind]["seconds"] += int(time.monotonic() - started) + 1
    for kind, count in counts.items():
        seconds = count.pop("seconds", 0)
        told = ", ".join(f"{number} {name}" for name, number in sorted(count.items()))
        print(f"{kind}: {count.total()} attempts in {seconds} s: {told}")
    if failures:
        print(f"{failures} failures, kept in {given.kept}", file=sys.stderr)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
