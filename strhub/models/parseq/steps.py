"""Decoding steps of some rows each, taken together as those of all rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from strhub.models.network import Steps


def steps_together(parts: Sequence[tuple[list[int], Steps]]) -> Steps:
    """Combine the steps of several groups of rows into steps of all rows."""
    rows = [row for part, _ in parts for row in part]
    order = sorted(range(len(rows)), key=rows.__getitem__)

    def step(number: int, tokens: Tensor, parents: Tensor) -> Tensor:
        logits = [
            begun(number, tokens[part], parents[part]).unflatten(0, (len(part), -1))
            for part, begun in parts
        ]
        return torch.cat(logits)[order].flatten(0, 1)  # (B, beams, C) to (B * beams, C)

    return step
