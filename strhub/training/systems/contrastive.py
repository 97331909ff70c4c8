"""Training with the contrastive objective beside a recognizer's own loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from strhub.clip.contrastive import Contrastive, ContrastiveOptions
from strhub.clip.gather import RowGatherer
from strhub.clip.text_side import TextSide, load_text_side, text_size
from strhub.training.systems.base import System


class ContrastiveSystem(System):
    """Train a recognizer whose encoder makes tokens of an image.

    contrastive: options of `strhub.clip.contrastive.ContrastiveOptions`; with weight 0 there is no
    objective, and nothing of it is made. All options of `System` besides. A sub-class adds
    `contrastive_part` to its loss, and says how it reads.
    """

    def __init__(self, *, contrastive: Mapping[str, Any] | None = None, **options: Any) -> None:
        aims = ContrastiveOptions.from_options(contrastive)
        contrastive = {**(contrastive or {})}
        if aims.weight:
            source = options.get("pretrained_encoder")
            contrastive["text_dim"] = text_size(aims, options, source)
        super().__init__(contrastive=contrastive, **options)
        self.contrastive: Contrastive | None = None
        self.text_side: TextSide | None = (
            None  # frozen, made when training begins, and in no checkpoint
        )
        if aims.weight:
            self.contrastive = Contrastive(
                ContrastiveOptions.from_options(contrastive),
                image_dim=self.token_dim,
                text_dim=contrastive["text_dim"],
                class_token=self.class_token,
            )

    @property
    def token_dim(self) -> int:
        """Return the size of the encoder's tokens."""
        raise NotImplementedError

    @property
    def class_token(self) -> bool:
        """Return whether the first of the encoder's tokens stands for the image."""
        return False

    def setup(self, stage: str) -> None:
        """Make the text side ready before training."""
        if stage == "fit" and self.contrastive is not None:
            words = self.trainer.datamodule.training_words if self.trainer.datamodule else None  # type: ignore[attr-defined]
            self.text_side = load_text_side(self.contrastive.options, dict(self.hparams), words)

    def on_train_start(self) -> None:
        """Move the text side to where the model is, its vocabulary placed as it was if the run goes
        on.
        """
        if self.contrastive is not None and self.text_side is not None:
            self.text_side.to(self.device)
            if self.text_side.space is not None:
                self.contrastive.place_as_before(self.text_side.space)

    def first_readings(self, encoded: Tensor) -> list[str]:
        """Return what the model reads now in the encoder's tokens (B, N, D), without dropout."""
        raise NotImplementedError

    def contrastive_part(self, encoded: Tensor, labels: Sequence[str]) -> Tensor:
        """Return what the objective adds to the loss, (); see `contrastive_loss`."""
        if self.contrastive is None:
            return torch.zeros((), device=encoded.device)
        contrastive = self.contrastive_loss(encoded, labels)
        self.log("contrastive_loss", contrastive.detach(), batch_size=len(labels))
        return self.contrastive.options.weight_at(self.step) * contrastive

    def contrastive_loss(self, encoded: Tensor, labels: Sequence[str]) -> Tensor:
        """Return InfoNCE between images, as the encoder sees them (B, N, D), and their words; in
        float32.
        """
        if self.contrastive is None or self.text_side is None:
            raise ValueError(
                "the contrastive objective has no text side yet: it is built when training begins"
            )
        objective, side = self.contrastive, self.text_side
        space = side.space
        if space is not None and self.step % objective.options.refresh_every == 0 and self.step:
            objective.place(space)
        readings = self.first_readings(encoded) if objective.options.own_errors else []
        with torch.autocast(encoded.device.type, enabled=False):
            images = objective.image_directions(encoded)
            texts = objective.text_directions(side.features(labels))
            negatives = objective.negatives(labels, texts.detach(), side.features, space, readings)
            return objective.loss(
                images, texts, labels, negatives, RowGatherer(len(labels), encoded.device)
            )
