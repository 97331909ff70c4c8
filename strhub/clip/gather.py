"""Rows of all devices on each, with gradients to where they came from."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class RowGatherer:
    """Collects the rows of a batch from all devices; on a single one it gives back what it gets.

    Devices may have different numbers of rows: all are padded to the largest. Every device must
    call the same methods in the same order.
    """

    def __init__(self, rows: int, device: torch.device) -> None:
        self.active = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        self.counts = [rows]
        self.rank = 0
        if self.active:
            self.rank = dist.get_rank()
            mine = torch.tensor(rows, device=device)
            counts = [torch.zeros_like(mine) for _ in range(dist.get_world_size())]
            dist.all_gather(counts, mine)
            self.counts = [int(count) for count in counts]
        self.largest = max(self.counts)

    def rows(self, numbers: Tensor) -> tuple[Tensor, Tensor, int]:
        """Map numbers (B) to those of all devices (G), which of them are rows, not padding, and
        where one's own begin.
        """
        present = torch.cat(
            [torch.arange(self.largest, device=numbers.device) < count for count in self.counts]
        )
        return self.vectors(numbers.unsqueeze(1)).squeeze(1), present, self.rank * self.largest

    def vectors(self, rows: Tensor) -> Tensor:
        """Map rows (B, E) to those of all devices (G, E). Gradients of what all devices compute
        with a row reach it.
        """
        if not self.active:
            return rows
        padded = torch.cat([rows, rows.new_zeros(self.largest - len(rows), rows.shape[1])])
        return _Gather.apply(padded)  # type: ignore[no-untyped-call]


class _Gather(torch.autograd.Function):
    """All devices' tensors, one after the other; the gradient of each is the sum of what all
    devices have for it.
    """

    @staticmethod
    def forward(context: Any, rows: Tensor) -> Tensor:
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())
        return torch.cat(gathered)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        summed = gradient.contiguous().clone()
        dist.all_reduce(summed)
        return summed.chunk(dist.get_world_size())[dist.get_rank()]
