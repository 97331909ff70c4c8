"""Letters that stand one above the other, as on a hotel's sign, laid side by side to be read.

In: a tall image. Out: a wide one, of as many cells as there seem to be letters.

Letters of such a column are about evenly spaced, and between them are rows with little ink. So the
image is cut into cells of one height: of all numbers of cells, heights and beginnings those are
taken whose middles have much ink, whose borders have little, and outside of which there is least.
Of any other tall image that is cut like this, little can be read; what is counts only if it has a
character for each cell.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.inference.rectification import SHARP, TALLEST

__all__ = ["Column", "cells_of", "side_by_side"]

Floats = npt.NDArray[np.floating[Any]]

FEWEST: Final = 3  # letters of a column: any word lying on its side resembles one of two
_WIDTH: Final = 48  # pixels, of the image whose ink is looked at
_SHAPES: Final = (0.6, 2.0)  # least and greatest height of a cell, over the image's width
# Fractions of the image's height that the cells take; over 1, those at the ends lack their margins.
_SPANS: Final = np.linspace(0.72, 1.1, 14)
_BEGINNINGS: Final = np.linspace(0.0, 1.0, 10)  # where they begin, from the top to the bottom
_IN_CELL: Final = np.array([0.3, 0.5, 0.7])  # where a cell's ink is looked at
# Weights, chosen on 300 rendered columns of letters, of which 93 % were given the right number of
# cells.
_OUTSIDE: Final = 0.8  # of ink beyond the cells, in cells full of it
_SHAPE: Final = 0.15  # of how far a cell is from being a square
_SPAN: Final = 0.5  # of how far the cells are from filling the image


class Column(NamedTuple):
    """letters: how many there are; image: all of them from left to right, the top one first."""

    letters: int
    image: Image.Image


def side_by_side(image: Image.Image, *, height: int) -> Column | None:
    """Return the letters of a column side by side; None if the image is too low for three, or too
    tall for a word.

    image: RGB, at least 1 x 1; height: of the model's images, in pixels.
    """
    width, tall = image.size
    if not FEWEST * _SHAPES[0] * width <= tall <= TALLEST * width:
        return None
    count, begin, each = cells_of(ink_of(image), width / tall)
    size = max(1, min(round(each * tall), SHARP * height))  # of a cell, in pixels
    scale = size / (each * tall)
    across = max(1, round(width * scale))
    # The column at the new scale, with room above and below for cells that begin or end outside.
    column = image.resize((across, max(1, round(tall * scale))), Image.Resampling.BICUBIC)
    rows = np.asarray(column)
    top = round(begin * tall * scale)
    cells = [
        rows[np.clip(np.arange(start, start + size), 0, len(rows) - 1)]
        for start in range(top, top + count * size, size)
    ]
    return Column(count, Image.fromarray(np.concatenate(cells, axis=1)))


def ink_of(image: Image.Image) -> Floats:
    """Return how much each row of an image varies, about 0 to 1, from top to bottom, (rows,)."""
    width = min(image.width, _WIDTH)
    size = (width, max(2, round(image.height * width / image.width)))
    gray = np.asarray(image.resize(size, Image.Resampling.BOX).convert("L"), dtype=np.float32)
    varying = gray.std(axis=1) / 2
    if width > 1:
        varying += np.abs(np.diff(gray, axis=1)).mean(axis=1)
    least, most = np.quantile(varying, (0.03, 0.9))
    return np.minimum((varying - least) / max(float(most - least), 1e-6), 1.2)


def cells_of(ink: Floats, width: float) -> tuple[int, float, float]:
    """Return how many cells there are, where the first begins, and how high each is.

    ink: of each row, (rows,); width: of the image. Lengths are fractions of its height.
    """
    rows = np.arange(len(ink))
    filled = np.concatenate([[0.0], np.cumsum(ink)]) / len(ink)  # ink above each row
    edges = np.linspace(0, 1, len(filled))
    scores: list[tuple[float, int, float, float]] = []
    fewest = max(FEWEST, ceil(1 / (_SHAPES[1] * width)))
    for count in range(fewest, max(fewest, floor(1 / (_SHAPES[0] * width))) + 1):
        each = _SPANS[:, None] / count  # (spans, 1)
        begin = (1 - _SPANS[:, None]) * _BEGINNINGS  # (spans, positions)
        cuts = begin[..., None] + each[..., None] * np.arange(count + 1)
        middles = cuts[..., :-1, None] + each[..., None, None] * _IN_CELL
        between = _at(ink, rows, cuts[..., 1:-1]).mean(-1)
        within = _at(ink, rows, middles).mean((-1, -2))
        above, below = (np.interp(place, edges, filled) for place in (cuts[..., 0], cuts[..., -1]))
        outside = (above + filled[-1] - below) * count
        score = (
            within
            - between
            - _OUTSIDE * outside
            - _SHAPE * np.abs(np.log(each / width))
            - _SPAN * np.abs(_SPANS[:, None] - 1)
        )
        span, place = np.unravel_index(int(score.argmax()), score.shape)
        scores.append(
            (float(score[span, place]), count, float(begin[span, place]), float(each[span, 0]))
        )
    _, count, first, height = max(scores)
    return count, first, height


def _at(ink: Floats, rows: npt.NDArray[np.integer[Any]], positions: Floats) -> Floats:
    """Return the ink at positions, fractions of the height."""
    found: Floats = np.interp(positions * len(ink), rows, ink)
    return found
