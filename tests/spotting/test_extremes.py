"""Images of any size and kind: nothing, far too much, turned, all text, none."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from strhub.errors import UnreadableImage
from strhub.spotting.detector import EmbeddedDetector
from strhub.spotting.page import Page
from strhub.spotting.spotter import Spotter

LINES = ("The quiet street", "leads to the old", "market square 24")


@pytest.fixture(scope="module")
def spotter() -> Spotter:
    return Spotter(threads=2)


def sheet(lines: tuple[str, ...], size: tuple[int, int], height: int) -> Image.Image:
    image = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=height)
    for number, text in enumerate(lines):
        pen.text((height, height * (0.6 + 1.5 * number)), text, fill="black", font=font)
    return image


@pytest.mark.parametrize(
    "rotation", [90, 180, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (0, 270))]
)
def test_turned_pages_are_read(spotter: Spotter, rotation: int) -> None:
    image = sheet(LINES, (420, 200), 34).rotate(rotation, expand=True)
    page = spotter(image)
    assert page.text.split() == " ".join(LINES).split()
    assert page.rotation == -rotation % 360
    assert [line.rotation for line in page.lines] == [-rotation % 360] * 3


def test_an_upright_page_with_one_doubtful_line_is_not_read_upside_down(spotter: Spotter) -> None:
    reader = spotter._read_lines
    crop = sheet(LINES[:1], (330, 60), 34)
    noise = np.random.default_rng(1).integers(0, 255, (48, 160, 3), dtype=np.uint8)
    turns: list[int] = []
    keep = reader._keep_best

    def counted(best, crops, views):  # type: ignore[no-untyped-def]
        turns.extend(turn for _, turn in views)
        keep(best, crops, views)

    reader._keep_best = counted  # type: ignore[method-assign]
    try:
        reader._read([crop, crop, Image.fromarray(noise)])
    finally:
        del reader._keep_best  # type: ignore[method-assign]
    assert turns == [0, 0, 0]


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (2, 2), (7, 900), (4000, 12)])
@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_shapes_that_hold_no_text(spotter: Spotter, size: tuple[int, int], kind: str) -> None:
    image = Image.new("RGB", size, "navy")
    if kind == "noise":
        pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
    page = spotter(image)
    assert page.size == size
    for word in page.words:
        assert np.isfinite(np.asarray(word.quad)).all()


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4", b"text"])
def test_what_is_no_image_is_said(spotter: Spotter, content: bytes) -> None:
    with pytest.raises(UnreadableImage):
        spotter(content)


def test_over_the_largest_size_nothing_is_decoded(spotter: Spotter) -> None:
    """A hundred million pixels in a file of a hundred kilobytes."""
    file = io.BytesIO()
    Image.new("1", (12_500, 8_000)).save(file, "PNG")
    with pytest.raises(UnreadableImage, match="64000000"):
        spotter(file.getvalue())


@pytest.mark.slow
def test_a_page_that_is_all_text(spotter: Spotter) -> None:
    text = ("every line of this page follows the one before it",) * 8
    page = spotter(sheet(text, (640, 250), 19))
    assert len(page.lines) == 8
    assert sum(line.text.split() == text[0].split() for line in page.lines) >= 7


def test_a_large_page_is_read_in_few_tiles() -> None:
    seen: list[tuple[int, int]] = []
    detector = EmbeddedDetector(
        side=320, tiles=4, threads=2, on_tile=lambda *numbers: seen.append(numbers)
    )
    image = Image.new("RGB", (3000, 2200), "white")
    image.paste(sheet(("small print", "in a corner"), (500, 200), 60), (2400, 1900))
    page: Page = Spotter(detector, threads=2)(image)
    assert page.text.split() == ["small", "print", "in", "a", "corner"]
    assert seen[-1][0] == seen[-1][1] <= 4
