"""PARSeq's training: permutation language modeling (section 3.3 of the paper)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.checkpoint.backbones import load_backbone, resolved_source
from strhub.checkpoint.fitting import differences, mismatch_table
from strhub.clip.sources import find_clip, is_local
from strhub.clip.weights import grid_of, read_clip
from strhub.models.layers.backbones import BackboneEncoder, TimmEncoder
from strhub.models.parseq.encoders import COLUMNS, OWN, grid_size, is_clip
from strhub.models.parseq.model import PARSeq as Network
from strhub.models.parseq.permutations import sample_permutations
from strhub.models.parseq.reader import CharacterReader
from strhub.text import AttentionTokenizer
from strhub.training.systems.contrastive import ContrastiveSystem
from strhub.training.systems.parseq_parts import ColumnReader, with_sizes

log = logging.getLogger(__name__)

GROUP = 32
"""Words of like length that are trained together on a CPU."""


class PARSeq(ContrastiveSystem):
    """Train PARSeq.

    perm_num: orders a batch is read in; perm_forward: the first is left to right; perm_mirrored:
    each comes with its reverse. ctc_weight: of a second loss, which reads the encoder's columns by
    CTC and shows it early where characters are (SVTRv2 guides the other way round; Du et al. 2024,
    section 3.4); its head is used in training only.
    pretrained_encoder: where the weights of CLIP's image tower come from, see
    `strhub.clip.sources.find_clip`, or those of another encoder, see
    `strhub.checkpoint.backbones.load_backbone`; `auto` leaves it to the encoder; None for random
    ones. keep_aspect: as the encoder takes images, None to leave it to that. All options of the
    network and of `ContrastiveSystem` besides.
    """

    architecture = "parseq"
    model: Network
    tokenizer: AttentionTokenizer

    def __init__(
        self,
        *,
        perm_num: int,
        perm_forward: bool,
        perm_mirrored: bool,
        ctc_weight: float = 0.0,
        pretrained_encoder: str | None = None,
        keep_aspect: bool | None = None,
        **options: Any,
    ) -> None:
        encoder = options.get("encoder", OWN)
        clip = is_clip(encoder)
        pretrained_encoder = resolved_source(
            pretrained_encoder, clip=clip, columns=encoder == COLUMNS
        )
        if clip and pretrained_encoder is not None:
            options = with_sizes(options, pretrained_encoder)
        super().__init__(
            perm_num=perm_num,
            perm_forward=perm_forward,
            perm_mirrored=perm_mirrored,
            ctc_weight=ctc_weight,
            pretrained_encoder=pretrained_encoder,
            keep_aspect=keep_aspect,
            **options,
        )
        self.perm_num, self.perm_forward, self.perm_mirrored = perm_num, perm_forward, perm_mirrored
        self.ctc_weight = ctc_weight
        self.guide = (
            ColumnReader(self.model.pos_queries.shape[-1], len(self.tokenizer.charset))
            if ctc_weight
            else None
        )

    @property
    def token_dim(self) -> int:
        """Return the size of the encoder's tokens, as the decoder receives them."""
        return int(self.model.pos_queries.shape[-1])

    @property
    def class_token(self) -> bool:
        """Return whether the first token stands for the image, as CLIP's does."""
        return self.has_clip_encoder

    @property
    def has_clip_encoder(self) -> bool:
        """Return whether the encoder is CLIP's image tower."""
        return is_clip(self.hparams.get("encoder", OWN))

    def load_initial_weights(self) -> None:
        """Give the encoder the weights it begins with; CLIP's positions are interpolated to the
        image's size.
        """
        source = self.hparams["pretrained_encoder"]
        if isinstance(self.model.encoder, BackboneEncoder) and source is not None:
            of_open_clip = ":" in source and not is_local(source)
            if of_open_clip and isinstance(self.model.encoder, TimmEncoder):
                source = str(find_clip(source, self.hparams["encoder"]).path)
            load_backbone(self.model.encoder, source)
            log.info("the encoder starts from %s", source)
        if not self.has_clip_encoder or source is None:
            return
        clip = read_clip(find_clip(source, self.hparams["encoder"]).path)
        grid = grid_of(self.hparams["img_size"], self.hparams["patch_size"])
        state, encoder = clip.image_state(grid), self.model.encoder
        problems = differences(encoder, state)
        if problems:
            raise ValueError(
                f"{clip.path} is not a {self.hparams['encoder']}:\n{mismatch_table(problems)}"
            )
        encoder.load_state_dict(state)
        if self.model.cross is not None:
            if problems := differences(self.model.cross.text_tower, clip.text):
                raise ValueError(f"{clip.path} has another text tower:\n{mismatch_table(problems)}")
            self.model.cross.text_tower.load_state_dict(clip.text)
        log.info("the encoder starts from %s", clip.path)

    def compiled_parts(self) -> list[nn.Module]:
        """Return encoder and decoder."""
        return [self.model.encoder, self.model.decoder]

    def training_loss(self, images: Tensor, labels: Sequence[str]) -> Tensor:
        """Return the cross-entropy over all orders, each element counted once per order.

        Only the first two orders count [E]: in the others it comes last, after the whole text, and
        teaches nothing that left to right does not.
        """
        tokens = self.tokenizer.encode(labels, self.device)  # (B, T + 1)
        missing = (
            self.longest(tokens.shape[1]) - tokens.shape[1]
        )  # all devices read in the same orders
        tokens = F.pad(tokens, (0, missing), value=self.tokenizer.pad_id)
        permutations = sample_permutations(
            tokens.shape[1] - 2,
            count=self.perm_num,
            forward=self.perm_forward,
            mirrored=self.perm_mirrored,
            rng=self.rng(),
        ).to(self.device)
        encoded = self.model.encode(images)  # (B, N, D)
        elements = self._counted_targets(tokens, len(permutations))
        loss = self.balanced(self.permutation_loss(encoded, tokens, permutations), elements)
        if self.model.cross is not None:  # re-reads what the first branch reads in the image now
            seen = self.model.cross.see(encoded, self.model.first_reading(encoded.detach()))
            again = self.permutation_loss(seen, tokens, permutations, self.model.cross)
            loss = loss + self.balanced(again, elements)
        if self.guide is not None:
            rows, width = grid_size(self.model.encoder, images)
            patches = encoded[:, -rows * width :]  # without a class token
            columns = patches.unflatten(1, (rows, width)).mean(1)  # (B, H', W', D) -> (B, W', D)
            loss = loss + self.ctc_weight * self.guide.loss(columns, tokens, labels)
        return loss + self.contrastive_part(encoded, labels)

    def first_readings(self, encoded: Tensor) -> list[str]:
        """Return what the model reads now, step by step without refinement or dropout."""
        logits = self.model.first_reading(encoded.detach())
        return self.tokenizer.decode(logits.softmax(-1))[0]

    def permutation_loss(
        self,
        encoded: Tensor,
        tokens: Tensor,
        permutations: Tensor,
        reader: CharacterReader | None = None,
    ) -> Tensor:
        """Return the loss under given permutations (P, T + 1) of tokens (B, T + 1) that begin with
        [B].

        encoded: what the reader attends to, (B, N, D); by default the reader is the network itself.
        """
        lengths = (tokens[:, 1:] != self.tokenizer.pad_id).sum(1)  # with [E]
        total = torch.zeros((), device=encoded.device)
        for rows in self._group_by_length(lengths):
            longest = int(lengths[rows].max()) if len(rows) < len(tokens) else tokens.shape[1] - 1
            orders = permutations[permutations <= longest].view(len(permutations), -1)
            logits = (reader or self.model).permuted_logits(
                encoded[rows], tokens[rows, :longest], orders
            )
            total = total + self._summed_loss(logits, tokens[rows, 1 : longest + 1])
        return total / self._counted_targets(tokens, len(permutations))

    def _counted_targets(self, tokens: Tensor, orders: int) -> Tensor:
        """Return how many targets of tokens (B, T + 1) count in so many orders, (): characters in
        all, [E] in two only.
        """
        characters = (tokens[:, 1:] != self.tokenizer.pad_id).sum() - len(tokens)
        return orders * characters + min(2, orders) * len(tokens)

    def _summed_loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of logits (P, B, T, C), summed over what counts of targets (B,
        T); [E] in two orders only.
        """
        pad_id = self.tokenizer.pad_id
        without_end = targets.masked_fill(targets == self.tokenizer.eos_id, pad_id)
        targets = torch.stack(
            [targets if index < 2 else without_end for index in range(len(logits))]
        )
        return F.cross_entropy(
            logits.flatten(end_dim=2), targets.flatten(), ignore_index=pad_id, reduction="sum"
        )

    def _group_by_length(self, lengths: Tensor) -> Sequence[Tensor]:
        """Return rows of a batch in groups of like length, (rows,) each: on a CPU, padding costs as
        much as text.

        A GPU, and compiled networks, for which each length would be another program, take all rows
        at once.
        """
        compiled = self.model.decoder._compiled_call_impl is not None
        if lengths.device.type != "cpu" or compiled:
            return [torch.arange(len(lengths), device=lengths.device)]
        return lengths.argsort(stable=True).split(GROUP)

    def validation_loss(self, images: Tensor, labels: Sequence[str]) -> tuple[Tensor, Tensor, int]:
        """Read with the set decoding for as many steps as the longest label needs."""
        pad_id = self.tokenizer.pad_id
        targets = self.as_long(self.tokenizer.encode(labels, self.device)[:, 1:], pad_id)  # (B, T)
        logits = self(images, targets.shape[1] - 1)
        loss = F.cross_entropy(logits.flatten(end_dim=1), targets.flatten(), ignore_index=pad_id)
        return logits, loss, int((targets != pad_id).sum())
