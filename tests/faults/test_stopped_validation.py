"""A run that is killed while it validates: the validation is made up, and its row is there once."""

from __future__ import annotations

import csv
import signal
import sys
from pathlib import Path

import pytest
from attack_support import ROOT, run_limited
from small_runs import RENDERED_RUN, SMALL

KILLED = """
import os, signal
from strhub.training.systems.base import System
def killed(self, *args, **kwargs):
    if not self.trainer.sanity_checking:
        os.kill(os.getpid(), signal.SIGKILL)
System.on_validation_batch_start = killed
from strhub.cli.train import main
main()
"""


@pytest.mark.slow
def test_the_validation_of_the_last_epoch_is_made_up(tmp_path: Path) -> None:
    options = [
        *SMALL,
        *RENDERED_RUN,
        "data.render.words=16",
        "data.render.validation=4",
        "trainer.max_epochs=1",
        "averaging=none",
        "ckpt_path=last",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    killed = run_limited(
        [sys.executable, "-c", KILLED, *options],
        memory_mib=4000,
    )
    assert (killed.status, killed.survivors) == (-signal.SIGKILL, 0), killed
    done = run_limited([sys.executable, ROOT / "train.py", *options], memory_mib=4000)
    assert done.ended_well, done
    assert "val_accuracy" in done.stdout
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows if row.get("val_accuracy")] == ["1"]
    assert [row["step"] for row in rows if row.get("loss")] == ["0", "1"]
