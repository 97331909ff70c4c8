"""Scores of whole photographs, against areas and pairs counted by hand."""

import numpy as np
import pytest

from strhub.evaluation.polygons import intersection_over_union
from strhub.evaluation.spotting import SpottingScore, comparable, score_image


def box(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (box(0, 0, 4, 2), box(0, 0, 4, 2), 1.0),
        (box(0, 0, 4, 2), box(2, 0, 6, 2), 4 / 12),
        (box(0, 0, 4, 2), box(5, 0, 6, 2), 0.0),
        (
            box(0, 0, 2, 2),
            [(1, -1), (3, 1), (1, 3), (-1, 1)],
            4 / 8,
        ),  # a square in a larger one on its corner
        (box(0, 0, 2, 2), box(0, 0, 2, 2)[::-1], 1.0),
        (box(0, 0, 0, 2), box(0, 0, 0, 2), 0.0),
    ],
)
def test_intersection_over_union(
    one: list[tuple[float, float]], other: list[tuple[float, float]], expected: float
) -> None:
    a, b = (np.asarray(polygon, dtype=np.float64) for polygon in (one, other))
    assert intersection_over_union(a, b) == pytest.approx(expected)
    assert intersection_over_union(b, a) == pytest.approx(expected)


def test_texts_are_compared_by_letters_and_digits() -> None:
    assert comparable("Café-24!") == "cafe24"


def test_counts_by_hand() -> None:
    true = [
        (box(0, 0, 10, 4), "Exit"),
        (box(20, 0, 30, 4), "24h"),
        (box(40, 0, 50, 4), None),
        (box(0, 9, 9, 12), "!"),
    ]
    found = [
        (box(0, 0, 10, 4), "EXIT"),  # right
        (box(1, 0, 11, 4), "exit"),  # the same word once more: a false one
        (box(20, 0, 30, 4), "24n"),  # found, read wrong
        (box(41, 0, 49, 4), "any"),  # on an unreadable one: not counted
        (box(0, 9, 9, 12), "x"),  # the true text has nothing to compare: not counted
        (box(70, 0, 80, 4), "--"),  # nothing to compare was read: not counted
    ]
    score = score_image(true, found)
    assert score == SpottingScore(true=2, found=3, paired=2, right=1)
    assert score.detection == pytest.approx(4 / 5)
    assert score.end_to_end == pytest.approx(2 / 5)


def test_of_nothing() -> None:
    assert score_image([], []).end_to_end == 0.0
    assert score_image([(box(0, 0, 1, 1), "a")], []).detection == 0.0
    assert sum([SpottingScore(1, 1, 1, 1)] * 3, SpottingScore()) == SpottingScore(3, 3, 3, 3)
