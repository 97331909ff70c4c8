"""The LightningModule that all recognizers extend: optimizer, schedule, seeding and validation.

A sub-class in a module of its own adds its loss and nothing else. The network is `self.model`, so
that checkpoints carry the names of the published ones.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.checkpoint.scene_text_model import (
    SCENE_TEXT_OPTIONS,
    build_network,
    build_tokenizer,
    complete_options,
    network_class,
)
from strhub.errors import ConfigError
from strhub.evaluation.metrics import Score
from strhub.models.network import Network
from strhub.text import ScoredText
from strhub.training.batch import Batch, lost_labels_of
from strhub.training.fine_tuning import FineTuning, Layer
from strhub.training.low_rank import LowRank, compute_in_half, low_rank_changes, recompute_blocks
from strhub.training.resuming import check_resumable
from strhub.training.systems.optimization import OptimizedModule
from strhub.utils.compiling import compile_module
from strhub.utils.options import check_options, keyword_names

log = logging.getLogger(__name__)


class System(OptimizedModule, ABC):
    """Training and validation of one recognizer.

    Options, all by keyword and all in the checkpoint: those of the network, those every recognizer
    has (charsets, sizes, normalization), and the ones below and the sub-class's own. An unknown one
    is an error.

    batch_size: words a device and step; lr: learning rate for 256 words on one device (see
        `effective_lr`);
    warmup_pct: fraction of the steps in which the rate rises; weight_decay: of all weights;
    optimizer, schedule: what to instantiate, with `_target_`; finetune: options of
    `strhub.training.fine_tuning.FineTuning`; seed: of everything drawn in training.
    """

    architecture: ClassVar[str | None] = None
    """The only architecture that it trains; None for a system of any, which is told by the option
    `architecture`.
    """

    model: Network

    def __init__(
        self,
        *,
        batch_size: int,
        lr: float,
        warmup_pct: float,
        weight_decay: float,
        optimizer: Mapping[str, Any] | None = None,
        schedule: Mapping[str, Any] | None = None,
        finetune: Mapping[str, Any] | None = None,
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
            "finetune": finetune,
            "seed": seed,
        }
        architecture = self._checked_architecture(options.get("architecture"))
        check_options(options, self.known_options(architecture), f"the model {architecture!r}")
        self.save_hyperparameters(
            complete_options({**options, **own, "architecture": architecture})
        )
        self.model = build_network(self.hparams)
        self.tokenizer = build_tokenizer(self.hparams)
        self.scored_text = ScoredText(self.hparams["charset_test"])
        self._validation = (Score(), torch.zeros(2, dtype=torch.float64))
        self._warned_untested = False
        self._batch_number = self._steps_together = 0
        self.step = 0  # of the optimizer, in training
        self.fine_tuning = FineTuning.from_options(finetune)
        self._encoder: list[Layer] | None = None
        self.low_rank: LowRank | None = None
        if self.fine_tuning.lora_rank:
            self.low_rank = low_rank_changes(self.encoder(), self.fine_tuning.lora_rank)
        if self.fine_tuning.frozen_half:
            compute_in_half(self.encoder())
        if self.fine_tuning.recompute:
            recompute_blocks(self.model)
        self.planned_groups: list[
            dict[str, Any]
        ] = []  # options of the optimizer's groups as they are configured

    @classmethod
    def known_options(cls, architecture: str) -> list[str]:
        """Return the names of all options: this class's own, every model's, and the network's."""
        systems = [base for base in cls.__mro__ if issubclass(base, System)]
        own = [name for base in reversed(systems) for name in keyword_names(base.__init__)]
        return [
            *dict.fromkeys(own),
            *SCENE_TEXT_OPTIONS,
            *keyword_names(network_class(architecture)),
        ]

    @classmethod
    def _checked_architecture(cls, architecture: str | None) -> str:
        if architecture is None and cls.architecture is None:
            raise ConfigError(f"{cls.__name__} trains any architecture: set model.architecture")
        if architecture is not None and cls.architecture not in (None, architecture):
            raise ConfigError(
                f"{cls.__name__} trains {cls.architecture!r}, not model.architecture={architecture}"
            )
        return architecture or str(cls.architecture)

    @abstractmethod
    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Return the loss of a batch: images (B, 3, H, W), normalized, and their labels. A
        scalar.
        """

    @abstractmethod
    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Read a batch as in use: logits (B, L, C), the mean loss, and the number of elements it is
        a mean of.
        """

    def load_initial_weights(self) -> None:
        """Load what a run begins with that starts from no model of ours; by default nothing."""

    def forward(self, images: Tensor, max_length: int | None = None) -> Tensor:
        """Read images (B, 3, H, W), normalized, to logits (B, L, C); see the network's
        `forward`.
        """
        return self.model(images, max_length)

    def compile_network(self) -> None:
        """Compile what takes most of the time in training; names of parameters and results stay the
        same.
        """
        for part in self.compiled_parts():
            compile_module(part, dynamic=None)

    def compiled_parts(self) -> list[nn.Module]:
        """Return the modules whose `forward` is worth compiling."""
        return self.model.compiled_parts()

    def rng(self) -> np.random.Generator:
        """Return the randomness of this batch: a function of the seed and the batch's number alone,
        the same on every device.
        """
        return np.random.default_rng([int(self.hparams["seed"]), self._batch_number])

    def on_fit_start(self) -> None:
        """Count the epochs that the encoder is frozen for in steps."""
        if self.fine_tuning.frozen_epochs is not None:
            self.fine_tuning = self.fine_tuning.in_steps(self.steps_per_epoch())

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by the batch, so that a resumed run draws what the uninterrupted one would
        have drawn.
        """
        self._batch_number = self.trainer.fit_loop.epoch_loop.total_batch_idx
        self.step = self.trainer.global_step
        entropy = [int(self.hparams["seed"]), self._batch_number, self.global_rank]
        torch.manual_seed(
            int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))
        )
        if self.low_rank is not None:
            for layer in self.encoder():
                layer.learn(False)
        if self.fine_tuning.freezes:
            frozen = self.frozen_layers()
            for number, layer in enumerate(self.encoder()):
                layer.learn(number >= frozen, gradients=self.trainer.world_size == 1)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Drop what frozen layers would learn. On several devices all must have the same gradients
        up to here.
        """
        if self.fine_tuning.freezes and self.trainer.world_size > 1:
            for layer in self.encoder()[: self.frozen_layers()]:
                for parameter in layer.parameters():
                    parameter.grad = None

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Take one step on (images, labels, ...)."""
        images, labels = batch[0], batch[1]
        loss = self.training_loss(images, labels)
        several = self.trainer.world_size > 1
        self.log("loss", loss, prog_bar=True, batch_size=len(labels), sync_dist=several)
        return loss

    def balanced(self, loss: Tensor, elements: int | Tensor) -> Tensor:
        """Weigh a batch's mean loss over `elements`, such as characters, so that all devices
        together make one mean.

        Devices have batches of equal size, but not of equal length: the mean of their means would
        be another number than a single device gets for all their words. A mean over words needs no
        weight.
        """
        if self._trainer is None or self._trainer.world_size == 1:
            return loss
        own = torch.as_tensor(elements, dtype=torch.float32, device=self.device)
        total = own.clone()
        torch.distributed.all_reduce(total)
        return loss * (own * self._trainer.world_size / total.clamp(min=1))

    def longest(self, length: int) -> int:
        """Return the greatest of all devices' lengths."""
        if self._trainer is None or self._trainer.world_size == 1:
            return length
        found = torch.tensor(length, device=self.device)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX)
        return int(found)

    def as_long(self, targets: Tensor, padding: int) -> Tensor:
        """Return targets (B, T) padded to the longest of this validation batch's on any device, (B,
        T').

        What is read may depend on how many steps are read, so that devices read as many as one
        would for all of them.
        """
        return F.pad(targets, (0, max(0, self._steps_together - targets.shape[1])), value=padding)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raise `ConfigError` for a state that is not one of this system's."""
        check_resumable(self, checkpoint)

    def on_validation_epoch_start(self) -> None:
        """Start counting anew."""
        self._validation = (Score(), torch.zeros(2, dtype=torch.float64))

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Add the scores of (images, labels, unreadable, lost labels) to the sums; what was read,
        for callbacks.
        """
        images, labels = batch[0], batch[1]
        score, losses = self._validation
        self._steps_together = self.longest(max(map(len, labels), default=0) + 1)
        readings = []
        if labels:
            logits, loss, elements = self.validation_loss(images, labels)
            losses += torch.tensor([loss.item() * elements, elements], dtype=torch.float64)
            readings = self.tokenizer.decode_characters(logits.softmax(-1))
        score.add_batch(readings, labels, lost_labels_of(batch), self.scored_text)
        return {"readings": readings}

    def on_validation_epoch_end(self) -> None:
        """Add the sums of all devices and log the scores, accuracies in percent."""
        score, losses = self._validation
        sums = torch.cat([torch.tensor(score.sums(), dtype=torch.float64), losses]).to(
            self.device, torch.float32
        )
        if self.trainer.world_size > 1:
            sums = self.trainer.strategy.reduce(sums, reduce_op="sum")
        *scores, loss, elements = sums.tolist()
        total = Score(*scores)
        self._report_untested(total)
        # The same on every device already; the mean of these is what Lightning wants to be asked
        # for.
        several = self.trainer.world_size > 1
        self.log("val_loss", loss / max(elements, 1), sync_dist=several)
        self.log("val_accuracy", 100 * total.accuracy, prog_bar=True, sync_dist=several)
        self.log("val_NED", 100 * total.one_minus_ned, prog_bar=True, sync_dist=several)
        self.log("val_confidence", 100 * total.mean_confidence, sync_dist=several)
        self._validation = (Score(), torch.zeros(2, dtype=torch.float64))

    def _report_untested(self, score: Score) -> None:
        """Say, once and on the first device, how many words of validation cannot be scored, and
        why.
        """
        if score.untested and not self._warned_untested and self.global_rank == 0:
            self._warned_untested = True
            log.warning(
                "%d of %d words of validation are not scored: their labels have no character of "
                "model.charset_test, %r",
                score.untested,
                score.untested + score.samples,
                self.hparams["charset_test"],
            )
