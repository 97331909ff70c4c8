"""The orders in which PARSeq learns to read (section 3.3 of the paper): permutations of a text's
positions.
"""

import math

import numpy as np
import torch
from torch import Tensor


def sample_permutations(
    length: int, *, count: int, forward: bool, mirrored: bool, rng: np.random.Generator
) -> Tensor:
    """Draw distinct permutations for a batch whose longest text has `length` characters: (P, length
    + 2), int64.

    Each row holds 0 for [B], the character positions 1 to `length` in the order of prediction, and
    `length` + 1 for [E] at the end. P is at most `count`, and fewer where short texts have fewer
    orders.

    forward: the first is left to right. mirrored: they come in pairs, each followed by its reverse;
    the pair of left to right is right to left with [E] first of all, that is, predicted from no
    context.
    """
    if mirrored and count % 2:
        raise ValueError(
            f"perm_num is {count}: mirrored permutations come in pairs, so it must be even"
        )
    orders = _distinct_orders(length, count // 2 if mirrored else count, forward, mirrored, rng)
    rows = []
    for order in orders:
        rows.append([0, *order, length + 1])
        if mirrored and length > 1:
            rows.append([0, *order[::-1], length + 1])
    if len(rows) > 1 and forward and mirrored:
        rows[1] = [0, *range(length + 1, 0, -1)]
    return torch.tensor(rows, dtype=torch.int64)


def _distinct_orders(
    length: int, count: int, forward: bool, mirrored: bool, rng: np.random.Generator
) -> list[tuple[int, ...]]:
    """Draw up to `count` orders of 1 to `length`; with `mirrored` none is the reverse of
    another.
    """
    positions = np.arange(1, length + 1)
    # Of 20 positions there are more orders than could ever be exhausted; the factorial need not be
    # computed.
    available = math.factorial(min(length, 20)) // (2 if mirrored and length > 1 else 1)
    orders: list[tuple[int, ...]] = [tuple(positions.tolist())] if forward else []
    seen = {key for order in orders for key in (order, order[::-1] if mirrored else order)}
    while len(orders) < min(count, available):
        order = tuple(rng.permutation(positions).tolist())
        if order not in seen:
            orders.append(order)
            seen.update((order, order[::-1]) if mirrored else (order,))
    return orders
