"""A second branch that reads an image again, together with what the first has read (CLIP4STR: Zhao
et al. 2023).

The first reading goes through CLIP's text tower; a decoder like the first branch's attends to the
image's tokens and the text's. The text is spelled: a token a character, from the 512 that CLIP has
for single bytes, so that no table of merges is needed to read. The text tower does not learn.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from strhub.models.layers.clip import ClipTextTower
from strhub.models.parseq.reader import CharacterReader

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


class CrossModalBranch(CharacterReader):
    """Reads from images and a first reading of them. Options as for `PARSeq`; activation: of the
    text tower.
    """

    spelling: Tensor

    def __init__(
        self,
        *,
        spelling: Sequence[int],
        text_embed_dim: int | None,
        text_depth: int | None,
        text_vocab_size: int | None,
        activation: str | None,
        charset_size: int,
        max_label_length: int,
        embed_dim: int,
        dec_num_heads: int,
        dec_mlp_ratio: float,
        dec_depth: int,
        dropout: float,
    ) -> None:
        super().__init__()
        if not text_embed_dim or not text_depth or not text_vocab_size:
            raise ValueError(
                "cross_modal needs text_embed_dim, text_depth and text_vocab_size, or a CLIP that "
                "has them"
            )
        if len(spelling) != charset_size:
            raise ValueError(f"spelling has {len(spelling)} tokens for {charset_size} characters")
        self.text_tower = ClipTextTower(
            vocab_size=text_vocab_size,
            context_length=max(77, max_label_length + 2),
            embed_dim=text_embed_dim,
            depth=text_depth,
            num_heads=max(1, text_embed_dim // TEXT_HEAD_SIZE),
            output_dim=embed_dim,
            activation=activation or "quick_gelu",
        ).requires_grad_(False)
        self.start_token, self.end_token = text_vocab_size - 2, text_vocab_size - 1
        self.register_buffer(
            "spelling", torch.tensor([0, *spelling]), persistent=False
        )  # by character id
        self.build_reader(
            charset_size=charset_size,
            max_label_length=max_label_length,
            embed_dim=embed_dim,
            dec_num_heads=dec_num_heads,
            dec_mlp_ratio=dec_mlp_ratio,
            dec_depth=dec_depth,
            dropout=dropout,
        )

    def see(self, encoded: Tensor, logits: Tensor) -> Tensor:
        """The image's tokens (B, N, D) and those of the text that was read, (B, L, C): (B, N + L +
        2, D).
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
