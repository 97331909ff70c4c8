"""Bending images of words: curve, stretch, wobble, perspective, rotation and a jittered crop, in
one resampling.

A warp moves the nodes of a grid that is laid over the result: it says where in the source each of
them is looked up. Warps compose by being applied to the nodes in turn; `resample` then bends the
image once, whatever their number.

Nodes are (rows, columns, 2) with x and y, where the source goes from 0 to 1 in both.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.random import Generator
from PIL.Image import Resampling, Transform, fromarray

from strhub.data.augment.filters import Pixels

__all__ = ["WARPS", "Nodes", "Warp", "grid", "resample"]

Nodes: TypeAlias = npt.NDArray[np.float64]
Warp: TypeAlias = Callable[[Nodes, float, float, Generator], Nodes]
"""`(nodes, level, aspect, rng) -> nodes`; `level` in [0, 1] is the fraction of the range that the
docstring gives, and `aspect` is the source's width over its height."""

ROWS, COLUMNS = 4, 9  # of nodes


def grid() -> Nodes:
    """Return the nodes that leave the image as it is."""
    y, x = np.mgrid[0 : 1 : ROWS * 1j, 0 : 1 : COLUMNS * 1j]
    return np.stack([x, y], axis=2)


def curve(nodes: Nodes, level: float, aspect: float, rng: Generator) -> Nodes:
    """Bend the line of text to an arc, up or down, with a rise of up to 0.45 of the height."""
    rise = rng.uniform(-0.45, 0.45) * level
    x, y = nodes[..., 0], nodes[..., 1]
    bend = (2 * x - 1) ** 2 - 0.5
    return np.stack([x, (y - 0.5) * (1 + abs(rise)) + 0.5 + rise * bend], axis=2)


def stretch(nodes: Nodes, level: float, aspect: float, rng: Generator) -> Nodes:
    """Make letters up to 0.6 wider in some places and narrower in others, in one to three waves
    along the word.
    """
    waves, phase = int(rng.integers(1, 4)), rng.uniform(0, 2 * np.pi)
    x = nodes[..., 0]
    angle = 2 * np.pi * waves * x + phase
    moved = x + 0.6 * level * (np.sin(angle) - np.sin(phase)) / (2 * np.pi * waves)
    return np.stack([moved, nodes[..., 1]], axis=2)


def wobble(nodes: Nodes, level: float, aspect: float, rng: Generator) -> Nodes:
    """Move each node of a coarse grid by up to 0.12 of the height in x and y, with interpolation in
    between.
    """
    moves = rng.uniform(-0.12, 0.12, (2, 5, 2)) * level / [aspect, 1]
    return nodes + _between(moves, np.linspace(0, 1, ROWS), np.linspace(0, 1, COLUMNS))


def _between(values: Nodes, down: npt.NDArray[np.float64], along: npt.NDArray[np.float64]) -> Nodes:
    """Interpolate the values of an even grid linearly at heights and widths from 0 to 1."""
    weights = [
        np.maximum(0, 1 - np.abs(positions[:, None] * (count - 1) - np.arange(count)))
        for positions, count in zip((down, along), values.shape[:2], strict=True)
    ]
    return np.einsum("ri,cj,ijk->rck", *weights, values)


def perspective(nodes: Nodes, level: float, aspect: float, rng: Generator) -> Nodes:
    """Show the word from the side or from below: one end is up to twice as near as the other, top
    and bottom up to 1.5 times.
    """
    lean = rng.uniform(-1, 1, 2) * [0.33, 0.2] * level
    centered = 2 * nodes - 1
    depth = 1 + centered @ lean
    return 0.5 + 0.5 * centered / depth[..., None] * (1 + 0.6 * np.abs(lean).sum())


def rotation(nodes: Nodes, level: float, aspect: float, rng: Generator) -> Nodes:
    """Rotate by up to 25 degrees either way, and scale down so that the corners stay on the
    canvas.
    """
    angle = np.radians(rng.uniform(-25, 25)) * level
    cosine, sine = np.cos(angle), np.sin(angle)
    fit = [cosine + abs(sine) / aspect, cosine + abs(sine) * aspect]
    x, y = np.moveaxis((nodes - 0.5) * fit * [aspect, 1], 2, 0)
    return 0.5 + np.stack([(cosine * x + sine * y) / aspect, cosine * y - sine * x], axis=2)


def crop(nodes: Nodes, level: float, aspect: float, rng: Generator) -> Nodes:
    """Move each edge in or out independently, by up to 0.15 of the height."""
    left, top, right, bottom = rng.uniform(-0.15, 0.15, 4) * level / [aspect, 1, aspect, 1]
    return nodes * [1 - left - right, 1 - top - bottom] + [left, top]


WARPS: Final[Mapping[str, Warp]] = MappingProxyType(
    {
        "crop": crop,
        "perspective": perspective,
        "rotation": rotation,
        "curve": curve,
        "stretch": stretch,
        "wobble": wobble,
    }
)
"""Every warp by name, in the order they are applied in: the last one moves letters on the sign, the
first the frame.
"""


def resample(pixels: Pixels, nodes: Nodes) -> Pixels:
    """Return the image as the nodes have it, of its own size but up to twice as high if it is seen
    smaller.

    What is outside of the image gets the median color of its edge, as the ground around a word
    mostly goes on.
    """
    height, width = pixels.shape[:2]
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    fill = tuple(int(value) for value in np.median(edge, axis=0))
    tall = float(np.ptp(nodes[:, COLUMNS // 2, 1]))
    new_height = max(1, round(height * min(max(tall, 1.0), 2.0)))
    rows = np.rint(np.linspace(0, new_height, ROWS)).astype(int)
    columns = np.rint(np.linspace(0, width, COLUMNS)).astype(int)
    # The tiles of a mesh have whole pixels, so nodes are moved slightly.
    corners = (_between(nodes, rows / new_height, columns / width) * [width, height]).tolist()
    mesh = []
    for i, (top, bottom) in enumerate(pairwise(rows.tolist())):
        for j, (left, right) in enumerate(pairwise(columns.tolist())):
            if left < right and top < bottom:
                quad = (
                    *corners[i][j],
                    *corners[i + 1][j],
                    *corners[i + 1][j + 1],
                    *corners[i][j + 1],
                )
                mesh.append(((left, top, right, bottom), quad))
    image = fromarray(pixels)
    bent = image.transform(
        (width, new_height), Transform.MESH, mesh, resample=Resampling.BICUBIC, fillcolor=fill
    )
    return np.array(bent)
