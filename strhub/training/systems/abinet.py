"""ABINet's training: its three parts apart, then together; or its language model alone (section 3.4
of the paper).
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.checkpoint.formats import CheckpointError, read_checkpoint
from strhub.checkpoint.sizes import load_weights
from strhub.checkpoint.zoo import locate
from strhub.models.abinet.model import ABINet as Network
from strhub.models.abinet.model import initialize
from strhub.models.abinet.transformer import Estimate
from strhub.text import AttentionTokenizer
from strhub.training.batch import Batch
from strhub.training.systems.base import System

log = logging.getLogger(__name__)


class ABINet(System):
    """Train ABINet.

    pretrain_pct: fraction of the steps in which vision, language and fusion learn apart: language
        from the labels alone, fusion from the other two's features without teaching them. Then the
        fusion's weights are made anew and all learn together. Which of the two it is, and since
        when, is in the checkpoint.
    v_loss_weight, l_loss_weight, a_loss_weight: of the losses of vision, language and fusion.
    lr, l_lr: learning rates, the second one of the language model.
    language_weights: id or path of a model to take the language model from when training begins,
        such as what a run with lm_only leaves.
    lm_only: train the language model alone, with `lr`; images are not looked at, see
    `strhub.data.sources.texts`. All options of the network and of `System` besides.
    """

    architecture = "abinet"
    model: Network
    tokenizer: AttentionTokenizer

    def __init__(
        self,
        *,
        l_lr: float,
        v_loss_weight: float,
        l_loss_weight: float,
        a_loss_weight: float,
        pretrain_pct: float,
        lm_only: bool = False,
        language_weights: str | None = None,
        **options: Any,
    ) -> None:
        own: dict[str, Any] = {
            "l_lr": l_lr,
            "v_loss_weight": v_loss_weight,
            "l_loss_weight": l_loss_weight,
        }
        own |= {"a_loss_weight": a_loss_weight, "pretrain_pct": pretrain_pct}
        super().__init__(**own, lm_only=lm_only, language_weights=language_weights, **options)
        if not 0 <= pretrain_pct <= 1:
            raise ValueError(f"pretrain_pct is {pretrain_pct}: it must be in [0, 1]")
        if self.model.iter_size < 1:
            raise ValueError(
                "iter_size is 0: without a correction there is no language model to train"
            )
        self.loss_weights = {
            "vision": v_loss_weight,
            "language": l_loss_weight,
            "fusion": a_loss_weight,
        }
        self.lm_only, self.language_weights = lm_only, language_weights
        self.joint = False
        self._joint_from: int | None = None  # the step at which all begin to learn together
        if lm_only:
            self.model.vision.requires_grad_(False)
            self.model.alignment.requires_grad_(False)

    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Return the weighted sum of what the parts lose."""
        targets = self.targets(labels)
        losses = self.losses(self.estimates(images, targets), targets)
        for name, loss in losses.items():
            self.log(f"loss_{name}", loss, batch_size=len(labels))
        return self.balanced(self.weighted_sum(losses), (targets != self.tokenizer.pad_id).sum())

    def estimates(self, images: Tensor, targets: Tensor) -> dict[str, Sequence[Estimate]]:
        """Return what the parts that learn in this phase make of a batch, by part: one estimate an
        iteration.
        """
        if self.lm_only:
            return {"language": [self.model.language(self.one_hot(targets))]}
        if self.joint:
            return self.model.iterate(images)._asdict()
        vision, language = self.model.vision(images), self.model.language(self.one_hot(targets))
        # Its weights will not be kept. It learns so that readings mean something during this phase
        # too.
        fusion = self.model.alignment(language.features.detach(), vision.features.detach())
        return {"vision": [vision], "language": [language], "fusion": [fusion]}

    def losses(
        self, estimates: Mapping[str, Sequence[Estimate]], targets: Tensor
    ) -> dict[str, Tensor]:
        """Return the cross-entropy of each part, a mean over its iterations, of targets (B, T)."""
        return {
            name: torch.stack([self._loss(estimate.logits, targets) for estimate in parts]).mean()
            for name, parts in estimates.items()
        }

    def weighted_sum(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return the loss to minimize, of losses by part."""
        return torch.stack([self.loss_weights[name] * loss for name, loss in losses.items()]).sum()

    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Read as in use; with lm_only, tell each character of the labels from the others."""
        targets = self.targets(labels)  # (B, T)
        if self.lm_only:
            logits = self.model.language(self.one_hot(targets)).logits
        else:
            logits = self(images)
        loss = self._loss(logits, targets)
        return logits, loss, int((targets != self.tokenizer.pad_id).sum())

    def targets(self, labels: Sequence[str]) -> Tensor:
        """Return ids of labels: characters, [E], then [P], (B, T)."""
        ids = self.tokenizer.encode(labels, self.device)[:, 1:]
        missing = self.model.max_label_length + 1 - ids.shape[1]
        if missing < 0:
            raise ValueError(
                f"a label is longer than max_label_length, {self.model.max_label_length}"
            )
        return F.pad(ids, (0, missing), value=self.tokenizer.pad_id)

    def one_hot(self, targets: Tensor) -> Tensor:
        """Return targets (B, T) as the language model takes texts, (B, T, C); [P] becomes [E],
        which it can read.
        """
        ids = targets.masked_fill(targets == self.tokenizer.pad_id, self.tokenizer.eos_id)
        return F.one_hot(ids, len(self.tokenizer.charset) + 1).float()

    def compiled_parts(self) -> list[nn.Module]:
        """Return vision, language and fusion, which are trained without the network's own
        `forward`.
        """
        return (
            [self.model.language]
            if self.lm_only
            else [self.model.vision, self.model.language, self.model.alignment]
        )

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.flatten(end_dim=1), targets.flatten(), ignore_index=self.tokenizer.pad_id
        )

    def parameter_groups(self, lr: float) -> Iterable[Any]:
        """Return the groups of parameters: the language model has a rate of its own."""
        trained = [
            (name, parameter)
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        ]
        ratio = self.hparams["l_lr"] / self.hparams["lr"]
        if self.lm_only or ratio == 1:
            return trained
        language = [pair for pair in trained if pair[0].startswith("model.language.")]
        others = [pair for pair in trained if not pair[0].startswith("model.language.")]
        return [{"params": others, "lr": lr}, {"params": language, "lr": lr * ratio}]

    def on_train_start(self) -> None:
        """Begin: find the step at which all learn together, and take over a language model."""
        if self.global_step == 0:
            self.joint, self._joint_from = False, None
            if self.language_weights is not None:
                self.load_language_model(self.language_weights)
        if self._joint_from is None:
            self._joint_from = math.ceil(self.hparams["pretrain_pct"] * self.total_steps())

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Change over to joint training when it is time."""
        super().on_train_batch_start(batch, batch_idx)
        assert self._joint_from is not None
        if not (self.joint or self.lm_only) and self.global_step >= self._joint_from:
            self.begin_joint_training()

    def begin_joint_training(self) -> None:
        """Make the fusion's weights anew, the same on every device, and let all learn together from
        now on.
        """
        log.info(
            "step %d: vision, language and fusion learn together from here on", self.global_step
        )
        fresh = copy.deepcopy(self.model.alignment).cpu()
        initialize(fresh, torch.Generator().manual_seed(int(self.rng().integers(2**62))))
        self.model.alignment.load_state_dict(fresh.state_dict())
        self.joint = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the phase. The learning rates are in the optimizer's and schedule's own states."""
        checkpoint["abinet_phase"] = {"joint": self.joint, "joint_from": self._joint_from}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on in the phase."""
        super().on_load_checkpoint(checkpoint)
        phase = checkpoint.get("abinet_phase", {})
        self.joint, self._joint_from = phase.get("joint", False), phase.get("joint_from")

    def load_language_model(self, source: str) -> None:
        """Take the language model out of a trained model, by id or path; `CheckpointError` if it
        does not fit.
        """
        checkpoint = read_checkpoint(locate(source))
        charset = checkpoint.hparams["charset_train"]
        if charset != self.hparams["charset_train"]:
            raise CheckpointError(
                f"language_weights: {source} knows the charset {charset!r}, which is not this "
                "model's"
            )
        part = {
            name: tensor
            for name, tensor in checkpoint.weights.items()
            if name.startswith("language.")
        }
        weights = {name.removeprefix("language."): tensor for name, tensor in part.items()}
        load_weights(self.model.language, weights, f"the language model of {source}")
