"""Areas that polygons have, and share. Convex ones are clipped exactly; of others, pixels are
counted.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Polygon = npt.NDArray[np.float64]  # (N, 2) corners x, y

_RASTER: Final = 1536  # pixels of the longer side of two polygons, of which pixels are counted


def area(polygon: Polygon) -> float:
    """Return the area of a polygon (N, 2) whose edges do not cross."""
    return abs(_signed(polygon)) / 2


def common_area(one: Polygon, other: Polygon) -> float:
    """Return the area that two polygons share.

    Convex ones are clipped by each other's edges (Sutherland & Hodgman 1974). Of others, pixels are
    counted that lie in both, 512 along the longer side of what they share.
    """
    if (one.max(0) <= other.min(0)).any() or (other.max(0) <= one.min(0)).any():
        return 0.0
    if is_convex(one) and is_convex(other):
        return _clipped(one, other)
    low = np.maximum(one.min(0), other.min(0))
    high = np.minimum(one.max(0), other.max(0))
    scale = _RASTER / float((high - low).max())
    size = tuple(int(length) for length in np.ceil((high - low) * scale))
    masks = []
    for polygon in (one, other):
        mask = Image.new("1", (max(size[0], 1), max(size[1], 1)))
        points = [(float(x), float(y)) for x, y in (polygon - low) * scale - 0.5]
        ImageDraw.Draw(mask).polygon(points, fill=1)
        masks.append(np.asarray(mask))
    return float((masks[0] & masks[1]).sum()) / scale**2


def is_convex(polygon: Polygon) -> bool:
    """Return whether a polygon turns in one sense only, and once around."""
    sides = np.roll(polygon, -1, axis=0) - polygon
    after = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0]
    if not ((turns >= 0).all() or (turns <= 0).all()):
        return False
    angles = np.arctan2(turns, (sides * after).sum(1))
    return bool(abs(angles.sum()) < 3 * np.pi)  # a star turns around twice


def intersection_over_union(one: Polygon, other: Polygon) -> float:
    """Return the common area of two polygons over that of both together, in [0, 1]."""
    common = common_area(one, other)
    union = area(one) + area(other) - common
    return common / union if union > 0 else 0.0


def _clipped(one: Polygon, other: Polygon) -> float:
    clipped = [(float(x), float(y)) for x, y in one]
    clip = [(float(x), float(y)) for x, y in (other if _signed(other) > 0 else other[::-1])]
    for (ax, ay), (bx, by) in zip(clip, [*clip[1:], clip[0]], strict=True):
        inside = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x, y in clipped]
        kept = []
        for index, (point, value) in enumerate(zip(clipped, inside, strict=True)):
            before, earlier = clipped[index - 1], inside[index - 1]
            if (value >= 0) != (earlier >= 0):
                part = earlier / (earlier - value)
                kept.append(
                    (
                        before[0] + part * (point[0] - before[0]),
                        before[1] + part * (point[1] - before[1]),
                    )
                )
            if value >= 0:
                kept.append(point)
        if len(kept) < 3:
            return 0.0
        clipped = kept
    return area(np.asarray(clipped))


def _signed(polygon: Polygon) -> float:
    x, y = polygon[:, 0], polygon[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
