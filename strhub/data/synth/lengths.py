"""Texts of a wished length, strung together from others.

In: (least, most) characters, or a text and a limit. Out: the same checked, or the head of the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from strhub.data.synth.shaping import clusters

__all__ = ["checked_lengths", "head"]


def checked_lengths(lengths: Sequence[Any], max_length: int) -> tuple[int, int]:
    """Returns (least, most); `ValueError` unless they are whole numbers and 1 <= least <= most <= max_length."""
    whole = all(isinstance(length, int) and not isinstance(length, bool) for length in lengths)
    if len(lengths) != 2 or not whole or not 1 <= lengths[0] <= lengths[1] <= max_length:
        raise ValueError(
            f"lengths are two whole numbers between 1 and max_length ({max_length}), the lower first, "
            f"not {list(lengths)}"
        )
    return lengths[0], lengths[1]


def head(text: str, longest: int) -> str:
    """Returns the first `longest` characters of `text`, fewer where that would part a letter from its marks."""
    kept = ""
    for cluster in clusters(text):
        if len(kept) + len(cluster) > longest:
            break
        kept += cluster
    return kept
