"""Letters one above the other: how many there are, laid side by side, and when that is tried."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

import strhub
from strhub import Recognizer
from strhub.inference.further_looks import Doubts, FurtherLooks
from strhub.inference.rereading import ViewReading
from strhub.inference.stacked_letters import FEWEST, cells_of, ink_of, side_by_side
from strhub.text.decoding import Decoded

pytestmark = pytest.mark.numeric

WORDS = ("HOTEL", "BAR", "THEATRE", "PARKING", "CAFE", "museum", "Gallery", "RESTAURANT")


def column(word: str, font: str, *, pitch: float = 1.35, margin: float = 0.15) -> Image.Image:
    """Draw a word from top to bottom, letters of 40 pixels."""
    drawn = ImageFont.truetype(font, 40)
    boxes = [drawn.getbbox(letter) for letter in word]
    top, bottom = drawn.getbbox("H")[1::2]
    high, wide = bottom - top, max(box[2] - box[0] for box in boxes)
    size = (round(wide * (1 + 2 * margin)), round(high * (pitch * (len(word) - 1) + 1 + margin)))
    image = Image.new("RGB", size, (20, 60, 110))
    for number, (letter, box) in enumerate(zip(word, boxes, strict=True)):
        x = size[0] / 2 - (box[0] + box[2]) / 2
        y = high * (margin / 2 + pitch * number) - top
        ImageDraw.Draw(image).text((x, y), letter, font=drawn, fill=(240, 230, 200))
    return image


@pytest.fixture(scope="module")
def fonts() -> list[str]:
    folder = Path(strhub.__file__).parent / "data" / "synth" / "fonts"
    return [str(folder / f"{name}.ttf") for name in ("Arimo-Bold", "Arvo-Regular", "Cinzel-Bold")]


@pytest.mark.parametrize(("name", "lying"), [("strhub-small", 0.7), ("strhub-tiny", 0.0)])
def test_columns_of_letters_are_read(name: str, lying: float, fonts: Sequence[str]) -> None:
    """lying: the fraction that is read from letters that lie on their side, in one look."""
    words = [(word, column(word, font)) for word in WORDS for font in fonts]
    images = [image for _, image in words]

    def right(reread_below: float | None) -> int:
        readings = Recognizer(name, reread_below=reread_below)(images)
        return sum(
            one.text.lower() == word.lower() and one.rotation in (0, 90, 270)
            for one, (word, _) in zip(readings, words, strict=True)
        )

    once, again = right(0), right(None)
    assert lying * len(words) <= once <= again
    assert again >= 0.8 * len(words)


def test_cells_are_counted(fonts: Sequence[str]) -> None:
    counts = [
        cells_of(ink_of(image), image.width / image.height)[0] == len(word)
        for word in WORDS
        for font in fonts
        for image in (column(word, font),)
    ]
    assert sum(counts) >= 0.9 * len(counts)


def test_each_cell_has_its_letter() -> None:
    """Bars of five colors with gaps between: each cell has one color, in the order from the top."""
    colors = [(250, 40 * number, 30) for number in range(5)]
    image = Image.new("RGB", (40, 250), "black")
    for number, color in enumerate(colors):
        ImageDraw.Draw(image).rectangle((6, 50 * number + 8, 33, 50 * number + 41), fill=color)
    found = side_by_side(image, height=48)
    assert found is not None
    assert found.letters == 5
    width, height = found.image.size
    centers = [round((number + 0.5) * width / 5) for number in range(5)]
    middles = np.asarray(found.image)[height // 2, centers]
    np.testing.assert_allclose(middles, colors, atol=6)


@pytest.mark.parametrize("size", [(1, 2), (1, 19), (3, 7), (2, 40), (30, 590), (1000, 5000)])
@pytest.mark.parametrize("noisy", [False, True])
def test_images_of_any_size(size: tuple[int, int], noisy: bool) -> None:
    pixels = np.full((size[1], size[0], 3), 90, dtype=np.uint8)
    if noisy:
        pixels += np.random.default_rng(0).integers(0, 99, pixels.shape, dtype=np.uint8)
    found = side_by_side(Image.fromarray(pixels), height=48)
    assert found is not None
    assert FEWEST <= found.letters <= 20 / 0.6
    assert 1 <= found.image.height <= 2 * 48
    assert found.image.width <= found.letters * found.image.height / 0.6 + found.letters


@pytest.mark.parametrize("size", [(10, 10), (10, 17), (10, 201), (1, 21)])
def test_what_is_no_column(size: tuple[int, int]) -> None:
    assert side_by_side(Image.new("RGB", size), height=48) is None


def look(confidence: float, text: str = "sign", rotation: int = 0) -> ViewReading:
    return ViewReading(
        rotation, Decoded(text, confidence, np.full(len(text), confidence, np.float32))
    )


LOOKS = FurtherLooks(below=0.5, height=48, keep_aspect=True, upside_down=False)


@pytest.mark.parametrize(
    ("first", "tall", "doubts"),
    [
        (look(0.4), False, Doubts(word=True, column=False)),
        (look(0.4), True, Doubts(word=True, column=True)),
        (look(0.4, rotation=90), True, Doubts(word=False, column=True)),
        (look(0.6), True, Doubts(word=False, column=True)),
        (look(0.7), True, Doubts(word=False, column=False)),
        (look(0.0, ""), True, Doubts(word=False, column=False)),
    ],
)
def test_only_doubtful_tall_images_are_taken_for_columns(
    first: ViewReading, tall: bool, doubts: Doubts
) -> None:
    assert LOOKS.doubts(first, tall=tall) == doubts


def test_a_column_has_a_character_for_each_cell() -> None:
    image = Image.new("RGB", (40, 250), "black")
    for number in range(5):
        ImageDraw.Draw(image).rectangle((6, 50 * number + 8, 33, 50 * number + 41), fill="white")
    ((further, _),) = LOOKS(look(0.4, rotation=90), image, Doubts(word=False, column=True))
    assert (further.letters, further.rotation) == (5, 0)
    assert further._replace(decoded=look(0.9, "HOTEL").decoded).counts
    assert not further._replace(decoded=look(0.9, "HOTELS").decoded).counts
    assert look(0.1, "anything").counts
