"""The LightningModule that all recognisers extend: optimiser, schedule, seeding and validation.

A recogniser's own `system.py` adds its loss and nothing else. The network is `self.model`, so that checkpoints carry
the names of the published ones.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from torch import Tensor

from strhub.metrics import Score
from strhub.options import check_options, keyword_names
from strhub.scene_text_model import SCENE_TEXT_OPTIONS, build_network, build_tokenizer, network_class
from strhub.text import CharsetAdapter


class System(pl.LightningModule, ABC):
    """Training and validation of one recogniser.

    Options, all by keyword and all in the checkpoint: those of the network, those every recogniser has (charsets,
    sizes, normalisation), and the ones below and the sub-class's own. An unknown one is an error.

    batch_size: words a device and step; lr: learning rate for 256 words on one device (see `effective_lr`);
    warmup_pct: share of the steps in which the rate rises; weight_decay: of all weights;
    optimizer, schedule: what to instantiate, with `_target_`; seed: of everything drawn in training.
    """

    architecture: ClassVar[str]

    def __init__(
        self,
        *,
        batch_size: int,
        lr: float,
        warmup_pct: float,
        weight_decay: float,
        optimizer: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__()
        own = {
            "batch_size": batch_size,
            "lr": lr,
            "warmup_pct": warmup_pct,
            "weight_decay": weight_decay,
            "optimizer": optimizer,
            "schedule": schedule,
            "seed": seed,
        }
        check_options(options, self.known_options(), f"the model {self.architecture!r}")
        self.save_hyperparameters({**options, **own, "architecture": self.architecture})
        self.model = build_network(self.hparams)
        self.tokenizer = build_tokenizer(self.hparams)
        self.charset_adapter = CharsetAdapter(self.hparams["charset_test"])
        self._validation = (Score(), torch.zeros(2, dtype=torch.float64))
        self._batch_number = 0

    @classmethod
    def known_options(cls) -> list[str]:
        """Names of all options: this class's own, every model's, and the network's."""
        own = [*keyword_names(System.__init__), *keyword_names(cls.__init__)]
        return [*own, *SCENE_TEXT_OPTIONS, *keyword_names(network_class(cls.architecture))]

    @abstractmethod
    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """The loss of a batch: images (B, 3, H, W), normalised, and their labels. A scalar."""

    @abstractmethod
    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Read a batch as in use: logits (B, L, C), the mean loss, and the number of elements it is a mean of."""

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read pictures (B, 3, H, W), normalised, to logits (B, L, C); see the network's `forward`."""
        return self.model(images, max_length)

    def rng(self) -> np.random.Generator:
        """Randomness of this batch: a function of the seed and the batch's number alone, the same on every device."""
        return np.random.default_rng([int(self.hparams["seed"]), self._batch_number])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by the batch, so that a resumed run draws what the uninterrupted one would have drawn."""
        self._batch_number = self.trainer.fit_loop.epoch_loop.total_batch_idx
        entropy = [int(self.hparams["seed"]), self._batch_number, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step on (images, labels, ...)."""
        images, labels, *_ = batch
        loss = self.training_loss(images, labels)
        self.log("loss", loss, prog_bar=True, batch_size=len(labels))
        return loss

    def configure_optimizers(self) -> Any:
        """Instantiate optimiser and schedule from the configuration."""
        if self.hparams["optimizer"] is None or self.hparams["schedule"] is None:
            raise ValueError("to train, a model needs `optimizer` and `schedule`, each a mapping with a `_target_`")
        lr = self.effective_lr()
        optimizer = instantiate(
            self.hparams["optimizer"], params=self.named_parameters(), lr=lr, weight_decay=self.hparams["weight_decay"]
        )
        schedule = instantiate(
            self.hparams["schedule"],
            optimizer=optimizer,
            max_lr=lr,
            total_steps=self.total_steps(),
            pct_start=self.hparams["warmup_pct"],
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def total_steps(self) -> int:
        """Optimiser steps of the whole run.

        Not Lightning's own estimate, which makes the training loader before a resumed run knows where it stands.
        """
        trainer = self.trainer
        if trainer.datamodule is None:  # type: ignore[attr-defined]
            return int(trainer.estimated_stepping_batches)
        batches = len(trainer.datamodule.train_batches())  # type: ignore[attr-defined]
        limit: int | float = trainer.limit_train_batches
        batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
        steps = math.ceil(batches / trainer.accumulate_grad_batches) * max(1, trainer.max_epochs or 1)
        if trainer.max_epochs == -1 or 0 <= trainer.max_steps < steps:
            steps = trainer.max_steps
        if steps < 1:
            raise ValueError("the run has no steps: check trainer.max_epochs, max_steps and limit_train_batches")
        return steps

    def effective_lr(self) -> float:
        """The published rule: accumulated batches x sqrt(devices) x batch size / 256 x lr."""
        scale = self.trainer.accumulate_grad_batches * math.sqrt(self.trainer.world_size)
        return scale * self.hparams["batch_size"] / 256 * self.hparams["lr"]

    def on_validation_epoch_start(self) -> None:
        """Start counting anew."""
        self._validation = (Score(), torch.zeros(2, dtype=torch.float64))

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Add the scores of (images, labels, unreadable, lost labels) to the sums."""
        images, labels, *rest = batch
        score, losses = self._validation
        readings = []
        if labels:
            logits, loss, elements = self.validation_loss(images, labels)
            losses += torch.tensor([loss.item() * elements, elements], dtype=torch.float64)
            readings = self.tokenizer.decode_characters(logits.softmax(-1))
        score.add_batch(readings, labels, rest[1] if len(rest) > 1 else (), self.charset_adapter)

    def on_validation_epoch_end(self) -> None:
        """Add the sums of all devices and log the scores, accuracies in percent."""
        score, losses = self._validation
        sums = torch.cat([torch.tensor(score.sums(), dtype=torch.float64), losses]).to(self.device, torch.float32)
        if self.trainer.world_size > 1:
            sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        *scores, loss, elements = sums.tolist()
        total = Score(*scores)
        self.log("val_loss", loss / max(elements, 1), sync_dist=False, rank_zero_only=False)
        self.log("val_accuracy", 100 * total.accuracy, prog_bar=True)
        self.log("val_NED", 100 * total.one_minus_ned, prog_bar=True)
        self.log("val_confidence", 100 * total.mean_confidence)
        self.log("hp_metric", 100 * total.accuracy)
        self._validation = (Score(), torch.zeros(2, dtype=torch.float64))
