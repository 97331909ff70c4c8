"""Areas of polygons against ones known by hand, curved ones included."""

import numpy as np
import pytest

from strhub.evaluation.polygons import area, common_area, intersection_over_union, is_convex

SQUARE = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], dtype=float)
L_SHAPE = np.array([(0, 0), (10, 0), (10, 4), (4, 4), (4, 10), (0, 10)], dtype=float)


def arc(inner: float, outer: float, steps: int = 40) -> np.ndarray:
    """Return the upper half of a ring around the origin."""
    angles = np.linspace(np.pi, 0, steps)
    upper, lower = (np.stack([np.cos(a), -np.sin(a)], 1) for a in (angles, angles[::-1]))
    return np.concatenate([outer * upper, inner * lower])


def test_what_is_convex() -> None:
    assert is_convex(SQUARE)
    assert is_convex(SQUARE[::-1])
    assert not is_convex(L_SHAPE)
    star = np.array([(np.cos(a), np.sin(a)) for a in np.arange(5) * 4 * np.pi / 5])
    assert not is_convex(star), "it turns in one sense, but around twice"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (SQUARE, L_SHAPE, 64.0),
        (L_SHAPE, L_SHAPE + 5, 0.0),
        (L_SHAPE, SQUARE + 4, 0.0),
        (L_SHAPE, SQUARE * 0.4, 16.0),
        (arc(20, 30), arc(20, 30), np.pi * 500 / 2),
        (arc(20, 30), arc(25, 40), np.pi * (900 - 625) / 2),
        (arc(20, 30), SQUARE * 0.5 - 2.5, 0.0),
    ],
)
def test_common_areas(one: np.ndarray, other: np.ndarray, expected: float) -> None:
    allowed = 0.02 * max(area(one), area(other))
    assert common_area(one, other) == pytest.approx(expected, abs=allowed)
    assert common_area(other, one) == pytest.approx(expected, abs=allowed)


def test_curved_outlines_have_intersections_over_unions() -> None:
    assert intersection_over_union(arc(20, 30), arc(20, 30)) == pytest.approx(1, abs=0.02)
    assert intersection_over_union(arc(20, 30), arc(22.5, 30)) == pytest.approx(
        393.75 / 500, abs=0.02
    )
    flat = np.zeros((4, 2))
    assert intersection_over_union(flat, flat) == 0
