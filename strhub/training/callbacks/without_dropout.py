"""Training without dropout, whatever the model calls it."""

from __future__ import annotations

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch import nn

__all__ = ["WithoutDropout"]


class WithoutDropout(Callback):
    """Set every probability of dropout in the model to 0; the model's hyper-parameters stay as they
    are.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find them: modules for dropout, and modules with a number of that name, such as
        attention.
        """
        for module in pl_module.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = 0.0
            elif isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0  # type: ignore[assignment]
