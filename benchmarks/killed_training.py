#!/usr/bin/env python3
"""Kill training processes with SIGKILL at random moments, and check that the curve comes out the
same, bit for bit and row for row.

python benchmarks/killed_training.py worker --moments 10   # a data worker: the run restarts it
python benchmarks/killed_training.py driver --moments 10   # the program: ckpt_path=last
python benchmarks/killed_training.py rank --moments 10     # one of two processes (gloo)

With --forked, each start is a copy of a process that has already imported all packages: more kills
per minute, and the same program from there on. The kills can be spread over several calls, each
with another --seed; the uninterrupted run is trained only once.

Exit status 0 if every loss of the killed run is there exactly once and equals that of the
uninterrupted run.
"""

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parent.parent
OPTIONS = (
    "model.embed_dim=32", "model.enc_num_heads=1", "model.dec_num_heads=2", "model.enc_depth=1",
    "model.patch_size=[16,16]", "model.batch_size=8", "model.max_label_length=12",
    "dataset=rendered",
    "data.render.difficulty=0", "data.render.validation=20", "trainer.log_every_n_steps=1",
    "logger=csv", "+trainer.enable_progress_bar=false", "trainer.accelerator=cpu",
    "callbacks.summary=null", "callbacks.best=null", "+trainer.num_sanity_val_steps=0",
    "averaging=ema", "callbacks.last.every_n_steps=3", "trainer.max_epochs=3", "ckpt_path=last",
)  # fmt: skip
KINDS = {
    "worker": ("data.num_workers=2", "trainer.devices=1"),
    "driver": ("data.num_workers=1", "trainer.devices=1"),
    "rank": ("data.num_workers=0", "trainer.devices=2", "trainer.strategy=ddp"),
}


class Forked:
    """train.py in a copy of this process; what is used here of `subprocess.Popen`."""

    def __init__(self, arguments: list[str], printed: IO[bytes]) -> None:
        from strhub.cli.train import main

        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid:
            return
        os.setsid()
        os.chdir(ROOT)
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        sys.argv = arguments
        status: object = 0
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
        except BaseException:
            traceback.print_exc()
            status = 1
        if not isinstance(status, int):
            print(status, file=sys.stderr)
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    def poll(self) -> int | None:
        return self.wait(os.WNOHANG)

    def wait(self, options: int = 0) -> int | None:
        if self.returncode is None:
            found, status = os.waitpid(self.pid, options)
            if found:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


Process = Forked | subprocess.Popen[bytes]


def start(folder: Path, kind: str, words: int, forked: bool) -> Process:
    """Start the command as a user gives it, in a session of its own."""
    arguments = [
        "train.py",
        *OPTIONS,
        *KINDS[kind],
        f"data.render.words={words}",
        f"hydra.run.dir={folder}",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "printed.txt").open("ab") as printed:
        if forked:
            return Forked([str(ROOT / arguments[0]), *arguments[1:]], printed)
        command = [sys.executable, *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, start_new_session=True, stdout=printed, stderr=printed
        )


def losses(folder: Path) -> list[tuple[int, str]]:
    """Step and loss as they are written."""
    path = folder / "metrics.csv"
    if not path.is_file():
        return []
    with path.open() as file:
        return [(int(row["step"]), row["loss"]) for row in csv.DictReader(file) if row.get("loss")]


def children(process: int) -> list[int]:
    """Return the processes that this one has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == process:
                    found.append(int(entry.name))
            except (OSError, ValueError, IndexError):
                continue
    return found


def second_rank(process: int) -> list[int]:
    """Return the process of rank 1."""
    return [
        child
        for child in children(process)
        if b"LOCAL_RANK=1" in Path(f"/proc/{child}/environ").read_bytes()
    ]


def wait_for(process: Process, folder: Path, step: int, rng: random.Random, seconds: float) -> bool:
    """Wait until the run has written more of its curve, up to a step, and a random while longer;
    return whether it still runs.
    """
    before = len(losses(folder))
    while process.poll() is None and len(losses(folder)) <= max(before, step):
        time.sleep(0.05)
    time.sleep(rng.random() * seconds)
    return process.poll() is None


def run_and_kill(args: argparse.Namespace, folder: Path, steps: int) -> int:
    """Train to the end, killing so often on the way to so many steps; how often it was."""
    kind, words, moments, rng = args.kind, args.words, args.moments, random.Random(args.seed)
    # a data worker has done its part long before the last step
    last = steps // 3 if kind == "worker" else steps * 9 // 10
    due, kills = sorted(rng.randrange(last) for _ in range(moments)), 0
    process = start(folder, kind, words, args.forked)
    while True:
        if kills < moments and wait_for(process, folder, due[kills], rng, args.seconds):
            if kind == "driver":
                os.killpg(process.pid, signal.SIGKILL)
                targets = [process.pid]
            else:
                targets = rng.sample(found, 1) if (found := _targets(process.pid, kind)) else []
                for target in targets:
                    os.kill(target, signal.SIGKILL)
            kills += len(targets)
            if kind == "worker" or not targets:
                continue
        status = process.wait()
        if status == 0:
            return kills
        for child in _targets(process.pid, kind):  # the rest of a session whose driver is gone
            os.kill(child, signal.SIGKILL)
        print(f"{kind}: ended with status {status} at step {len(losses(folder))}", flush=True)
        if kills > moments or (kills == moments and status > 0 and kind == "worker"):
            raise SystemExit((folder / "printed.txt").read_text()[-3000:])
        process = start(folder, kind, words, args.forked)


def _targets(process: int, kind: str) -> list[int]:
    return second_rank(process) if kind == "rank" else children(process) if kind == "worker" else []


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=tuple(KINDS))
    parser.add_argument("--moments", type=int, default=10)
    parser.add_argument("--words", type=int, default=320, help="words per epoch")
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.5,
        help="longest wait in seconds between progress and the next kill",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--forked",
        action="store_true",
        help="start copies of a process that has imported all packages",
    )
    parser.add_argument("--folder", type=Path, default=Path("outputs/killed"))
    args = parser.parse_args()
    folder = args.folder.absolute()
    name = f"{args.kind}-{args.words}"
    whole_run, killed_run = folder / f"whole-{name}", folder / f"killed-{name}-{args.seed}"
    if killed_run.exists():
        raise SystemExit(f"{killed_run} is there already: give another --seed or --folder")
    if not (whole_run / "done").exists():
        if (status := start(whole_run, args.kind, args.words, args.forked).wait()) != 0:
            raise SystemExit(
                f"ended with {status}: " + (whole_run / "printed.txt").read_text()[-3000:]
            )
        (whole_run / "done").touch()
    whole = losses(whole_run)
    kills = run_and_kill(args, killed_run, len(whole))
    killed = losses(killed_run)
    same = whole == killed
    print(
        f"{args.kind}: killed {kills} times; {len(whole)} losses, "
        f"{'all the same' if same else 'NOT the same'}"
    )
    for one in sorted(set(whole) ^ set(killed))[:10]:
        print(one, "whole" if one in whole else "killed")
    sys.exit(0 if same and kills == args.moments else 1)


if __name__ == "__main__":
    main()
