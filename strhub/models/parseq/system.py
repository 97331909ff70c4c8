"""PARSeq's training: permutation language modelling (section 3.3 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.base import System
from strhub.models.layers.ctc import ctc_loss
from strhub.models.parseq.model import PARSeq as Network
from strhub.models.parseq.permutations import sample_permutations
from strhub.text import AttentionTokenizer


class PARSeq(System):
    """Train PARSeq.

    perm_num: orders a batch is read in; perm_forward: the first is left to right; perm_mirrored: each comes with its
    reverse. ctc_weight: of a second loss, which reads the encoder's columns by CTC and shows it early where characters
    are (SVTRv2 guides the other way round; Du et al. 2024, section 3.4); its head is used in training only.
    All options of the network and of `System` besides.
    """

    architecture = "parseq"
    model: Network
    tokenizer: AttentionTokenizer

    def __init__(
        self, *, perm_num: int, perm_forward: bool, perm_mirrored: bool, ctc_weight: float = 0.0, **options: Any
    ) -> None:
        super().__init__(
            perm_num=perm_num, perm_forward=perm_forward, perm_mirrored=perm_mirrored, ctc_weight=ctc_weight, **options
        )
        self.perm_num, self.perm_forward, self.perm_mirrored = perm_num, perm_forward, perm_mirrored
        self.ctc_weight = ctc_weight
        self.guide = ColumnReader(self.model.pos_queries.shape[-1], len(self.tokenizer.charset)) if ctc_weight else None

    def compiled_parts(self) -> list[nn.Module]:
        """Encoder and decoder."""
        return [self.model.encoder, self.model.decoder]

    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Cross-entropy over all orders, each element counted once an order.

        Only the first two orders count [E]: in the others it comes last, after the whole text, and teaches nothing
        that left to right does not.
        """
        tokens = self.tokenizer.encode(labels, self.device)  # (B, T + 1)
        missing = self.longest(tokens.shape[1]) - tokens.shape[1]  # all devices read in the same orders
        tokens = F.pad(tokens, (0, missing), value=self.tokenizer.pad_id)
        permutations = sample_permutations(
            tokens.shape[1] - 2,
            count=self.perm_num,
            forward=self.perm_forward,
            mirrored=self.perm_mirrored,
            rng=self.rng(),
        ).to(self.device)
        encoded = self.model.encoder(images)  # (B, N, D)
        words, characters = len(labels), int((tokens[:, 1:] != self.tokenizer.pad_id).sum()) - len(labels)
        elements = len(permutations) * characters + min(2, len(permutations)) * words
        loss = self.balanced(self.permutation_loss(encoded, tokens, permutations), elements)
        if self.guide is not None:
            columns = encoded.unflatten(1, self.model.encoder.patch_embed.grid_size).mean(
                1
            )  # (B, H', W', D) -> (B, W', D)
            loss = loss + self.ctc_weight * self.guide.loss(columns, tokens, labels)
        return loss

    def permutation_loss(self, encoded: Tensor, tokens: Tensor, permutations: Tensor) -> Tensor:
        """The loss under given permutations (P, T + 1) of tokens (B, T + 1) that begin with [B].

        encoded: the encoder's tokens, (B, N, D).
        """
        pad_id = self.tokenizer.pad_id
        logits = self.model.permuted_logits(encoded, tokens[:, :-1], permutations)  # (P, B, T, C)
        targets = tokens[:, 1:]
        without_end = targets.masked_fill(targets == self.tokenizer.eos_id, pad_id)
        targets = torch.stack([targets if index < 2 else without_end for index in range(len(permutations))])
        return F.cross_entropy(logits.flatten(end_dim=2), targets.flatten(), ignore_index=pad_id)

    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Read with the set decoding for as many steps as the longest label needs."""
        pad_id = self.tokenizer.pad_id
        targets = self.as_long(self.tokenizer.encode(labels, self.device)[:, 1:], pad_id)  # (B, T)
        logits = self(images, targets.shape[1] - 1)
        loss = F.cross_entropy(logits.flatten(end_dim=1), targets.flatten(), ignore_index=pad_id)
        return logits, loss, int((targets != pad_id).sum())


class ColumnReader(nn.Linear):
    """Reads each column of a picture by itself, for CTC: features (B, W, D) to logits (B, W, charset_size + 1).

    The blank has id 0, so that characters have the ids that they have elsewhere.
    """

    def __init__(self, embed_dim: int, charset_size: int) -> None:
        super().__init__(embed_dim, charset_size + 1)

    def loss(self, columns: Tensor, tokens: Tensor, labels: Sequence[str]) -> Tensor:
        """CTC's loss of labels with tokens (B, T + 1) that begin with [B]; see `ctc_loss`."""
        lengths = torch.tensor([len(label) for label in labels], device=columns.device)
        return ctc_loss(self(columns), tokens[:, 1:], lengths)
