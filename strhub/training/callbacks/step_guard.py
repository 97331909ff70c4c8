"""What keeps one bad batch from ending a run: steps that would do harm are left out, and a lost run
is taken back.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging
from torch import Tensor

from strhub.errors import TrainingError
from strhub.training.batch import Batch
from strhub.training.callbacks.last_checkpoint import LastCheckpoint
from strhub.training.checkpoint_io import PREVIOUS, DurableCheckpointIO

__all__ = ["Diverged", "StepGuard"]

log = logging.getLogger(__name__)


class Diverged(TrainingError):
    """Training has gone wrong for good."""


class StepGuard(Callback):
    """Leave out optimizer steps whose gradient is not finite, or many times as long as it usually
    is.

    factor: how many times the median length, before clipping, of the last `window` good steps;
        None: any finite one will do. patience: after so many in a row the run goes back to
            `last.ckpt`, or to the one before it if it has been there already: weights, averages, a
            model's phase and the optimizer's state, while words and schedule go on. returns: how
            often it does that before it gives up.

    The statistics of batch norm that a bad batch has touched are put back, too. All devices see the
    same gradients, so they decide alike. Logged: `skipped_steps`, how many so far.

    Raises:
        Diverged: if it has gone back too often, or there is no checkpoint to go back to.
    """

    def __init__(
        self,
        *,
        factor: float | None = 20.0,
        window: int = 200,
        patience: int = 20,
        returns: int = 3,
    ) -> None:
        if (factor is not None and factor <= 1) or window < 1 or patience < 1 or returns < 0:
            raise ValueError(
                f"guard: factor {factor} must be over 1 or null, window {window} and patience "
                f"{patience} at least 1, "
                f"returns {returns} at least 0"
            )
        self.factor, self.window, self.patience, self.returns = factor, window, patience, returns
        self.lengths: deque[float] = deque(maxlen=window)
        self.skipped = self.in_a_row = self.gone_back = 0
        self._returned_to = -1  # the step of the checkpoint that it went back to last
        self._buffers: list[Tensor] = []

    @property
    def in_trouble(self) -> bool:
        """Return whether the last step was skipped, so that the state may be of no use."""
        return self.in_a_row > 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Remember the statistics that good steps leave."""
        self._buffers = [buffer.clone() for buffer in _statistics(pl_module)]

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Any
    ) -> None:
        """Look at the gradients, and drop them if they would do harm."""
        gradients = [
            parameter.grad for parameter in pl_module.parameters() if parameter.grad is not None
        ]
        if not gradients:
            return
        length = float(torch.nn.utils.get_total_norm(gradients))
        usual = (
            median(self.lengths)
            if self.factor is not None and len(self.lengths) == self.window
            else math.inf
        )
        statistics = _statistics(pl_module)
        if math.isfinite(length) and length <= (self.factor or 1.0) * usual:
            self.lengths.append(length)
            self.in_a_row = 0
            _copy(statistics, self._buffers)
            return
        self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        for parameter in pl_module.parameters():
            parameter.grad = None
        _copy(self._buffers, statistics)
        what = f"{length:.3g}, usually {usual:.3g}" if math.isfinite(length) else str(length)
        if trainer.is_global_zero:
            log.warning(
                "step %d is skipped, number %d so far: its gradient is %s",
                trainer.global_step,
                self.skipped,
                what,
            )

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Go back if that many were left out."""
        pl_module.log("skipped_steps", float(self.skipped), batch_size=1)
        if self.in_a_row >= self.patience:
            self._go_back(trainer, pl_module)

    def _go_back(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        reason = f"{self.in_a_row} steps in a row would have done harm (step {trainer.global_step})"
        advice = (
            "Lower model.lr, raise model.warmup_pct, or train with trainer.precision=bf16-mixed "
            "or 32-true"
        )
        if self.gone_back >= self.returns:
            raise Diverged(f"{reason}, and the run has gone back {self.gone_back} times. {advice}")
        last = next(
            (one.path for one in trainer.checkpoint_callbacks if isinstance(one, LastCheckpoint)),
            None,
        )
        if last is None or not Path(last).is_file():
            raise Diverged(f"{reason}, and there is no checkpoint to go back to. {advice}")
        files = DurableCheckpointIO()
        state = files.load_checkpoint(last, weights_only=True)
        if state["global_step"] == self._returned_to and last.with_name(PREVIOUS).is_file():
            state = files.load_checkpoint(last.with_name(PREVIOUS), weights_only=True)
        _restore(trainer, pl_module, state)
        self._returned_to, self.gone_back, self.in_a_row = (
            state["global_step"],
            self.gone_back + 1,
            0,
        )
        self.lengths.clear()
        _copy(_statistics(pl_module), self._buffers)
        log.warning("%s: went back to the weights of step %d", reason, state["global_step"])

    def state_dict(self) -> dict[str, Any]:
        """Return what the next decisions depend on."""
        return {
            "lengths": list(self.lengths),
            "skipped": self.skipped,
            "in_a_row": self.in_a_row,
            "gone_back": self.gone_back,
            "returned_to": self._returned_to,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on deciding."""
        self.lengths = deque(state_dict["lengths"], maxlen=self.window)
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]
        self.gone_back, self._returned_to = state_dict["gone_back"], state_dict["returned_to"]


def _restore(trainer: pl.Trainer, pl_module: pl.LightningModule, state: dict[str, Any]) -> None:
    """Restore weights, averages, optimizer and what else the module keeps (ABINet: its phase) from
    a checkpoint; the rates stay those of the schedule's present step.
    """
    trainer.strategy.load_model_state_dict(state)
    pl_module.on_load_checkpoint(state)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, WeightAveraging):
            callback.on_load_checkpoint(
                trainer, pl_module, state
            )  # which also loads the weights beside the average
    for optimizer, earlier in zip(trainer.optimizers, state["optimizer_states"], strict=True):
        present = [
            {name: value for name, value in group.items() if name != "params"}
            for group in optimizer.param_groups
        ]
        optimizer.load_state_dict(earlier)
        for group, values in zip(optimizer.param_groups, present, strict=True):
            group.update(values)


def _statistics(pl_module: pl.LightningModule) -> list[Tensor]:
    """Return the buffers that change in training: those of batch norm."""
    return [buffer for buffer in pl_module.buffers() if buffer.is_floating_point()]


def _copy(source: list[Tensor], target: list[Tensor]) -> None:
    if source:
        with torch.no_grad():
            torch._foreach_copy_(target, source)
