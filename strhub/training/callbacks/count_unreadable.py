"""Counting of training records that could not be read."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from strhub.training.batch import Batch, unreadable_of


class CountUnreadable(Callback):
    """Log how many training records could not be read so far, whichever worker met them."""

    def __init__(self) -> None:
        self.count = 0

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Add the batch's count."""
        self.count += unreadable_of(batch)
        pl_module.log("unreadable", float(self.count), batch_size=1)

    def state_dict(self) -> dict[str, Any]:
        """Return the count, for the checkpoint."""
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting."""
        self.count = state_dict["count"]
