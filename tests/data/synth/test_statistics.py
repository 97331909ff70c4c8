"""Statistics of sets of words: equal sets don't differ, a planted difference is found where it was
planted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from strhub.data.curation.statistics import (
    MEASURES,
    QUANTILES,
    as_table,
    compare,
    distance,
    measure,
    measure_all,
)
from strhub.data.synth import RenderedWords

Change = Callable[[Image.Image], Image.Image]


@pytest.fixture(scope="module")
def words() -> list[tuple[Image.Image, str]]:
    rendered = RenderedWords(
        charset="abcdefghijklmnopqrstuvwxyz", max_length=9, seed=0, difficulty=0.3
    )
    return [rendered.render(index) for index in range(60)]


def noisy(original: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 15, (original.height, original.width, 1))
    return Image.fromarray((np.asarray(original) + noise).clip(0, 255).astype(np.uint8))


CHANGES: dict[str, Change] = {
    "brightness": lambda original: original.point(lambda value: value * 0.4),
    "step": lambda original: ImageEnhance.Contrast(original).enhance(0.3),
    "contrast": lambda original: ImageEnhance.Contrast(original).enhance(0.3),
    "sharpness": lambda original: original.filter(ImageFilter.GaussianBlur(original.height / 12)),
    "colorfulness": lambda original: original.convert("L").convert("RGB"),
    "noise": noisy,
    "height": lambda original: original.resize((2 * original.width, 2 * original.height)),
    "aspect": lambda original: original.resize((2 * original.width, original.height)),
    "letter_aspect": lambda original: original.resize((2 * original.width, original.height)),
}


@pytest.mark.parametrize("name", MEASURES)
def test_planted_difference_is_found(words: list[tuple[Image.Image, str]], name: str) -> None:
    first = measure_all(words)
    second = measure_all((CHANGES[name](original), label) for original, label in words)
    found = {row.measure: row.distance for row in compare(first, second)}
    assert found[name] > 0.3
    assert {row.measure: row.distance for row in compare(first, first)} == dict.fromkeys(
        MEASURES, 0.0
    )


def test_known_values() -> None:
    half = Image.new("RGB", (40, 20), (50, 50, 50))
    half.paste((150, 150, 150), (20, 0, 40, 20))
    found = measure(half, "ab")
    assert found["height"] == 20
    assert found["aspect"] == 2
    assert found["letter_aspect"] == 1
    assert found["brightness"] == pytest.approx(100)
    assert found["contrast"] == pytest.approx(50)
    assert found["step"] == pytest.approx(100)
    assert found["colorfulness"] == found["noise"] == 0


def test_noise_is_measured_in_gray_levels() -> None:
    gray = np.random.default_rng(0).normal(128, 6, (60, 200))
    original = Image.fromarray(gray.clip(0, 255).astype(np.uint8)).convert("RGB")
    assert measure(original, "x")["noise"] == pytest.approx(6, rel=0.15)


@pytest.mark.parametrize("size", [(1, 1), (2, 30), (500, 2)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    found = measure(Image.new("RGB", size, "red"), "")
    assert all(np.isfinite(value) for value in found.values())


def test_distance() -> None:
    first = np.array([1.0, 2.0, 3.0, 4.0])
    assert distance(first, first[::-1]) == 0
    assert distance(first, first + 10) == 1
    assert distance(first, np.array([1.0, 2.0, 30.0, 40.0])) == 0.5
    with pytest.raises(ValueError, match="without words"):
        distance(first, np.array([]))


def test_table(words: list[tuple[Image.Image, str]]) -> None:
    found = measure_all(words[:10])
    lines = as_table(compare(found, found), names=("drawn", "real")).splitlines()
    assert len(lines) == 2 + len(MEASURES)
    assert "drawn" in lines[0]
    assert "real" in lines[0]
    assert len(lines[2].split()) == 2 + 2 * len(QUANTILES)
