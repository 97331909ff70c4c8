"""From a map of how likely each pixel is text to quadrilaterals around it: NumPy only.

After "Real-time Scene Text Detection with Differentiable Binarization" (Liao et al. 2020, section
3.5): the map is cut at a threshold, each connected part is one region, and its smallest rectangle
is grown, since the network was trained on shrunken ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


class Region(NamedTuple):
    """quad: (4, 2) corners x, y in pixels, clockwise as seen, from the one where the text begins;
    score: in [0, 1].
    """

    quad: Floats
    score: float


class _Runs(NamedTuple):
    """Stretches of set pixels, in reading order: row, first column and the one after the last, (N)
    each.
    """

    rows: Integers
    starts: Integers
    ends: Integers


def find_regions(
    likely: Floats, *, threshold: float, least_score: float, growth: float, least_side: float
) -> list[Region]:
    """Return the regions of a map (H, W) of probabilities, in its pixels, the most likely first.

    threshold: above which a pixel is text; least_score: mean probability of a region's pixels below
    which it is left out; growth: area over perimeter times so much is added on each side;
    least_side: in pixels, of what is kept, before it is grown.
    """
    runs = _runs_of(likely > threshold)
    if not len(runs.rows):
        return []
    labels = _label(runs)
    sums = np.concatenate([np.zeros((len(likely), 1)), likely.cumsum(1, dtype=np.float64)], axis=1)
    totals = np.bincount(labels, sums[runs.rows, runs.ends] - sums[runs.rows, runs.starts])
    sizes = np.bincount(labels, runs.ends - runs.starts)
    order = np.argsort(labels, kind="stable")
    bounds = np.concatenate([[0], np.bincount(labels).cumsum()])
    found = []
    for label in np.flatnonzero(totals >= least_score * sizes):
        own = order[bounds[label] : bounds[label + 1]]
        corners = _corners(runs.rows[own], runs.starts[own], runs.ends[own])
        quad = smallest_rectangle(corners)
        if min(sides_of(quad)) >= least_side:
            found.append(Region(grow(quad, growth), float(totals[label] / sizes[label])))
    return sorted(found, key=lambda region: -region.score)


def _runs_of(mask: npt.NDArray[np.bool_]) -> _Runs:
    height, width = mask.shape
    padded = np.zeros((height, width + 2), dtype=np.int8)
    padded[:, 1:-1] = mask
    edges = np.diff(padded, axis=1)  # (H, W + 1): 1 where a run begins, -1 after its end
    rows, starts = np.nonzero(edges == 1)
    return _Runs(rows, starts, np.nonzero(edges == -1)[1])


def _label(runs: _Runs) -> Integers:
    """Return the index of each run's connected part, (N); runs that touch at a corner are
    connected.
    """
    width = int(runs.ends.max()) + 2
    # The runs of the row above that a run touches follow each other: from the first that ends at
    # its start or later to the last that starts at its end or earlier.
    first = np.searchsorted(runs.rows * width + runs.ends, (runs.rows - 1) * width + runs.starts)
    last = np.searchsorted(
        runs.rows * width + runs.starts, (runs.rows - 1) * width + runs.ends, side="right"
    )
    counts = np.maximum(last - first, 0)
    below = np.repeat(np.arange(len(counts)), counts)
    above = (
        np.repeat(first, counts)
        + np.arange(counts.sum())
        - np.repeat(counts.cumsum() - counts, counts)
    )
    parents = np.arange(len(counts))
    while True:  # each round at least halves the longest chain
        least = np.minimum(parents[below], parents[above])
        before = parents.copy()
        np.minimum.at(parents, parents[below], least)
        np.minimum.at(parents, parents[above], least)
        parents = parents[parents]
        if (parents == before).all():
            break
    return np.unique(parents, return_inverse=True)[1]


def _corners(rows: Integers, starts: Integers, ends: Integers) -> Floats:
    """Return corners of pixels, (M, 2), whose hull is that of the runs: the outermost of each
    row.
    """
    top, index = np.unique(rows, return_index=True)
    left = np.minimum.reduceat(starts, index)
    right = np.maximum.reduceat(ends, index)
    corners = [np.stack([x, y], 1) for x in (left, right) for y in (top, top + 1)]
    return np.concatenate(corners).astype(np.float32)


def convex_hull(points: Floats) -> Floats:
    """Return the corners of the convex hull of points (M, 2), (K, 2), by Andrew's monotone
    chain.
    """
    ordered = sorted({(float(x), float(y)) for x, y in points})
    if len(ordered) < 3:
        return np.asarray(ordered, dtype=np.float32)
    halves = []
    for sequence in (ordered, ordered[::-1]):
        half: list[tuple[float, float]] = []
        for point in sequence:
            while len(half) > 1 and _turn(half[-2], half[-1], point) <= 0:
                half.pop()
            half.append(point)
        halves.append(half[:-1])
    return np.asarray(halves[0] + halves[1], dtype=np.float32)


def _turn(one: tuple[float, float], two: tuple[float, float], three: tuple[float, float]) -> float:
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])


def smallest_rectangle(points: Floats) -> Floats:
    """Return the corners (4, 2) of the rectangle of least area around points (M, 2), from the top
    left clockwise.

    One of its sides lies on an edge of the convex hull (Freeman & Shapira 1975), so all edges are
    tried.
    """
    hull = convex_hull(points)
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2))
    cosines, sines = np.cos(angles), np.sin(angles)
    along = hull @ np.stack([cosines, sines])  # (K, A): coordinates in the axes of each angle
    across = hull @ np.stack([-sines, cosines])
    lows = np.stack([along.min(0), across.min(0)])
    highs = np.stack([along.max(0), across.max(0)])
    best = int(np.argmin(np.prod(highs - lows, axis=0)))
    (left, top), (right, bottom) = lows[:, best], highs[:, best]
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    turned = corners @ np.array([(cosines[best], sines[best]), (-sines[best], cosines[best])])
    return in_reading_order(turned.astype(np.float32))


def in_reading_order(quad: Floats) -> Floats:
    """Return the corners (4, 2) of a rectangle, clockwise as seen, from the left end of its upper
    long side.

    A rectangle that stands nearly upright begins at its top, as if it were an upright word.
    """
    area = sum(_cross(quad[i], quad[(i + 1) % 4]) for i in range(4))
    if area < 0:  # y runs down: clockwise as seen has a positive area
        quad = quad[::-1]
    directions = np.roll(quad, -1, axis=0) - quad
    return np.roll(quad, -int(np.argmax(directions[:, 0] - np.abs(directions[:, 1]))), axis=0)


def _cross(one: Floats, two: Floats) -> float:
    return float(one[0] * two[1] - one[1] * two[0])


def grow(quad: Floats, growth: float) -> Floats:
    """Return a rectangle (4, 2) with `growth` times its area over its perimeter added on each
    side.
    """
    width, height = sides_of(quad)
    distance = growth * width * height / (2 * (width + height)) if width + height else 0.0
    center = quad.mean(0)
    right = (quad[1] - quad[0]) / max(width, 1e-6)
    down = (quad[3] - quad[0]) / max(height, 1e-6)
    half_right = right * (width / 2 + distance)
    half_down = down * (height / 2 + distance)
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.stack([center + x * half_right + y * half_down for x, y in signs]).astype(np.float32)


def sides_of(quad: Floats) -> tuple[float, float]:
    """Return the width and the height of a quadrilateral (4, 2), by the sides at its first
    corner.
    """
    return float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[3] - quad[0]))
