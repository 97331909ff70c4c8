"""Files of training states that outlast power cuts, full disks and kills.

A state is written beside its place, flushed to the disk and only then renamed, so that under its
name there is always a whole one. `last.ckpt` has the one before it beside it, `previous.ckpt`,
which is used if the newer one is damaged.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from strhub.checkpoint.torch_files import check_archive
from strhub.utils.files import move_over, replacing

__all__ = [
    "LAST",
    "PREVIOUS",
    "DurableCheckpointIO",
    "latest_checkpoint",
    "put_in_place",
]

log = logging.getLogger(__name__)

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class DurableCheckpointIO(TorchCheckpointIO):
    """Writes as said above; what cannot be written is logged, and the files from before stay as
    they are.

    A state that could not be saved does not end a run: the next one may. Whoever saves can look
    whether the file is there. Addresses such as s3:// are left to Lightning.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a state, all or nothing."""
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, only_writer=True) as partial, partial.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            log.error(
                "%s could not be saved: %s. What was saved before is still there",
                path,
                _reason(error),
            )

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a state; for a `last.ckpt` that is damaged or gone, the one before it.

        Raises:
            ValueError: if neither can be read.
        """
        name = Path(str(path)).name
        candidates = [path, Path(path).with_name(PREVIOUS)] if name == LAST else [path]
        reasons = []
        for candidate in candidates:
            try:
                check_archive(Path(str(candidate)))
                state = super().load_checkpoint(candidate, map_location or _as_it_is, weights_only)
            except Exception as error:  # a damaged file raises one of many kinds
                reasons.append(f"{candidate}: {_reason(error)}")
            else:
                if reasons:
                    log.warning(
                        "resuming from the checkpoint before the last: %s", "; ".join(reasons)
                    )
                return state
        raise ValueError(f"no checkpoint to resume from: {'; '.join(reasons)}")


def latest_checkpoint(folder: Path) -> Path | None:
    """Return `last.ckpt` of a folder, if it or the one before it exists; `DurableCheckpointIO`
    finds which.
    """
    return folder / LAST if any((folder / name).is_file() for name in (LAST, PREVIOUS)) else None


def put_in_place(new: Path, last: Path) -> None:
    """Make `new` the file `last`, and what was there the previous one; at every moment one of them
    is there.
    """
    if last.exists():
        kept = last.with_name(f".{PREVIOUS}.partial")  # a name that a killed run may have left
        with suppress(OSError):
            kept.unlink()
        try:
            os.link(last, kept)  # so that `last` always exists
        except OSError:  # a file system without links
            move_over(last, last.with_name(PREVIOUS))
        else:
            move_over(kept, last.with_name(PREVIOUS))
    move_over(new, last)


def _as_it_is(storage: Any, location: Any) -> Any:
    return storage


def _reason(error: BaseException) -> str:
    """Return the system's own words if it was the system, such as `No space left on device`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
