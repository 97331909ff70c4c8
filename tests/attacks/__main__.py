"""Attack strhub with damaged files and kills, at random: `make attack MINUTES=10`.

Prints how many attempts of each kind were made and what came of them, and keeps what failed in
attack-failures/: the file, and a line that says what happened. Status 1 if anything failed.

A failure is a crash, a hang, an error that is no clear one, memory out of proportion, what is left
behind (memory, open files, threads, processes, temporary files), or, of kills, a result that
differs from that of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "security"), str(TESTS / "serving")]

from attack_support import ROOT, run_limited  # noqa: E402
from kills import KEPT  # noqa: E402
from kinds import KINDS  # noqa: E402
from operations import KILLS, RUNS, SAVES, make_sources  # noqa: E402
from structure import damaged  # noqa: E402
from worker import SECONDS  # noqa: E402

BATCH = {"images": 500, KILLS: 200, SAVES: 250, RUNS: 50}  # attempts a process
USUAL_BATCH = 1000
WORK = (KILLS, SAVES, RUNS)  # what is killed


def run_batch(kind: str, folder: Path, first: int, count: int, kept: Path) -> list[tuple[int, str]]:
    """Make some attempts in a child, or as many as it lives for; return number and outcome of
    each.
    """
    log, examples, temporary = folder / "log.txt", folder / kind, folder / "temporary"
    log.unlink(missing_ok=True)
    temporary.mkdir(exist_ok=True)
    here = Path(__file__).parent
    command = [here / ("worker.py" if kind in KINDS else "kills.py"), kind]
    path = [*sys.path[:3], *filter(None, [os.environ.get("PYTHONPATH")])]
    ended = run_limited(
        [sys.executable, *command, examples, log, str(first), str(first + count)],
        memory_mib=3000,
        seconds=3600 + count * 5.0,
        environment={
            "TMPDIR": str(temporary),
            "PYTHONPATH": os.pathsep.join(path),
            KEPT: str(kept),
        },
    )
    lines = (
        [line.split(" ", 2) for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    )
    outcomes = [(int(line[1]), line[2]) for line in lines if line[0] == "end"]
    begun = [int(line[1]) for line in lines if line[0] == "begin"]
    told = " ".join(ended.stderr.split())[-600:]
    if len(begun) > len(outcomes):
        hung = ended.timed_out or "Timeout" in ended.stderr or ended.status == -signal.SIGVTALRM
        outcomes.append(
            (begun[-1], f"{'HANG' if hung else 'CRASH'} status {ended.status}, {SECONDS} s: {told}")
        )
    elif not begun:
        outcomes.append((first, f"CRASH before the first attempt: {told}"))
    elif ended.survivors:
        outcomes[-1] = (outcomes[-1][0], f"LEAK of {ended.survivors} processes at the end")
    elif ended.status:
        outcomes[-1] = (outcomes[-1][0], f"CRASH at the end, status {ended.status}: {told}")
    return outcomes


def keep(kind: str, examples: Path, number: int, outcome: str, kept: Path) -> None:
    """Keep the file of an attempt that failed, and a line that says what happened; print that."""
    kept.mkdir(parents=True, exist_ok=True)
    line = f"{kind} {number}: {outcome}"
    with (kept / "failures.txt").open("a", encoding="utf-8") as notes:
        notes.write(line + "\n")
    print(line, flush=True)
    if kind not in KINDS:  # which keeps its own
        return
    files = sorted(examples.iterdir())
    contents = [file.read_bytes() for file in files]
    rng = random.Random(f"{kind} {number}")
    index = rng.randrange(len(files))
    name = files[index].name
    (kept / f"{kind}-{number}-{name}").write_bytes(damaged(name, contents[index], rng, contents))


def make_examples(kinds: list[str], folder: Path) -> None:
    """Write what is damaged or worked on."""
    for kind in kinds:
        (folder / kind).mkdir()
        (KINDS[kind].make if kind in KINDS else make_sources)(folder / kind)


def attack(args: argparse.Namespace, folder: Path) -> dict[str, Counter[str]]:
    """Attack until the time is up or the counts are reached; return what came of it, by kind."""
    deadline = time.monotonic() + 60 * args.minutes
    counts = {kind: Counter[str]() for kind in args.kinds}
    spent = dict.fromkeys(args.kinds, 0.0)
    numbers = dict.fromkeys(args.kinds, args.seed * 1000)
    while time.monotonic() < deadline:
        waiting = [
            kind for kind in args.kinds if args.count is None or counts[kind].total() < args.count
        ]
        if not waiting:
            break
        kind = min(waiting, key=lambda one: spent[one])  # as much time for each
        batch = BATCH.get(kind, USUAL_BATCH)
        if args.count is not None:
            batch = min(batch, args.count - counts[kind].total())
        started = time.monotonic()
        outcomes = run_batch(kind, folder, numbers[kind], batch, args.kept)
        spent[kind] += time.monotonic() - started
        numbers[kind] = max(number for number, _ in outcomes) + 1
        for number, outcome in outcomes:
            counts[kind][outcome.split()[0]] += 1
            if outcome.split()[0].isupper():
                keep(kind, folder / kind, number, outcome, args.kept)
        if args.log:
            with args.log.open("a", encoding="utf-8") as log:
                log.write(
                    f"{time.strftime('%H:%M:%S')} {summary(kind, counts[kind], spent[kind])}\n"
                )
    for kind, count in counts.items():
        print(summary(kind, count, spent[kind]))
    return counts


def summary(kind: str, count: Mapping[str, int], seconds: float) -> str:
    """Return a line on what came of attempts."""
    told = ", ".join(f"{number} {name}" for name, number in sorted(count.items()))
    return f"{kind}: {sum(count.values())} attempts in {seconds:.0f} s: {told}"


def main() -> int:
    """Attack as the arguments say; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--count", type=int, help="attempts of each kind, at most")
    parser.add_argument("--kinds", nargs="+", choices=[*KINDS, *WORK], default=[*KINDS, *WORK])
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="by default another each time"
    )
    parser.add_argument(
        "--kept", type=Path, default=ROOT / "attack-failures", help="where failures are kept"
    )
    parser.add_argument("--log", type=Path, help="file to add counts to")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_examples(args.kinds, Path(folder))
        counts = attack(args, Path(folder))
    failures = sum(
        number for count in counts.values() for name, number in count.items() if name.isupper()
    )
    if failures:
        print(f"{failures} failures, kept in {args.kept}", file=sys.stderr)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
