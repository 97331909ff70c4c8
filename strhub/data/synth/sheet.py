"""Sheets of words: many images at one glance, with or without their labels.

In: (RGB image, label) pairs. Out: one RGB image with a cell for each, all of the same size. Two
sets can be laid side by side, to see what rendered words lack of real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from strhub.data.synth.typefaces import BUNDLED_FONTS, FontShelf, open_font

__all__ = ["CELL", "LABEL_HEIGHT", "beside", "sheet", "tree_words"]

Word: TypeAlias = tuple[Image.Image, str]
CELL: Final = (168, 48)
"""Width and height of an image's place, in pixels."""
LABEL_HEIGHT: Final = 18
_GAP: Final = 6
_LABEL_FONT: Final = "Roboto-Regular.ttf"


class _Labels:
    """Writes labels in a plain font, or where it lacks their letters in the first that has them."""

    def __init__(self) -> None:
        self._shelf = FontShelf()
        self._plain = str(BUNDLED_FONTS / _LABEL_FONT)

    def write(self, canvas: Image.Image, label: str, position: tuple[int, int]) -> None:
        label = label if len(label) <= 28 else label[:27] + "…"
        paths = self._shelf.fitting(label)
        path = self._plain if self._plain in paths or not paths else paths[0]
        pen = ImageDraw.Draw(canvas)
        pen.text(position, label, fill=(60, 60, 60), font=open_font(path, 13), anchor="lt")


def _fitted(image: Image.Image) -> Image.Image:
    """Return the image as large as its cell allows, in its own proportions."""
    scale = min(CELL[1] / image.height, CELL[0] / image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.convert("RGB").resize(size, Image.Resampling.BICUBIC)


def sheet(words: Sequence[Word], *, columns: int = 8, labels: bool = False) -> Image.Image:
    """Return the words row by row; every cell is `CELL` large, with `LABEL_HEIGHT` more below it
    for a label.

    Raises:
        ValueError: if there are no words or `columns` is below 1.
    """
    if not words:
        raise ValueError(
            "a sheet needs at least one word; the set that was given has none that can be read"
        )
    if columns < 1:
        raise ValueError(f"columns must be at least 1, not {columns}")
    step = (CELL[0] + _GAP, CELL[1] + _GAP + (LABEL_HEIGHT if labels else 0))
    columns = min(columns, len(words))
    canvas = Image.new(
        "RGB", (columns * step[0] + _GAP, ceil(len(words) / columns) * step[1] + _GAP), "white"
    )
    writer = _Labels() if labels else None
    for number, (image, label) in enumerate(words):
        left, top = _GAP + number % columns * step[0], _GAP + number // columns * step[1]
        fitted = _fitted(image)
        canvas.paste(fitted, (left, top + (CELL[1] - fitted.height) // 2))
        if writer:
            writer.write(canvas, label, (left, top + CELL[1] + 3))
    return canvas


def beside(
    first: Sequence[Word], second: Sequence[Word], *, columns: int = 8, labels: bool = False
) -> Image.Image:
    """Return two sheets next to each other with a bar between them, each of half the columns; see
    `sheet`.
    """
    each = max(1, columns // 2)
    sheets = [sheet(words, columns=each, labels=labels) for words in (first, second)]
    height = max(half.height for half in sheets)
    canvas = Image.new("RGB", (sum(half.width for half in sheets) + _GAP, height), "white")
    canvas.paste(sheets[0], (0, 0))
    canvas.paste((40, 40, 40), (sheets[0].width, 0, sheets[0].width + _GAP, height))
    canvas.paste(sheets[1], (sheets[0].width + _GAP, 0))
    return canvas


def tree_words(root: str | Path, count: int, *, seed: int = 0) -> list[Word]:
    """Return up to `count` words of the sets at or below `root`, chosen evenly: LMDB folders and
    folders of labeled images. Unreadable ones are left out.

    Raises:
        ValueError: if there is no set.
    """
    from strhub.data.sources.folder import FolderWords, find_annotated
    from strhub.data.sources.lmdb import LmdbWords, UnreadableRecord, find_lmdbs

    sources: list[LmdbWords | FolderWords] = [
        *map(LmdbWords, find_lmdbs(root)),
        *map(FolderWords, find_annotated(root)),
    ]
    ends = np.cumsum([len(source) for source in sources])
    if not len(ends):
        raise ValueError(
            f"no words at or below {root}: neither an LMDB folder (one with a data.mdb) nor images "
            "with a label file; check the path"
        )
    words: list[Word] = []
    for position in np.random.default_rng(seed).permutation(int(ends[-1])).tolist():
        if len(words) >= count:
            break
        number = int(np.searchsorted(ends, position, side="right"))
        source = sources[number]
        try:
            words.append(source.read(position - int(ends[number]) + len(source)))
        except UnreadableRecord:
            continue
    return words
