"""A validation after a run's last step, wherever in an epoch that is."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from strhub.training.batch import Batch

__all__ = ["FinalValidation"]


class FinalValidation(Callback):
    """Validate after the last step that `trainer.max_steps` allows.

    Lightning validates at the end of an epoch or at an interval; a run that ends before either
    would have neither a score nor a best checkpoint.
    """

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Ask for an early end, before which Lightning validates; after the last step it ends in
        any case.
        """
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True
