"""The training state that a stopped run resumes from: on a schedule, and when the run is told to
stop.

A state is dumped when a step has ended, but it gets its name only once the step's row is in the
logs, so that a run that is killed at any moment has both or neither: the resumed one continues the
curve without a gap.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from strhub.training.batch import Batch
from strhub.training.checkpoint_io import LAST, put_in_place

__all__ = ["LastCheckpoint", "Stopped"]

log = logging.getLogger(__name__)

NEXT = ".next.ckpt"


class Stopped(Exception):
    """The run was told to stop, and its state is saved. number: of the signal."""

    def __init__(self, number: int, path: Path, step: int) -> None:
        super().__init__(
            f"stopped by {signal.Signals(number).name} after step {step}; the state is in {path}"
        )
        self.number, self.path, self.step = number, path, step


class LastCheckpoint(Checkpoint):
    """Keep `<dirpath>/last.ckpt`, from which a stopped run goes on, and the one before it,
    `previous.ckpt`.

    every_n_steps: optimizer steps; every_n_minutes: of wall time; either may be None. Besides,
        before each validation and at the end.
    signals: names of those that end the run, after the step that is being done and with its state
        saved; SIGINT is Ctrl-C, and the second one ends it at once. On several devices it is enough
        if one process gets it.

    No scheduled state is saved while another callback has `in_trouble` set: it may be of no use.

    Raises:
        Stopped: out of the training, for a signal; `KeyboardInterrupt` for SIGINT.
        OSError: at the end of the training if its state could not be saved.
    """

    def __init__(
        self,
        *,
        dirpath: str,
        every_n_steps: int | None = 500,
        every_n_minutes: float | None = None,
        signals: Sequence[str] = ("SIGTERM", "SIGUSR1", "SIGINT"),
    ) -> None:
        for name, value in (("every_n_steps", every_n_steps), ("every_n_minutes", every_n_minutes)):
            if value is not None and value <= 0:
                raise ValueError(f"{name} is {value}: it must be above 0, or null")
        unknown = [name for name in signals if name not in {*signal.Signals.__members__, "SIGUSR1"}]
        if unknown:
            raise ValueError(
                f"there is no signal {unknown[0]}; known: {', '.join(signal.Signals.__members__)}"
            )
        self.path = Path(dirpath) / LAST
        self.every_n_steps, self.every_n_minutes = every_n_steps, every_n_minutes
        self.signals = [getattr(signal, name) for name in signals if hasattr(signal, name)]
        # number of a signal: that came, and that all devices know of
        self._received = self._stopping = 0
        self._waiting = False  # for the logs: a checkpoint that is not renamed yet
        self._validating = False  # a state is being saved that a validation follows
        self._within_epoch = False  # the last state is being saved, of an epoch that has not ended
        self._last_step: int | None = None  # of a run that only has to make up its last validation
        self._saved_at = self._seen = -1
        self._saved_when = time.monotonic()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the signals; Lightning gives them back to who had them before, when it ends."""
        self._saved_when, self._seen = time.monotonic(), trainer.global_step
        self._received = self._stopping = 0
        process = os.getpid()

        def receive(number: int, frame: Any) -> None:
            if os.getpid() != process:  # a child process without handlers of its own
                return
            if number == signal.SIGINT and self._received:
                raise KeyboardInterrupt
            if not self._received:
                log.warning(
                    "%s: finishing this step, saving and stopping", signal.Signals(number).name
                )
            self._received = number

        if threading.current_thread() is threading.main_thread():
            for number in self.signals:
                signal.signal(number, receive)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Name the state of the step before, now that the logs have it; stop if that is wanted."""
        self._finish(trainer)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Dump the state if it is time to. Not between the batches of one step."""
        if trainer.global_step == self._seen:
            return
        self._seen = trainer.global_step
        self._stopping, due = self._agreed(trainer)
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        in_trouble = any(getattr(other, "in_trouble", False) for other in callbacks)
        if self._stopping or (due and not in_trouble):
            self._dump(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save, over what this step dumped: a run that ends in here makes its validation up when it
        is resumed.
        """
        if trainer.sanity_checking:
            return
        self._validating = True
        try:
            self._dump(trainer)
        finally:
            self._validating = False
        self._finish(trainer)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Say where the run is, as Lightning says it: in a validation, or within an epoch.

        A state that is saved before a validation says that the validation has begun; the last one
        of a run that ends within an epoch, such as by `trainer.max_steps`, that the epoch has not
        ended, as more steps may follow.
        """
        if self._validating:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"][
                "total"
            ]
            progress["completed"] = progress["processed"]
            progress["ready"] = progress["started"] = progress["processed"] + 1
        if self._within_epoch:
            epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]
            for count in (epoch["total"], epoch["current"]):
                count["processed"] = count["completed"] = count["started"] - 1
            checkpoint["epoch"] = epoch["current"]["completed"]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a run resume whose last step is done, but not the validation after it."""
        progress = checkpoint["loops"]["fit_loop"].get(
            "epoch_loop.val_loop.batch_progress", {"total": {}}
        )["total"]
        self._last_step = None
        if (
            progress.get("started", 0) > progress.get("processed", 0)
            and checkpoint["global_step"] == trainer.max_steps
        ):
            self._last_step = trainer.max_steps
            trainer.fit_loop.epoch_loop.max_steps += 1  # until the validation has ended

    @property
    def added_steps(self) -> int:
        """Return how many steps the trainer was allowed beyond the run's own, for its last
        validation to be made up.
        """
        return 0 if self._last_step is None else 1

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the run end where it is to end."""
        if self._last_step is not None:
            trainer.fit_loop.epoch_loop.max_steps, self._last_step = self._last_step, None

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Stop. On several devices only after the next step: they validate different numbers of
        batches.
        """
        if self._received and trainer.world_size == 1 and not trainer.sanity_checking:
            self._stopping = self._received
            self._finish(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Name the state of the last step."""
        self._finish(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Name the state of the last step, whatever came between."""
        self._name(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save what came out."""
        self._stopping = 0  # it has ended anyway
        self._finish(trainer)
        self._saved_at = -1
        batches = trainer.fit_loop.epoch_loop.batch_progress
        self._within_epoch = (
            not batches.is_last_batch and batches.current.ready < trainer.num_training_batches
        )
        try:
            self._dump(trainer)
        finally:
            self._within_epoch = False
        self._finish(trainer)
        trying = trainer.fast_dev_run  # type: ignore[attr-defined]
        if trainer.is_global_zero and not trying and self._saved_at != trainer.global_step:
            raise OSError(
                f"the trained model could not be saved to {self.path}: see the error above"
            )

    def _agreed(self, trainer: pl.Trainer) -> tuple[int, bool]:
        """Return the signal that any device got, and whether it is time for any of them."""
        step, minutes = trainer.global_step, (time.monotonic() - self._saved_when) / 60
        due = self.every_n_minutes is not None and minutes >= self.every_n_minutes
        received = self._received
        if trainer.world_size > 1:
            flags = torch.tensor([received, int(due)], device=trainer.strategy.root_device)
            torch.distributed.all_reduce(flags, torch.distributed.ReduceOp.MAX)
            received, due = int(flags[0]), bool(flags[1])
        return received, due or (self.every_n_steps is not None and step % self.every_n_steps == 0)

    def _dump(self, trainer: pl.Trainer) -> None:
        """Write the state, beside its place."""
        self._saved_when = time.monotonic()
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path.with_name(NEXT), weights_only=False)
            self._waiting = True

    def _finish(self, trainer: pl.Trainer) -> None:
        """Put a dumped state in its place; raise if the run is to stop."""
        self._name(trainer)
        number, self._stopping = self._stopping, 0
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if number:
            raise Stopped(number, self.path, trainer.global_step)

    def _name(self, trainer: pl.Trainer) -> None:
        """Write the logs and put a dumped state in its place."""
        if not self._waiting:
            return
        self._waiting = False
        dumped = self.path.with_name(NEXT)
        for logger in trainer.loggers:
            logger.save()
        if not trainer.is_global_zero:
            self._saved_at = trainer.global_step
        elif dumped.exists():
            try:
                put_in_place(dumped, self.path)
                self._saved_at = trainer.global_step
            except OSError as error:
                log.error("%s could not be saved: %s", self.path, error.strerror or error)
