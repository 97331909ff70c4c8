"""Detectors: the embedded one's tiles, those of others, and `strhub.detect`."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import strhub
from strhub.errors import ConfigError, DataError, UnreadableImage
from strhub.spotting.adapters import as_detector
from strhub.spotting.detector import EmbeddedDetector
from strhub.spotting.regions import Region
from strhub.spotting.tiles import is_flat, merged, tiled_map

QUAD = np.array([(2, 3), (12, 3), (12, 8), (2, 8)], dtype=np.float32)
BOX = (2, 3, 12, 8)
IMAGE = Image.new("RGB", (100, 50))


def page(size: tuple[int, int], *texts: tuple[int, int, int, str]) -> Image.Image:
    """Return a white image with texts at (left, top) of so many pixels."""
    image = Image.new("RGB", size, "white")
    for left, top, height, text in texts:
        ImageDraw.Draw(image).text(
            (left, top), text, fill="black", font=ImageFont.load_default(size=height)
        )
    return image


@pytest.mark.parametrize(
    ("found", "score"),
    [
        ([Region(QUAD, 0.7)], 0.7),
        ([QUAD.tolist()], 1.0),
        (np.array([BOX]), 1.0),
        (np.array([[*BOX, 0.7]]), 0.7),
        ((np.array([BOX]), [0.7]), 0.7),
        ((QUAD[None], np.array([0.7])), 0.7),
        (iter([QUAD]), 1.0),
    ],
)
def test_any_callable_that_returns_boxes_is_a_detector(found: object, score: float) -> None:
    (region,) = as_detector(lambda image: found)(IMAGE)
    np.testing.assert_array_equal(region.quad, QUAD)
    assert region.score == pytest.approx(score)


@pytest.mark.parametrize(
    "found", [[], np.zeros((0, 4)), np.zeros((0, 5)), (np.zeros((0, 4, 2)), np.zeros(0))]
)
def test_a_detector_may_find_nothing(found: object) -> None:
    assert not as_detector(lambda image: found)(IMAGE)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (np.zeros((2, 3)), r"an array \(2, 3\)"),
        ((np.zeros((2, 4)), np.zeros(1)), "2 boxes and 1 scores"),
        (["street"], "returned list"),
        ([[(0, 0), (1, 0), (1, np.nan), (0, 1)]], "coordinates that are not numbers"),
    ],
)
def test_what_is_no_box_is_said(found: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_detector(lambda image: found)(IMAGE)
    with pytest.raises(ConfigError, match="not a str"):
        as_detector("street.jpg")


@pytest.mark.parametrize("turned", [False, True])
def test_detectors_of_doctr_give_fractions_of_the_sides(turned: bool) -> None:
    straight = np.array([[0.02, 0.06, 0.12, 0.16, 0.7]])
    corners = np.array([[(0.02, 0.06), (0.12, 0.06), (0.12, 0.16), (0.02, 0.16), (0.0, 0.7)]])

    class Predictor:
        def __call__(self, pages: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
            assert [array.shape for array in pages] == [(50, 100, 3)]
            return [{"words": corners if turned else straight}]

    Predictor.__module__ = "doctr.models.detection.predictor.pytorch"
    (region,) = as_detector(Predictor())(IMAGE)
    np.testing.assert_allclose(region.quad, QUAD, atol=1e-4)
    assert region.score == pytest.approx(0.7)


def test_detect_takes_any_image_and_any_detector() -> None:
    file = io.BytesIO()
    page((300, 100), (40, 30, 32, "Street")).save(file, "PNG")
    (region,) = strhub.detect(file)
    (left, top), (right, bottom) = region.quad.min(0), region.quad.max(0)
    assert 20 < left < 60
    assert 120 < right < 180
    assert 20 < top < bottom < 90
    assert 0.6 <= region.score <= 1
    assert [
        one.score for one in strhub.detect(IMAGE, lambda image: ([BOX, BOX], [0.2, 0.9]))
    ] == pytest.approx([0.9, 0.2])
    with pytest.raises(UnreadableImage):
        strhub.detect(b"none")


def test_a_line_that_tiles_cut_is_found_whole() -> None:
    image = page(
        (640, 64), (8, 20, 20, "one line of text that runs through all of the tiles there are here")
    )
    detector = EmbeddedDetector(side=256, threads=1)
    seen: list[tuple[int, int]] = []
    probabilities = tiled_map(
        image, 256, detector.probabilities, lambda *numbers: seen.append(numbers)
    )
    assert probabilities.shape == (64, 640)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    (region,) = detector._regions(probabilities, image.size)
    assert np.ptp(region.quad[:, 0]) > 500


def test_tiles_find_small_text_and_the_whole_image_large_text() -> None:
    image = page(
        (1200, 480),
        (40, 20, 260, "Large"),
        *((900, 330 + 22 * n, 16, "the small print") for n in range(4)),
    )
    found = EmbeddedDetector(side=320, threads=1)(image)
    coarse = EmbeddedDetector(side=320, tiles=0, threads=1)(image)
    heights = sorted(min(np.ptp(region.quad, axis=0)) for region in found)
    assert len(found) == 5 > len(coarse)
    assert heights[3] < 40
    assert heights[4] > 150


def test_empty_tiles_are_not_looked_at() -> None:
    assert is_flat(Image.new("RGB", (900, 900), (120, 160, 240)))
    assert not is_flat(page((900, 900), (700, 800, 14, "small")))

    def never(tile: Image.Image) -> np.ndarray:
        raise AssertionError

    assert not tiled_map(Image.new("RGB", (640, 320), "white"), 320, never).any()


def test_what_is_found_twice_is_one_region() -> None:
    small, large = Region(QUAD, 0.9), Region(QUAD * 20, 0.9)
    found = merged([small, large], [Region(QUAD + 1, 0.8), Region(QUAD * 10 + 40, 0.8)], scale=1.0)
    assert [region.score for region in found] == [0.9, 0.8]
    assert found[0] is large
