"""Autoregressive reading of a word or two, checked all at once instead of written step by step.

A first pass reads all positions at once (NAR): a draft, which is right nine times in ten. A second
one gives the logits of every step under the causal mask, with the draft as what was read before. As
far as they agree with the draft, they are what step-by-step reading gives, since each step had the
same context; where they differ first, they give the character that it would read. So the draft is
corrected and checked again until it agrees up to its [E]. Queries under the cloze mask stand beside
those under the causal one, over the same content, so that the last check has refined the text, too.

This is exact, not an approximation: one pass costs about three steps of a single row, and most
words need two. With many rows, some row would need more passes than it is worth.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from strhub.models.parseq.decoder import Masks, cloze_masks, permutation_masks

PASSES = 4  # of checking, after which steps are cheaper; one word in a hundred comes so far
CHUNK = 10  # positions that are drafted at first: nine words in ten end within them

Decode = Callable[[Tensor, Masks], Tensor]


def refine_draft(
    decode: Decode, draft: Tensor, *, start: Tensor, end: int, steps: int
) -> Tensor | None:
    """Return what a refinement of step-by-step reading gives, (B, L, C); None if that takes too
    many passes, or more positions than the draft has.

    decode: from content tokens (B, L) and P masks to logits of L positions, (B, P, L, C).
    draft: ids (B, S), S at most steps; start: the [B] tokens, (B, 1); end: the id of [E].
    """
    for _ in range(PASSES):
        ended = (draft == end).any(1)
        if draft.shape[1] < steps and not bool(ended.all()):
            return None
        length = count_positions(draft, end)
        tokens = torch.cat([start, draft[:, : length - 1]], dim=1)  # (B, L)
        hidden = (tokens == end).cumsum(-1) > 0
        logits = decode(tokens, checking_masks(hidden))  # (B, 2, L, C)
        checked = logits[:, 0].argmax(-1)  # (B, L)
        if bool(((checked == draft[:, :length]) | hidden).all()):
            return logits[:, 1]
        draft = torch.cat([checked, draft[:, length:]], dim=1)
    return None


def count_positions(draft: Tensor, end: int) -> int:
    """Return how many positions the rows of a draft (B, S) take, the first [E] included."""
    running = (draft == end).cumsum(-1) == 0
    return min(int(running.any(0).sum()) + 1, draft.shape[1])


def checking_masks(hidden: Tensor) -> Masks:
    """Return those of a check, and beside them of a refinement; hidden: (B, L)."""
    length = hidden.shape[1]
    order = torch.arange(length + 1, device=hidden.device).unsqueeze(0)
    causal, cloze = permutation_masks(order, hidden), cloze_masks(length, hidden)
    return Masks(
        query=torch.cat([causal.query, cloze.query]),
        content=torch.cat([causal.content, cloze.content]),
        hidden=hidden,
    )
