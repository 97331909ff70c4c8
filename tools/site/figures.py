#!/usr/bin/env python3
"""Write docs/figures/: what the documents show of how models read and learn, as the code makes it.

tools/site/figures.py            # a test says whether the figures are still those of the code
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from explained import calibration, contrastive, ctc, rereading, stacked

from strhub.models.parseq.decoder import cloze_masks, one_pass_masks, permutation_masks
from strhub.models.parseq.permutations import sample_permutations

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "figures"
WORD = "cafe"
CELL = 26  # pixels a side
LEFT = 44  # room for the names of rows
TOP = 64  # and above the columns
SEES, HIDDEN = "#00897b", "#b0bec5"


def figures() -> dict[str, str]:
    """Return each figure's file name and its SVG."""
    return {
        "parseq-training.svg": training(),
        "parseq-reading.svg": reading(),
        "ctc.svg": ctc(),
        "contrastive.svg": contrastive(),
        "calibration.svg": calibration(),
    }


def photographs() -> dict[str, Image.Image]:
    """Return each figure of photographed or rendered words and its file name."""
    return {"rereading.jpg": rereading(), "stacked-letters.jpg": stacked()}


def training() -> str:
    """Return the query masks of four permutations of one word: a pair of orders, and each one's
    reverse.
    """
    rng = np.random.default_rng(1)
    permutations = sample_permutations(len(WORD), count=4, forward=True, mirrored=True, rng=rng)
    hidden = torch.zeros(1, len(WORD) + 1, dtype=torch.bool)
    masks = permutation_masks(permutations, hidden).query
    titles = [" ".join(_name(int(position)) for position in row[1:]) for row in permutations]
    return _sheet([(f"order {title}", mask) for title, mask in zip(titles, masks, strict=True)])


def reading() -> str:
    """Return the masks of the three ways of reading: step by step, in one pass, and refinement."""
    length = len(WORD) + 1
    forward = torch.arange(length + 1).unsqueeze(0)
    hidden = torch.zeros(1, length, dtype=torch.bool)
    ways = [
        ("autoregressive", permutation_masks(forward, hidden).query[0]),
        ("one pass (NAR)", one_pass_masks(length, hidden[:, :1]).query[0]),
        ("refinement", cloze_masks(length, hidden).query[0]),
    ]
    return _sheet(ways)


def _name(position: int) -> str:
    """Return what stands at a position of the sequence [B], characters, [E]."""
    return (
        f"[B]{WORD}[E]"[:3]
        if position == 0
        else "[E]"
        if position > len(WORD)
        else WORD[position - 1]
    )


def _sheet(panels: Sequence[tuple[str, Tensor]]) -> str:
    """Return masks (L, S) side by side, rows being what is predicted, columns what it may look
    at.
    """
    wide = LEFT + (len(WORD) + 1) * CELL + 24
    high = TOP + (len(WORD) + 1) * CELL + 12
    body = "".join(_panel(index * wide, title, mask) for index, (title, mask) in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide * len(panels)} {high}" '
        f'width="{wide * len(panels)}" font-family="sans-serif" font-size="13" '
        f'fill="#607d8b">{body}</svg>\n'
    )


def _panel(x: int, title: str, mask: Tensor) -> str:
    parts = [f'<text x="{x + LEFT}" y="18" font-weight="bold">{title}</text>']
    for column in range(mask.shape[1]):
        middle = x + LEFT + column * CELL + CELL // 2
        parts.append(
            f'<text x="{middle}" y="{TOP - 8}" text-anchor="middle">{_name(column)}</text>'
        )
    for row, allowed in enumerate(mask.tolist()):
        y = TOP + row * CELL
        parts.append(
            f'<text x="{x + LEFT - 8}" y="{y + 18}" text-anchor="end">{_name(row + 1)}</text>'
        )
        for column, sees in enumerate(allowed):
            shape = (
                f'x="{x + LEFT + column * CELL + 1}" y="{y + 1}" width="{CELL - 2}" '
                f'height="{CELL - 2}" rx="3"'
            )
            style = f'fill="{SEES}"' if sees else f'fill="none" stroke="{HIDDEN}"'
            parts.append(f"<rect {shape} {style}/>")
    return "".join(parts)


def main() -> None:
    """Write the figures."""
    FOLDER.mkdir(exist_ok=True)
    for name, svg in figures().items():
        (FOLDER / name).write_text(svg, "utf-8")
    for name, image in photographs().items():
        image.save(FOLDER / name, quality=85)


if __name__ == "__main__":
    main()
