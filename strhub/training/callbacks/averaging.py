"""Averaging of weights over the last part of training."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_avg_fn


class LateWeightAveraging(WeightAveraging):
    """Average the weights from a certain fraction of the training steps on; before that nothing
    changes.

    start: fraction of all steps in [0, 1). decay: None for the plain mean (Izmailov et al. 2018,
    SWA), else that of the exponential moving average. every_n_steps: how often the mean takes a
    sample.

    Unlike Lightning's own it validates and saves the current weights for as long as there is no
    average.
    """

    def __init__(self, *, start: float, decay: float | None = None, every_n_steps: int = 1) -> None:
        if not 0 <= start < 1 or every_n_steps < 1:
            raise ValueError(
                f"averaging: start {start} must be in [0, 1) and every_n_steps {every_n_steps} at "
                "least 1"
            )
        super().__init__(
            use_buffers=True, **({} if decay is None else {"avg_fn": get_ema_avg_fn(decay)})
        )
        self.start, self.every_n_steps = start, every_n_steps
        self._first_step: float = 0

    @property
    def started(self) -> bool:
        """Return whether there is an average yet."""
        return self._average_model is not None and int(self._average_model.n_averaged) > 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the step to start at."""
        self._first_step = self.start * trainer.estimated_stepping_batches

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Return whether to sample the weights after this step."""
        return (
            step_idx is not None
            and step_idx >= self._first_step
            and step_idx % self.every_n_steps == 0
        )

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave the average as the trained weights."""
        if self.started:
            super().on_train_end(trainer, pl_module)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validate the average."""
        if self.started:
            super().on_validation_epoch_start(trainer, pl_module)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on with the current weights."""
        if self.started:
            super().on_validation_epoch_end(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Save the average as the model and the current weights besides."""
        if self.started:
            super().on_save_checkpoint(trainer, pl_module, checkpoint)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with both."""
        if "averaging_state" in checkpoint:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)
