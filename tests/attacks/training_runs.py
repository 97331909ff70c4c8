"""Whole runs of `train.py` that are killed or told to stop: tiny ones, which save their state at
every step or two.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path

TRAINING = (
    "model.embed_dim=32", "model.enc_num_heads=1", "model.dec_num_heads=2", "model.enc_depth=1",
    "model.patch_size=[16,16]", "model.batch_size=4", "model.max_label_length=12",
    "dataset=rendered", "data.render.words=8", "data.render.difficulty=0",
    "data.render.validation=4", "data.num_workers=0",
    "trainer.log_every_n_steps=1", "logger=csv", "+trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu", "callbacks.summary=null", "+trainer.num_sanity_val_steps=0",
    "trainer.max_epochs=2", "ckpt_path=last",
)  # fmt: skip
PLAIN = ("callbacks.best=null", "callbacks.last.every_n_steps=1")
AVERAGED = (
    "averaging=ema",
    "callbacks.last.every_n_steps=2",
    "callbacks.best.save_top_k=1",
    "trainer.val_check_interval=0.5",
)
"""Validation within epochs, a mean of the weights, the best state besides the last."""


def train(folder: Path, options: tuple[str, ...]) -> None:
    """Train in a folder, or resume what is there."""
    from strhub.cli.train import main

    here = Path(__file__).resolve().parents[2]
    sys.argv = [str(here / "train.py"), *TRAINING, *options, f"hydra.run.dir={folder / 'run'}"]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"train.py ended with {end.code}") from end


def outcome(folder: Path) -> object:
    """Return what a run came to: its metrics by step, and a hash of its last weights."""
    with (folder / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    metrics = sorted(
        (int(row["step"]), name, row[name])
        for row in rows
        for name in ("loss", "val_loss", "val_accuracy")
        if row.get(name)
    )
    return metrics, _hash_of_weights(folder / "run" / "checkpoints" / "last.ckpt")


def _hash_of_weights(path: Path) -> str:
    import numpy as np

    from strhub.training.checkpoint_io import DurableCheckpointIO

    state = DurableCheckpointIO().load_checkpoint(path)
    found = hashlib.sha256()
    for name, value in sorted(state["state_dict"].items()):
        found.update(name.encode() + np.ascontiguousarray(value.numpy()).tobytes())
    return found.hexdigest()


def check_states(folder: Path) -> str:
    """Return what is wrong with the states that a killed run left: each has to load."""
    from strhub.training.checkpoint_io import DurableCheckpointIO, latest_checkpoint

    for checkpoints in folder.glob("run/**/checkpoints"):
        if last := latest_checkpoint(checkpoints):
            DurableCheckpointIO().load_checkpoint(last)
        for best in checkpoints.glob("epoch*.ckpt"):
            DurableCheckpointIO().load_checkpoint(best)
    return ""
