"""Several processes as they are launched in earnest: by Lightning, by torchrun, by SLURM; and
killed on the way.
"""

import csv
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_runs import RENDERED_RUN, SMALL

ROOT = Path(__file__).parent.parent.parent
OPTIONS = (
    *SMALL,
    *RENDERED_RUN,
    "callbacks.best=null",
    "+trainer.num_sanity_val_steps=0",
    "data.render.validation=20",
    "averaging=none",
    "+trainer.enable_model_summary=false",
    "ckpt_path=last",
    "trainer.strategy=ddp",
)


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def losses(run: Path) -> dict[int, str]:
    path = run / "metrics.csv"
    if not path.is_file():
        return {}
    with path.open() as file:
        return {int(row["step"]): row["loss"] for row in csv.DictReader(file) if row.get("loss")}


def slurm(run: Path, *overrides: str) -> list[subprocess.Popen[bytes]]:
    """What `srun` starts for two tasks of one node: the program twice, with SLURM's variables."""
    job = {
        "SLURM_JOB_ID": "77",
        "SLURM_JOB_NAME": "words",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "localhost",
        "SLURM_NODEID": "0",
        "SLURM_STEP_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
    command = [
        sys.executable,
        "train.py",
        *OPTIONS,
        "trainer.devices=2",
        f"hydra.run.dir={run}",
        *overrides,
    ]
    run.mkdir(parents=True, exist_ok=True)
    tasks = []
    for rank in (0, 1):
        environment = {**os.environ, **job, "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
        with (run / f"printed-{rank}.txt").open("wb") as printed:
            tasks.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=printed, stderr=printed)
            )
    return tasks


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torchrun_and_slurm_and_a_signal_to_one_task(tmp_path: Path) -> None:
    """SLURM warns a task with SIGUSR1; both save and end with 75, and the same command resumes,
    under torchrun too.
    """
    run = tmp_path / "slurm"
    tasks = slurm(
        run, "data.render.words=4000", "trainer.max_epochs=1", "callbacks.last.every_n_steps=4"
    )
    try:
        while not (run / "checkpoints" / "last.ckpt").exists():
            assert all(task.poll() is None for task in tasks), (run / "printed-0.txt").read_text()
            time.sleep(0.2)
        tasks[1].send_signal(signal.SIGUSR1)
        assert [task.wait(timeout=300) for task in tasks] == [75, 75], (
            run / "printed-0.txt"
        ).read_text()
    finally:
        for task in tasks:
            task.kill()
    assert "stopped by SIGUSR1 after step" in (run / "printed-1.txt").read_text()
    step = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert sorted(losses(run)) == list(range(step))
    command = [
        *(
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--nproc_per_node=2",
            f"--master_port={free_port()}",
        ),
        *(
            "train.py",
            *OPTIONS,
            "trainer.devices=2",
            f"hydra.run.dir={run}",
            "data.render.words=4000",
        ),
        *(
            "trainer.max_epochs=-1",
            f"+trainer.min_steps={step + 4}",
            f"trainer.max_steps={step + 4}",
        ),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(losses(run)) == list(range(step + 4))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["driver", "worker", "rank"])
def test_killed_at_random_moments(tmp_path: Path, kind: str) -> None:
    script = [
        sys.executable,
        "benchmarks/killed_training.py",
        kind,
        "--moments",
        "1",
        "--words",
        "160",
        "--seconds",  # a fast machine is done in two
        "0.2",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*script, "--folder", str(tmp_path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 1 times; 30 losses, all the same" in done.stdout or kind != "rank"
