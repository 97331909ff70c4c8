"""A second branch that reads an image again, together with what the first has read (CLIP4STR: Zhao
et al. 2023).

The first reading goes through CLIP's text tower; a decoder like the first branch's attends to the
image's tokens and the text's. The text is spelled: a token a character, from the 512 that CLIP has
for single bytes, so that no table of merges is needed to read. The text tower does not learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from strhub.models.layers.clip import ClipTextTower
from strhub.models.parseq.reader import CharacterReader, ReaderOptions

BYTES = 256  # tokens of bytes inside a word; as many follow for those at its end
TEXT_HEAD_SIZE = 64  # of every published CLIP


def spell(charset: str) -> list[int]:
    """CLIP's token of each character, lower-cased as CLIP's texts are. One of more than a byte
    counts as a `?`.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    order = [*printable, *(byte for byte in range(BYTES) if byte not in printable)]
    lowered = [character.lower().encode("utf-8") for character in charset]
    return [order.index(spelled[0] if len(spelled) == 1 else ord("?")) for spelled in lowered]


@dataclass(frozen=True, kw_only=True)
class TextTowerOptions:
    """CLIP's text tower, by the names that its sizes have among `PARSeq`'s options.

    spelling: its token of each character; activation: quick_gelu or gelu.
    """

    spelling: Sequence[int]
    text_embed_dim: int | None
    text_depth: int | None
    text_vocab_size: int | None
    activation: str | None

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
        self.build_reader(reader)

    def see(self, encoded: Tensor, logits: Tensor) -> Tensor:
        """Return the image's tokens (B, N, D) and those of the text that was read, (B, L, C): (B, N
        + L + 2, D).
        """
        with torch.no_grad():
            text = self.text_tower.tokens(self.text_tokens(logits.argmax(-1)))
        return torch.cat([encoded, text.to(encoded.dtype)], dim=1)

    def text_tokens(self, ids: Tensor) -> Tensor:
        """Character ids (B, L) to CLIP's tokens (B, L + 2): start, the text up to its [E], and ends
        to fill up.
        """
        ended = (ids == self.eos_id).cumsum(-1) > 0
        last = ~ended & torch.cat(
            [ended[:, 1:], torch.ones_like(ended[:, :1])], dim=1
        )  # of a word: another token
        spelled = (self.spelling[ids] + BYTES * last).masked_fill(ended, self.end_token)
        start = torch.full_like(ids[:, :1], self.start_token)
        return torch.cat([start, spelled, torch.full_like(start, self.end_token)], dim=1)
