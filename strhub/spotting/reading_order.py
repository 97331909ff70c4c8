"""In which order lines are read: lines to paragraphs, paragraphs from column to column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from strhub.spotting.page import Line, Paragraph, Quad

Floats = npt.NDArray[np.float64]

_GAP = 0.9  # line heights between two lines of a paragraph, at most
_RATIO = 1.7  # of the heights of two lines of a paragraph, at most
# of the narrower line's width, that two lines of a paragraph have above each other, at least
_SHARED = 0.3
_COLUMN = 1.0  # line heights between two columns, at least


@dataclass(frozen=True)
class _Box:
    """An upright box round what is to be ordered, and its lines' height."""

    left: float
    top: float
    right: float
    bottom: float
    height: float


def paragraphs_in_order(lines: Sequence[Line], rotation: int = 0) -> tuple[Paragraph, ...]:
    """Return the lines in paragraphs, in reading order.

    Lines are one paragraph that follow each other closely, have like heights and stand above each
    other. Paragraphs are cut apart again and again: into columns where a white stripe runs from top
    to bottom, else at the widest white stripe from left to right, else they are taken from the top
    (after Nagy & Seth 1984). rotation: of the page, degrees counter-clockwise, a multiple of 90.
    """
    if not lines:
        return ()
    boxes = [_box(line.quad, rotation) for line in lines]
    groups = _grouped(boxes)
    outlines = [_around([boxes[index] for index in group]) for group in groups]
    order = _cut(list(range(len(groups))), outlines)
    return tuple(
        Paragraph(tuple(lines[index] for index in _from_the_top(groups[number], boxes)))
        for number in order
    )


def _box(quad: Quad, rotation: int) -> _Box:
    points = np.asarray(quad, dtype=np.float64)
    angle = -np.deg2rad(rotation)  # y runs down, so counter-clockwise as seen is negative
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = points @ turn
    (left, top), (right, bottom) = points.min(0), points.max(0)
    sides = np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1)
    return _Box(float(left), float(top), float(right), float(bottom), float(sides.min()))


def _grouped(boxes: Sequence[_Box]) -> list[list[int]]:
    """Return indexes of boxes that belong together, in groups."""
    parents = list(range(len(boxes)))

    def root(index: int) -> int:
        while parents[index] != index:
            index = parents[index]
        return index

    for upper in range(len(boxes)):
        for lower in range(len(boxes)):
            if upper != lower and _follows(boxes[upper], boxes[lower]):
                parents[root(lower)] = root(upper)
    groups: dict[int, list[int]] = {}
    for index in range(len(boxes)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _follows(upper: _Box, lower: _Box) -> bool:
    heights = sorted((upper.height, lower.height))
    shared = min(upper.right, lower.right) - max(upper.left, lower.left)
    narrower = min(upper.right - upper.left, lower.right - lower.left)
    gap = lower.top - upper.bottom
    return (
        heights[1] <= _RATIO * heights[0]
        and shared >= _SHARED * narrower
        and (upper.top + upper.bottom) < (lower.top + lower.bottom)
        and -0.6 * heights[0] <= gap <= _GAP * heights[0]
    )


def _around(boxes: Sequence[_Box]) -> _Box:
    return _Box(
        min(box.left for box in boxes),
        min(box.top for box in boxes),
        max(box.right for box in boxes),
        max(box.bottom for box in boxes),
        float(np.median([box.height for box in boxes])),
    )


def _cut(indexes: list[int], boxes: Sequence[_Box]) -> list[int]:
    """Return indexes of boxes in reading order."""
    if len(indexes) < 2:
        return indexes
    height = float(np.median([boxes[index].height for index in indexes]))
    columns = _split(
        [(boxes[index].left, boxes[index].right, index) for index in indexes], _COLUMN * height
    )
    if columns is None:
        columns = _split([(boxes[index].top, boxes[index].bottom, index) for index in indexes], 0.0)
    if columns is None:
        return _from_the_top(indexes, boxes)
    return [*_cut(columns[0], boxes), *_cut(columns[1], boxes)]


def _split(
    spans: list[tuple[float, float, int]], least: float
) -> tuple[list[int], list[int]] | None:
    """Return two groups, apart by the widest gap between spans (start, end, index); None if none is
    over `least`.
    """
    spans = sorted(spans)
    reach, best, cut = spans[0][1], least, 0
    for number, (start, end, _) in enumerate(spans[1:], 1):
        if start - reach > best:
            best, cut = start - reach, number
        reach = max(reach, end)
    if not cut:
        return None
    return [index for *_, index in spans[:cut]], [index for *_, index in spans[cut:]]


def _from_the_top(indexes: Sequence[int], boxes: Sequence[_Box]) -> list[int]:
    """Return indexes row by row: boxes whose middles lie within half a height are one row, from the
    left.
    """
    by_middle = sorted(indexes, key=lambda index: boxes[index].top + boxes[index].bottom)
    rows: list[list[int]] = []
    for index in by_middle:
        middle = (boxes[index].top + boxes[index].bottom) / 2
        if rows:
            last = boxes[rows[-1][-1]]
            if middle - (last.top + last.bottom) / 2 < 0.5 * min(last.height, boxes[index].height):
                rows[-1].append(index)
                continue
        rows.append([index])
    return [index for row in rows for index in sorted(row, key=lambda index: boxes[index].left)]
