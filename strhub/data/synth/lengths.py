"""Lines, and texts of a wished length, strung together from others.

In: what draws a text, and a limit or a length. Out: a text. Or (least, most) characters, which are
    checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from strhub.data.synth.shaping import clusters

__all__ = ["checked_lengths", "head", "joined_texts", "line_of"]

Draw: TypeAlias = Callable[[np.random.Generator], str]


def checked_lengths(lengths: Sequence[Any], max_length: int) -> tuple[int, int]:
    """Return (least, most); `ValueError` unless they are whole numbers and 1 <= least <= most <=
    max_length.
    """
    whole = all(isinstance(length, int) and not isinstance(length, bool) for length in lengths)
    if len(lengths) != 2 or not whole or not 1 <= lengths[0] <= lengths[1] <= max_length:
        raise ValueError(
            f"lengths are two whole numbers between 1 and max_length ({max_length}), the lower "
            "first, "
            f"not {list(lengths)}"
        )
    return lengths[0], lengths[1]


def head(text: str, longest: int) -> str:
    """Return the first `longest` characters of `text`, fewer where that would part a letter from
    its marks.
    """
    kept = ""
    for cluster in clusters(text):
        if len(kept) + len(cluster) > longest:
            break
        kept += cluster
    return kept


def line_of(draw: Draw, rng: np.random.Generator, longest: int) -> str:
    """Return one text, or several with a space between them, as far as `longest` characters are
    enough for them.
    """
    text = draw(rng)
    if rng.random() < 0.5:
        return text
    for _ in range(int(rng.geometric(0.5))):
        word = draw(rng)
        if len(text) + 1 + len(word) > longest:
            break
        text += f" {word}"
    return text


def joined_texts(
    draw: Draw, fill: Draw, rng: np.random.Generator, length: int, *, space: bool
) -> str:
    """Return texts in a row, with spaces between them or not, cut to `length`; `fill` draws what
    may end it.
    """
    text = ""
    while len(text) < length:
        text += (" " if text and space else "") + draw(rng)
    text = head(text, length)
    return (
        text[:-1] + head(fill(rng), 1) if text.endswith(" ") else text
    )  # a last space would not be seen
