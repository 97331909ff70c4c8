"""What reads characters from an image's tokens: PARSeq without its encoder (sections 3.2 to 3.4 of
the paper).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.models.layers.attention import KeyValue
from strhub.models.parseq.decoder import (
    Decoder,
    Masks,
    cloze_masks,
    one_pass_masks,
    permutation_masks,
)
from strhub.models.parseq.drafting import CHUNK, count_positions, refine_draft
from strhub.models.parseq.stepping import SteppingDecoder

Memory = Sequence[KeyValue]  # of each decoder layer
# Steps between two looks at whether all rows have ended, where a look makes the host wait for the
# device.
CHECK_EVERY = 8


class TokenEmbedding(nn.Module):
    """Token ids to vectors, scaled by the square root of their size (Vaswani et al. 2017, section
    3.4).
    """

    def __init__(self, *, num_tokens: int, embed_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, embed_dim)
        self.scale = math.sqrt(embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map ids of any shape to (..., D)."""
        return self.scale * self.embedding(tokens)


@dataclass(frozen=True, kw_only=True)
class ReaderOptions:
    """The sizes of what reads characters, by the names that they have among `PARSeq`'s options."""

    charset_size: int
    max_label_length: int
    embed_dim: int
    dec_num_heads: int
    dec_mlp_ratio: float
    dec_depth: int
    dropout: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to read: at most so many steps; until all rows have ended, or not; step by step, or all
    at once; how often to refine.
    """

    steps: int
    stop_early: bool
    decode_ar: bool
    refine_iters: int


class CharacterReader(nn.Module):
    """A decoder with the embeddings that go into it and the head that comes after.

    Sub-classes call `build_reader` in their `__init__`, when their other parts are made: released
    weights and the order of parameters in the optimizers of stopped runs depend on it.
    """

    steps_between_checks: int | None = None  # of whether all rows have ended; None: by the device
    drafted_rows = 2  # up to so many are drafted and checked, more are read step by step

    def build_reader(self, options: ReaderOptions) -> None:
        """Make the parts, with fresh weights."""
        charset_size, embed_dim = options.charset_size, options.embed_dim
        self.max_label_length = options.max_label_length
        self.eos_id, self.bos_id, self.pad_id = 0, charset_size + 1, charset_size + 2
        self.decoder = Decoder(
            depth=options.dec_depth,
            embed_dim=embed_dim,
            num_heads=options.dec_num_heads,
            mlp_ratio=options.dec_mlp_ratio,
            dropout=options.dropout,
        )
        self.text_embed = TokenEmbedding(num_tokens=charset_size + 3, embed_dim=embed_dim)
        self.pos_queries = nn.Parameter(torch.zeros(1, self.max_label_length + 1, embed_dim))
        self.head = nn.Linear(embed_dim, charset_size + 1)  # neither [B] nor [P] can be read
        self.dropout = nn.Dropout(options.dropout)
        nn.init.trunc_normal_(self.pos_queries, std=0.02)
        for part in (self.decoder, self.text_embed, self.head):
            for module in part.modules():
                if isinstance(module, nn.Linear | nn.Embedding):
                    nn.init.trunc_normal_(module.weight, std=0.02)
                if isinstance(module, nn.Linear):
                    nn.init.zeros_(module.bias)

    def read_first(
        self, memory: Memory, steps: int, *, decode_ar: bool, stop_early: bool
    ) -> Tensor:
        """Return logits (B, L, C) without refinement, character by character or all at once."""
        if decode_ar:
            return self._read_step_by_step(memory, steps, stop_early=stop_early)
        return self._read_in_one_pass(memory, steps)

    @torch.no_grad()
    def first_reading(self, encoded: Tensor) -> Tensor:
        """Return what it reads step by step, without refinement, dropout or gradient, from the
        encoder's tokens (B, N, D).
        """
        memory = self.decoder.project_memory(encoded)
        return self._read_step_by_step(memory, self.max_label_length + 1, stop_early=True)

    def permuted_logits(self, encoded: Tensor, tokens: Tensor, permutations: Tensor) -> Tensor:
        """Return logits under each permutation, for training: (P, B, T, charset_size + 1).

        encoded: what the encoder makes of the images, (B, N, D); tokens: (B, T) from [B] on,
            without the last;
        permutations: (P, T + 1) of positions.
        """
        memory = self.decoder.project_memory(encoded)
        hidden = (tokens == self.pad_id) | (tokens == self.eos_id)
        count, length = permutations.shape[0], tokens.shape[1]
        query = self.pos_queries[:, None, :length].expand(tokens.shape[0], count, -1, -1)
        masks = permutation_masks(permutations, hidden)
        output = self.decoder(
            self.dropout(query), self.embed_content(tokens), memory, masks
        )  # (B, P, T, D)
        return self.head(output).transpose(0, 1)

    def embed_content(self, tokens: Tensor) -> Tensor:
        """Embed tokens (B, L), the first of which is [B]. [B] has no position; the character at i
        has query i - 1.
        """
        start = self.text_embed(tokens[:, :1])
        characters = self.pos_queries[:, : tokens.shape[1] - 1] + self.text_embed(tokens[:, 1:])
        return self.dropout(torch.cat([start, characters], dim=1))

    def _start_tokens(self, memory: Memory) -> Tensor:
        """Return a [B] token a row, (B, 1)."""
        key = memory[0].key
        return torch.full((key.shape[0], 1), self.bos_id, dtype=torch.long, device=key.device)

    def _read_step_by_step(self, memory: Memory, steps: int, *, stop_early: bool) -> Tensor:
        positions = self.pos_queries[0, :steps]
        decoder = SteppingDecoder(self.decoder, memory, positions)
        embeddings = self.text_embed(
            torch.arange(self.pad_id, device=positions.device)
        )  # of every token but [P]
        content = embeddings[self._start_tokens(memory).squeeze(1)]  # (B, D)
        ended = torch.zeros(content.shape[0], dtype=torch.bool, device=content.device)
        every = self.steps_between_checks or (1 if content.device.type == "cpu" else CHECK_EVERY)
        logits = []
        for step in range(steps):
            logits.append(self.head(decoder.step(step, content)))  # (B, C)
            token = logits[-1].argmax(-1)  # (B)
            if stop_early:
                ended |= token == self.eos_id
                if (step + 1) % every == 0 and ended.all():
                    break
            content = positions[step] + F.embedding(token, embeddings)
        read = torch.stack(logits, dim=1)
        return read[:, : self._steps_needed(read)] if stop_early and every > 1 else read

    def _steps_needed(self, logits: Tensor) -> int:
        """Return up to which step (B, L, C) some row had not yet read [E], including that step."""
        ended = (logits.argmax(-1) == self.eos_id).cumsum(1) > 0  # (B, L)
        return min(int((~ended.all(0)).sum()) + 1, logits.shape[1])

    def read_refined(self, memory: Memory, plan: Plan) -> Tensor:
        """Return logits (B, L, C) that are refined as often as planned."""
        first, passes = None, plan.refine_iters
        if plan.decode_ar and plan.stop_early and passes:
            first = self._read_by_draft(memory, plan.steps)
        if first is None:
            first = self.read_first(
                memory, plan.steps, decode_ar=plan.decode_ar, stop_early=plan.stop_early
            )
        else:
            passes -= 1
        for _ in range(passes):
            first = self.refine(memory, first)
        return first

    def _read_by_draft(self, memory: Memory, steps: int) -> Tensor | None:
        """Return what reading step by step and one refinement give, (B, L, C); None where steps are
        cheaper, and in an exported graph, which must not depend on what is read. See `drafting`.
        """
        start = self._start_tokens(memory)
        if torch.compiler.is_exporting() or len(start) > self.drafted_rows:
            return None

        def decode(tokens: Tensor, masks: Masks) -> Tensor:
            return self._decode_variants(tokens, slice(tokens.shape[1]), memory, masks)

        draft = self._read_in_one_pass(memory, min(CHUNK, steps)).argmax(-1)
        if count_positions(draft, self.eos_id) == CHUNK < steps:
            rest = self._read_in_one_pass(memory, steps, begin=CHUNK).argmax(-1)
            draft = torch.cat([draft, rest], dim=1)
        return refine_draft(decode, draft, start=start, end=self.eos_id, steps=steps)

    def _read_in_one_pass(self, memory: Memory, steps: int, begin: int = 0) -> Tensor:
        """Return logits of the positions from `begin` on, (B, steps - begin, C)."""
        start = self._start_tokens(memory)
        hidden = torch.zeros_like(start, dtype=torch.bool)
        masks = one_pass_masks(steps - begin, hidden=hidden)
        return self._decode_variants(start, slice(begin, steps), memory, masks).squeeze(1)

    def refine(self, memory: Memory, logits: Tensor, steps: int | None = None) -> Tensor:
        """Read once more, each position seeing all of an earlier reading (B, L, C) but its own
        character. steps: how many positions, None for as many as there are.
        """
        tokens = torch.cat([self._start_tokens(memory), logits[:, :-1].argmax(-1)], dim=1)
        ended = (tokens == self.eos_id).cumsum(-1) > 0
        steps = steps or tokens.shape[1]
        return self._decode(tokens, steps, memory, cloze_masks(steps, hidden=ended))

    def _decode(self, tokens: Tensor, steps: int, memory: Memory, masks: Masks) -> Tensor:
        """Return logits (B, L, C) of so many positions, given content tokens (B, S)."""
        return self._decode_variants(tokens, slice(steps), memory, masks).squeeze(1)

    def _decode_variants(
        self, tokens: Tensor, positions: slice, memory: Memory, masks: Masks
    ) -> Tensor:
        """Return logits (B, P, L, C) of L positions under P masks, given content tokens (B, S)."""
        shape = (tokens.shape[0], masks.query.shape[0], -1, -1)
        query = self.pos_queries[:, None, positions].expand(shape)  # (B, P, L, D)
        return self.head(self.decoder(query, self.embed_content(tokens), memory, masks))
