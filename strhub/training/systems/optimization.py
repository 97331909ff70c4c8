"""Optimizer, schedule and frozen layers of a run, and how many steps it has."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate

from strhub.checkpoint.resizing import character_tables
from strhub.models.network import Network
from strhub.training.callbacks.last_checkpoint import LastCheckpoint
from strhub.training.fine_tuning import FineTuning, Layer, encoder_layers
from strhub.training.fused import fuse_by_default
from strhub.training.parameter_groups import split_groups


class OptimizedModule(pl.LightningModule):
    """The half of a system that knows of rates and steps."""

    model: Network
    fine_tuning: FineTuning
    planned_groups: list[dict[str, Any]]
    _encoder: list[Layer] | None

    def encoder(self) -> list[Layer]:
        """Return the layers of the encoder that can be frozen or have rates of their own."""
        if self._encoder is None:
            self._encoder = encoder_layers(self.model, character_tables(self.hparams))
        return self._encoder

    def frozen_layers(self) -> int:
        """Return how many encoder layers, counted from the image, do not learn at this step."""
        return self.fine_tuning.frozen_layers(self.trainer.global_step, len(self.encoder()))

    def configure_optimizers(self) -> Any:
        """Instantiate optimizer and schedule from the configuration."""
        if self.hparams["optimizer"] is None or self.hparams["schedule"] is None:
            raise ValueError(
                "to train, a model needs `optimizer` and `schedule`, each a mapping with a "
                "`_target_`"
            )
        lr, decay = self.effective_lr(), self.hparams["weight_decay"]
        groups = self.parameter_groups(lr)
        if self.fine_tuning.groups:
            layers = self.encoder() if self.fine_tuning.rates else []
            groups = split_groups(groups, self.fine_tuning, layers, lr=lr, weight_decay=decay)
        # Partial, since parameters and rates must not be in a configuration, which would copy them.
        make_optimizer = instantiate(self.hparams["optimizer"], _partial_=True)
        fusing = fuse_by_default(
            make_optimizer, precision=str(self.trainer.precision), device=self.device
        )
        optimizer = make_optimizer(params=groups, lr=lr, weight_decay=decay, **fusing)
        self.planned_groups = [{**group} for group in optimizer.param_groups]
        for group in self.planned_groups:
            del group["params"]
        schedule = self.make_schedule(optimizer, self.total_steps())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def make_schedule(self, optimizer: Any, total_steps: int) -> Any:
        """Return the configured schedule of so many steps, whose highest rates are the optimizer's
        present ones.
        """
        make = instantiate(self.hparams["schedule"], _partial_=True)
        rates = [group["lr"] for group in optimizer.param_groups]
        return make(
            optimizer=optimizer,
            max_lr=rates,
            total_steps=total_steps,
            pct_start=self.hparams["warmup_pct"],
        )

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Take one step of the schedule; if the run lasts longer, as on fewer devices, the rate
        stays.
        """
        if scheduler.last_epoch < getattr(scheduler, "total_steps", math.inf):
            scheduler.step()

    def parameter_groups(self, lr: float) -> Iterable[Any]:
        """Return what the optimizer gets: (name, parameter) pairs, or groups with rates of their
        own; lr: the usual rate.
        """
        return self.named_parameters()

    def total_steps(self) -> int:
        """Return the number of optimizer steps of the whole run.

        Not Lightning's own estimate, which makes the training loader before a resumed run knows
        where it stands.
        """
        trainer = self.trainer
        if trainer.datamodule is None:  # type: ignore[attr-defined]
            return int(trainer.estimated_stepping_batches)
        steps = self.steps_per_epoch() * max(1, trainer.max_epochs or 1)
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        allowed = trainer.max_steps - sum(
            one.added_steps for one in callbacks if isinstance(one, LastCheckpoint)
        )
        if trainer.max_epochs == -1 or 0 <= allowed < steps:
            steps = allowed
        if steps < 1:
            raise ValueError(
                "the run has no steps: check trainer.max_epochs, max_steps and limit_train_batches"
            )
        return steps

    def steps_per_epoch(self) -> int:
        """Return the number of optimizer steps of an epoch of the trainer's data module."""
        return math.ceil(self.batches_per_epoch() / self.trainer.accumulate_grad_batches)

    def batches_per_epoch(self) -> int:
        """Return the number of batches of an epoch, as far as `trainer.limit_train_batches`
        allows.
        """
        batches: int = self.trainer.datamodule.batches_per_epoch()  # type: ignore[attr-defined]
        limit: int | float = self.trainer.limit_train_batches
        return min(batches, limit) if isinstance(limit, int) else int(batches * limit)

    def remaining_steps(self) -> int:
        """Return the number of optimizer steps that a resumed run has before it, from where it was
        restored to.
        """
        trainer = self.trainer
        at_most = trainer.max_steps - trainer.global_step if trainer.max_steps >= 0 else math.inf
        if trainer.max_epochs is None or trainer.max_epochs < 0:
            return int(at_most)
        loop: Any = trainer.fit_loop
        epochs, done = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current.processed
        # not within an epoch
        if epochs.started <= epochs.processed or done >= self.batches_per_epoch():
            done = 0
        steps = self.steps_per_epoch() * (trainer.max_epochs - trainer.current_epoch)
        return int(min(at_most, max(0, steps - done // trainer.accumulate_grad_batches)))

    def effective_lr(self) -> float:
        """Return the learning rate by the published rule: accumulated batches x sqrt(devices) x
        batch size / 256 x lr.
        """
        scale = self.trainer.accumulate_grad_batches * math.sqrt(self.trainer.world_size)
        return scale * self.hparams["batch_size"] / 256 * self.hparams["lr"]
