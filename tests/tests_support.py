"""Classes that test configurations name by `_target_`."""

import os
import signal
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback


class PowerCut(Exception):
    """What `StopAfter` raises."""


class StopAfter(Callback):
    """Stop a run after so many steps, as a power cut would: no validation, no end of epoch."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        if trainer.global_step >= self.step:
            raise PowerCut


class DieOnce(Callback):
    """Kill the process in the third step, as the system does for want of memory, if a file is
    there; remove that.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: object, batch_idx: int
    ) -> None:
        if trainer.global_step == 2 and self.path.exists():
            self.path.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


class SignalAt(Callback):
    """Send the process a signal when one of Lightning's hooks is called, by its name, or at once:
    `made`.
    """

    def __init__(self, where: str, number: int) -> None:
        if where == "made":
            os.kill(os.getpid(), number)
        else:
            setattr(self, where, lambda *_, **__: os.kill(os.getpid(), number))
