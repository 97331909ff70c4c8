"""From probabilities to rectangles, against shapes drawn by hand and a slow search."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from strhub.spotting.regions import (
    _label,
    _runs_of,
    convex_hull,
    find_regions,
    grow,
    smallest_rectangle,
)

KIND = {"threshold": 0.5, "least_score": 0.6, "growth": 0.0, "least_side": 2.0}


def flooded(mask: np.ndarray) -> int:
    """How many connected parts there are, diagonal neighbors included, by filling one after the
    other.
    """
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    count = 0
    while left:
        count += 1
        front = [left.pop()]
        while front:
            y, x = front.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            front += near
    return count


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("density", [0.1, 0.35, 0.5, 0.8])
def test_parts_are_connected_as_a_slow_search_says(seed: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((23, 31)) < density
    runs = _runs_of(mask)
    labels = _label(runs)
    assert (runs.ends - runs.starts).sum() == mask.sum()
    assert len(set(labels.tolist())) == flooded(mask)


def test_an_upright_box_is_found_where_it_is() -> None:
    likely = np.zeros((40, 60), dtype=np.float32)
    likely[10:20, 5:45] = 0.9
    (region,) = find_regions(likely, **KIND)
    assert region.quad.tolist() == [[5, 10], [45, 10], [45, 20], [5, 20]]
    assert region.score == pytest.approx(0.9)


@pytest.mark.parametrize("angle", [-40, -15, 10, 30])
def test_a_turned_box_begins_at_its_left_end(angle: float) -> None:
    half = np.array([(-40, -8), (40, -8), (40, 8), (-40, 8)])
    radians = np.deg2rad(angle)
    turn = np.array([(np.cos(radians), np.sin(radians)), (-np.sin(radians), np.cos(radians))])
    corners = half @ turn + 60
    image = Image.new("L", (120, 120))
    ImageDraw.Draw(image).polygon([tuple(corner) for corner in corners], fill=255)
    (region,) = find_regions(np.asarray(image, dtype=np.float32) / 255, **KIND)
    assert np.abs(region.quad - corners).max() < 2.5


def test_growth_adds_on_each_side() -> None:
    quad = np.array([(0, 0), (20, 0), (20, 10), (0, 10)], dtype=np.float32)
    grown = grow(quad, 1.5)  # 1.5 * 200 / 60 = 5
    assert grown.tolist() == [[-5, -5], [25, -5], [25, 15], [-5, 15]]


def test_small_and_unlikely_regions_are_left_out() -> None:
    likely = np.zeros((30, 30), dtype=np.float32)
    likely[2:3, 2:20] = 1.0  # one pixel high
    likely[10:20, 2:20] = 0.55  # unlikely
    assert find_regions(likely, **KIND) == []
    assert find_regions(np.zeros((5, 5), dtype=np.float32), **KIND) == []
    (whole,) = find_regions(np.ones((5, 7), dtype=np.float32), **KIND)
    assert whole.quad.tolist() == [[0, 0], [7, 0], [7, 5], [0, 5]]


@pytest.mark.parametrize("seed", range(5))
def test_no_rectangle_is_smaller(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(30, 2)).astype(np.float32) * (9, 3)
    quad = smallest_rectangle(points.astype(np.float32))
    width, height = np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[2] - quad[1])
    for angle in np.linspace(0, np.pi / 2, 400):
        turned = points @ np.array(
            [(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))]
        )
        assert width * height <= np.prod(np.ptp(turned, axis=0)) * 1.0001
    hull = convex_hull(points)
    assert 3 <= len(hull) <= 30
