"""Scores of whole photographs: which words were found, and which of those were read right.

By the protocol of ICDAR 2015's end-to-end task (Karatzas et al. 2015, section IV): a word that was found and one that
is there are a pair if their outlines share over half of their common area, each word in one pair at most; words marked
as unreadable do not count, nor what was found on them. Texts are compared by their letters and digits, in any case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Polygon = Sequence[tuple[float, float]]

LEAST_IOU = 0.5
_IGNORED = 0.5  # fraction of a found word's area that lies on an unreadable one


@dataclass(frozen=True)
class SpottingScore:
    """Counts, which can be added: words that are there, words found, pairs, and pairs with the right text."""

    true: int = 0
    found: int = 0
    paired: int = 0
    right: int = 0

    def __add__(self, other: SpottingScore) -> SpottingScore:
        return SpottingScore(
            self.true + other.true, self.found + other.found, self.paired + other.paired, self.right + other.right
        )

    @property
    def detection(self) -> float:
        """The H-mean of precision and recall of finding words, in [0, 1]."""
        return _hmean(self.paired, self.found, self.true)

    @property
    def end_to_end(self) -> float:
        """The H-mean of finding words and reading them right, in [0, 1]."""
        return _hmean(self.right, self.found, self.true)


def _hmean(pairs: int, found: int, true: int) -> float:
    return 2 * pairs / (found + true) if found + true else 0.0


def score_image(
    true: Iterable[tuple[Polygon, str | None]], found: Iterable[tuple[Polygon, str]], *, least_iou: float = LEAST_IOU
) -> SpottingScore:
    """Return the counts of one image.

    true: outline and text of each word, None for one that cannot be read; found: outline and text of each word read.
    Outlines are convex polygons of at least three corners.
    """
    counted: list[tuple[npt.NDArray[np.float64], str]] = []
    ignored: list[tuple[npt.NDArray[np.float64], str]] = []
    for outline, text in true:
        compared = comparable(text) if text is not None else ""
        (counted if compared else ignored).append((np.asarray(outline, dtype=np.float64), compared))
    candidates = []
    for outline, text in found:
        polygon = np.asarray(outline, dtype=np.float64)
        compared = comparable(text)
        own = area(polygon)
        on_ignored = any(common_area(polygon, other) > _IGNORED * own for other, _ in ignored)
        if compared:
            candidates.append((polygon, compared, on_ignored))
    pairs = []
    for t, (known, _) in enumerate(counted):
        for f, (polygon, _, _) in enumerate(candidates):
            iou = intersection_over_union(known, polygon)
            if iou > least_iou:
                pairs.append((iou, t, f))
    used_true: set[int] = set()
    used_found: set[int] = set()
    right = 0
    for _, t, f in sorted(pairs, reverse=True):
        if t not in used_true and f not in used_found:
            used_true.add(t)
            used_found.add(f)
            right += counted[t][1] == candidates[f][1]
    number = sum(f in used_found or not on_ignored for f, (_, _, on_ignored) in enumerate(candidates))
    return SpottingScore(len(counted), number, len(used_true), right)


def comparable(text: str) -> str:
    """Return the letters and digits of a text in lower case, without accents."""
    spelled = unicodedata.normalize("NFKD", text).lower()
    return "".join(char for char in spelled if char.isalnum())


def area(polygon: npt.NDArray[np.float64]) -> float:
    """Return the area of a polygon (N, 2)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def common_area(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the area that two convex polygons share, by clipping one by the other's edges (Sutherland & Hodgman)."""
    if (one.max(0) < other.min(0)).any() or (other.max(0) < one.min(0)).any():
        return 0.0
    clipped = [(float(x), float(y)) for x, y in one]
    clip = [(float(x), float(y)) for x, y in (other if _signed(other) > 0 else other[::-1])]
    for (ax, ay), (bx, by) in zip(clip, [*clip[1:], clip[0]], strict=True):
        inside = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x, y in clipped]
        kept = []
        for index, (point, value) in enumerate(zip(clipped, inside, strict=True)):
            before, earlier = clipped[index - 1], inside[index - 1]
            if (value >= 0) != (earlier >= 0):
                part = earlier / (earlier - value)
                kept.append((before[0] + part * (point[0] - before[0]), before[1] + part * (point[1] - before[1])))
            if value >= 0:
                kept.append(point)
        if len(kept) < 3:
            return 0.0
        clipped = kept
    return area(np.asarray(clipped))


def intersection_over_union(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the common area of two convex polygons over that of both together, in [0, 1]."""
    common = common_area(one, other)
    union = area(one) + area(other) - common
    return common / union if union > 0 else 0.0


def _signed(polygon: npt.NDArray[np.float64]) -> float:
    x, y = polygon[:, 0], polygon[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
