"""A second branch that reads an image again, together with what the first has read (CLIP4STR: Zhao
et al. 2023).

The first reading goes through CLIP's text tower; a decoder like the first branch's attends to the
image's tokens and the text's. The text is spelled: a token a character, from the 512 that CLIP has
for single bytes, so that no table of merges is needed to read. The text tower does not learn.

CLIP4STR's released models read otherwise, and `clip4str` has them read as they were trained: the
text comes in CLIP's own tokens, whose table of merges is a part of such a model; and each branch
refines its own reading.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from strhub.models.layers.byte_pairs import BYTES, BytePairs
from strhub.models.layers.clip import ClipTextTower
from strhub.models.parseq.reader import CharacterReader, Memory, Plan, ReaderOptions

TEXT_HEAD_SIZE = 64  # of every published CLIP
LEFT_OUT = -1  # the spelling of a character that the text tower does not get


def spell(charset: str, kept: str | None = None) -> list[int]:
    """Return CLIP's token of each character, lower-cased as CLIP's texts are. One of more than a
    byte counts as a `?`.

    kept: the characters that have one; the others have `LEFT_OUT`. None: all have.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    order = [*printable, *(byte for byte in range(BYTES) if byte not in printable)]
    lowered = [character.lower().encode("utf-8") for character in charset]
    tokens = [order.index(spelled[0] if len(spelled) == 1 else ord("?")) for spelled in lowered]
    if kept is None:
        return tokens
    any_case = kept if kept != kept.lower() else f"{kept}{kept.upper()}"
    return [
        token if character in any_case else LEFT_OUT
        for character, token in zip(charset, tokens, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class TextTowerOptions:
    """CLIP's text tower, by the names that its sizes have among `PARSeq`'s options.

    spelling: its token of each character; activation: quick_gelu or gelu. clip4str: the text comes
    in CLIP's own tokens, text_context of them, and the branches take turns as CLIP4STR's do.
    """

    spelling: Sequence[int]
    text_embed_dim: int | None
    text_depth: int | None
    text_vocab_size: int | None
    activation: str | None
    clip4str: bool = False
    text_context: int = 16

    def build(self, *, context_length: int, output_dim: int) -> ClipTextTower:
        """Make the tower, with fresh weights; `ValueError` if it lacks a size."""
        if not self.text_embed_dim or not self.text_depth or not self.text_vocab_size:
            raise ValueError(
                "cross_modal needs text_embed_dim, text_depth and text_vocab_size, or a CLIP that "
                "has them"
            )
        return ClipTextTower(
            vocab_size=self.text_vocab_size,
            context_length=context_length,
            embed_dim=self.text_embed_dim,
            depth=self.text_depth,
            num_heads=max(1, self.text_embed_dim // TEXT_HEAD_SIZE),
            output_dim=output_dim,
            activation=self.activation or "quick_gelu",
        )


class CrossModalBranch(CharacterReader):
    """Reads from images and a first reading of them: a text tower, and a reader like the first
    branch's.
    """

    spelling: Tensor
    merges: Tensor

    def __init__(self, text: TextTowerOptions, reader: ReaderOptions) -> None:
        super().__init__()
        self.text_tower = text.build(
            context_length=max(77, reader.max_label_length + 2), output_dim=reader.embed_dim
        ).requires_grad_(False)
        spelling, vocabulary = text.spelling, text.text_vocab_size or 0
        if len(spelling) != reader.charset_size:
            raise ValueError(
                f"spelling has {len(spelling)} tokens for {reader.charset_size} characters"
            )
        self.start_token, self.end_token = vocabulary - 2, vocabulary - 1
        self.register_buffer(
            "spelling", torch.tensor([0, *spelling]), persistent=False
        )  # by character id
        self.clip4str, self.text_context = text.clip4str, text.text_context
        if self.clip4str:
            if not 2 <= self.text_context <= self.text_tower.context_length:
                raise ValueError(
                    f"text_context is {self.text_context}: it must be from 2 to "
                    f"{self.text_tower.context_length}"
                )
            count = max(0, vocabulary - 2 * BYTES - 2)
            self.register_buffer("merges", torch.zeros(count, 3, dtype=torch.int32))
        self._byte_pairs: BytePairs | None = None
        self.build_reader(reader)

    def see(self, encoded: Tensor, logits: Tensor) -> Tensor:
        """Return the image's tokens (B, N, D) and those of the text that was read, (B, L, C): (B, N
        + L + 2, D).
        """
        ids = logits.argmax(-1)
        with torch.no_grad():
            text = self.text_tower.tokens(
                self.paired_tokens(ids) if self.clip4str else self.text_tokens(ids)
            )
        return torch.cat([encoded, text.to(encoded.dtype)], dim=1)

    def text_tokens(self, ids: Tensor) -> Tensor:
        """Map character ids (B, L) to CLIP's tokens (B, L + 2): start, the text up to its [E], and
        ends to fill up.
        """
        ended = (ids == self.eos_id).cumsum(-1) > 0
        last = ~ended & torch.cat(
            [ended[:, 1:], torch.ones_like(ended[:, :1])], dim=1
        )  # of a word: another token
        spelled = (self.spelling[ids] + BYTES * last).masked_fill(ended, self.end_token)
        start = torch.full_like(ids[:, :1], self.start_token)
        return torch.cat([start, spelled, torch.full_like(start, self.end_token)], dim=1)

    def paired_tokens(self, ids: Tensor) -> Tensor:
        """Map character ids (B, L) to CLIP's tokens (B, text_context): start, the text up to its
        [E] in byte pairs, end, and zeros to fill up. A text that is too long keeps its end token.
        """
        if self._byte_pairs is None:
            self._byte_pairs = BytePairs(self.merges)
        tokens = ids.new_zeros(len(ids), self.text_context)
        for number, row in enumerate(ids.tolist()):
            read = row[: row.index(self.eos_id)] if self.eos_id in row else row
            spelled = [token for token in self.spelling[read].tolist() if token != LEFT_OUT]
            text = self._byte_pairs.encode(spelled)[: self.text_context - 2]
            known = [self.start_token, *text, self.end_token]
            tokens[number, : len(known)] = ids.new_tensor(known)
        return tokens

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load, with a table of merges that is read anew."""
        self._byte_pairs = None
        super()._load_from_state_dict(*args, **kwargs)

    def read_after(
        self,
        reader: CharacterReader,
        encoded: Tensor,
        memory: Memory,
        first: Tensor,
        plan: Plan,
    ) -> Tensor:
        """Read after a first reading (B, L, C), then let both branches refine in turn, to logits
        (B, L', C).

        Released CLIP4STR models read as many steps as the first branch took, and each branch
        refines its own reading, over all steps; others refine the reading that came before.

        reader: the first branch; encoded: the image's tokens (B, N, D); memory: what the first
        branch makes of them.
        """
        logits = self.read_first(
            self.memory(encoded, first),
            first.shape[1] if self.clip4str else plan.steps,
            decode_ar=plan.decode_ar,
            stop_early=plan.stop_early and not self.clip4str,
        )
        steps = plan.steps if self.clip4str else None
        for _ in range(plan.refine_iters):
            first = reader.refine(memory, first if self.clip4str else logits, steps)
            logits = self.refine(self.memory(encoded, first), logits, steps)
        return logits

    def memory(self, encoded: Tensor, first: Tensor) -> Memory:
        """Return what it attends to, from the image's tokens (B, N, D) and a reading (B, L, C)."""
        return self.decoder.project_memory(self.see(encoded, first))
