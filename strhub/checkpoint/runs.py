"""The folder of a training run: which of its checkpoints a name means.

outputs/run         its best one; the last one if it keeps no best ones
outputs/run/best    the same
outputs/run/last    the last one
"""

from __future__ import annotations

import re
from pathlib import Path

__all__ = [
    "BEST",
    "CHECKPOINTS",
    "LAST",
    "best_checkpoint",
    "checkpoint_of_run",
    "folder_of_run",
    "last_checkpoint",
]

CHECKPOINTS = "checkpoints"
BEST, LAST = "best", "last"
_LAST_FILES = ("last.ckpt", "previous.ckpt")
_ACCURACY = re.compile(r"accuracy=?(\d+(?:\.\d+)?)")
_STEP = re.compile(r"step=?(\d+)")


def checkpoint_of_run(path: Path) -> Path | None:
    """Return the file that a run's folder, or the name `best` or `last` in it, means; None if it is
    no such name.

    A file or folder that is really called so comes first.
    """
    if path.is_dir():
        return best_checkpoint(path) or last_checkpoint(path)
    if path.exists() or not path.parent.is_dir():
        return None
    if path.name == LAST:
        return last_checkpoint(path.parent)
    if path.name == BEST:
        return best_checkpoint(path.parent) or last_checkpoint(path.parent)
    return None


def best_checkpoint(run: Path) -> Path | None:
    """Return the checkpoint whose name tells the highest accuracy, of equals the latest; None if
    none does.
    """
    ranked = [
        (float(accuracy[1]), int(step[1]) if (step := _STEP.search(path.name)) else 0, path)
        for path in _folder(run).glob("*.ckpt")
        if (accuracy := _ACCURACY.search(path.stem)) and not path.name.startswith(".")
    ]
    return max(ranked)[-1] if ranked else None


def last_checkpoint(run: Path) -> Path | None:
    """Return `last.ckpt`, or the one before it if that is all there is; None without either."""
    folder = _folder(run)
    return next((folder / name for name in _LAST_FILES if (folder / name).is_file()), None)


def folder_of_run(checkpoint: Path) -> Path | None:
    """Return the run's folder that a checkpoint lies in; None if it lies elsewhere."""
    folder = checkpoint.absolute().parent
    return folder.parent if folder.name == CHECKPOINTS else None


def _folder(run: Path) -> Path:
    """Return the folder of a run's checkpoints; the run's folder may be it."""
    return run / CHECKPOINTS if (run / CHECKPOINTS).is_dir() else run
