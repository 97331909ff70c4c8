"""Doubtful words are re-read: how steep a line is, the views of it, and what is made of
them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import cos, radians, sin, tan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from strhub import Recognizer
from strhub.cli.read import run
from strhub.data.synth import RenderedWords
from strhub.images.open import open_image
from strhub.inference import preparation
from strhub.inference.engine import Decode
from strhub.inference.engine import Engine as EngineBase
from strhub.inference.pipeline import Decoded, Reader, ViewReading
from strhub.inference.reading import ImageArray
from strhub.inference.rectification import LETTER, other_views, slope_correlation, slope_of
from strhub.inference.rereading import best_supported
from strhub.text import CHARSET_36, CHARSET_94, CharsetAdapter
from strhub.text.correction import Correction

pytestmark = pytest.mark.numeric

LETTERS = 10
DEMO = sorted((Path(__file__).parent.parent.parent / "demo_images").glob("*.png"))


def box_of(angle: float, height: float, letters: int = LETTERS) -> tuple[float, float]:
    """Width and height of the box around letters of so many pixels that are turned with their line,
    in radians.
    """
    length = LETTER * letters * height
    return length * cos(angle) + height * sin(angle), length * sin(angle) + height * cos(angle)


def bar(angle: float, *, upright: bool) -> Image.Image:
    """A dark bar as long as ten letters of 20 pixels, climbing by so many degrees, in its box."""
    half, turn = LETTER * LETTERS * 20 / 2, radians(angle)
    ends = [(-half, -10), (half, -10), (half, 10), (-half, 10)]
    if upright:
        width, height = 2 * half, 20 + 2 * half * abs(tan(turn))
        corners = [(x, y - x * tan(turn)) for x, y in ends]
    else:
        width, height = box_of(abs(turn), 20)
        corners = [(x * cos(turn) + y * sin(turn), y * cos(turn) - x * sin(turn)) for x, y in ends]
    original = Image.new("RGB", (round(width), round(height)), "white")
    ImageDraw.Draw(original).polygon([(x + width / 2, y + height / 2) for x, y in corners], "black")
    return original


def darkness(original: Image.Image) -> np.ndarray:
    """How dark each row is, 0 to 1, from top to bottom."""
    return 1 - np.asarray(original.convert("L")).mean(1) / 255


@given(st.floats(9, 75), st.integers(4, 25))
def test_the_box_and_the_number_of_letters_tell_how_steep_a_line_is(
    angle: float, letters: int
) -> None:
    width, height = box_of(radians(angle), 30, letters)
    slope = slope_of(width, height, letters)
    if height < LETTER * letters * width:
        assert slope == pytest.approx(tan(radians(angle)), rel=1e-6)
    else:
        assert slope is None


@pytest.mark.parametrize(
    ("width", "height", "letters"),
    [
        (124, 20, 10),  # level
        (124, 24, 10),  # level and loose
        (20, 20, 1),  # a letter
        (30, 60, 1),
        (20, 130, 10),  # on end
    ],
)
def test_what_is_not_steep(width: int, height: int, letters: int) -> None:
    assert slope_of(width, height, letters) is None


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("angle", [-50, -30, -15, 15, 30, 50])
def test_one_of_the_views_has_the_line_level(angle: int, upright: bool) -> None:
    original = bar(angle, upright=upright)
    views = list(other_views(original, LETTERS, height=64))
    assert len(views) == 4  # whether it climbs or falls is seen
    rows = [darkness(view.image) for view in views[2:]]
    contrast = [dark.max() - min(dark[0], dark[-1]) for dark in rows]
    best = int(np.argmax(contrast))
    assert contrast[best] > 0.75
    turned = (views[2 + best].rotation + 180) % 360 - 180  # clockwise is negative
    assert turned * angle < 0
    if not upright:
        assert abs(turned) == pytest.approx(abs(angle), abs=2)


@pytest.mark.parametrize("size", [(1, 1), (1, 20), (100, 1), (7, 3), (90, 80), (2400, 1900)])
@pytest.mark.parametrize("letters", [1, 2, 25])
def test_images_of_any_size_have_views(size: tuple[int, int], letters: int) -> None:
    for rotation, view, _ in other_views(Image.new("RGB", size, (10, 20, 30)), letters, height=32):
        assert 0 <= rotation < 360
        assert min(view.size) >= 1
        assert view.height <= 3 * 2 * 32
        assert (np.asarray(view) == (10, 20, 30)).all()


@pytest.mark.parametrize("angle", [-60, -30, -10, 10, 30, 60])
@pytest.mark.parametrize("upright", [False, True])
def test_edges_tell_whether_a_line_climbs(angle: int, upright: bool) -> None:
    original = bar(angle, upright=upright)
    for one in (original, ImageOps.invert(original)):
        assert slope_correlation(one) * angle > 0.1 * abs(angle)
    assert slope_correlation(ImageOps.mirror(original)) == pytest.approx(
        -slope_correlation(original), abs=0.05
    )
    assert slope_correlation(Image.new("RGB", (50, 30), "red")) == 0


@pytest.mark.parametrize("size", [(200_000, 60), (60, 200_000)])
def test_a_image_of_no_words_shape_is_looked_at_once(size: tuple[int, int]) -> None:
    assert list(other_views(Image.new("RGB", size), 5, height=32)) == []


def test_models_that_keep_the_aspect_look_at_wider_letters_instead_of_closer() -> None:
    image = Image.new("RGB", (400, 200), (10, 20, 30))
    wider, *level = other_views(image, 3, height=48, keep_aspect=True)
    assert wider.image.size == (250, 100), "twice the model's height, as near as halving comes"
    assert not wider.cut
    assert all(view.cut for view in level)  # no other one of the whole
    assert wider.image.getpixel((0, 0)) == (10, 20, 30)


def decoded(text: str, confidence: float) -> Decoded:
    return Decoded(text, confidence, np.full(len(text), confidence, np.float32))


@pytest.mark.parametrize(
    ("view_readings", "expected"),
    [
        ([("SALE", 0.6)], ("SALE", 0.6)),
        ([("SALF", 0.6), ("SALE", 0.7)], ("SALE", 0.7)),
        ([("SALF", 0.6), ("SALE", 0.3), ("SALE", 0.4)], ("SALE", 0.4)),  # two agree
        ([("SALF", 0.5), ("", 0.0), ("", 0.0)], ("SALF", 0.5)),
    ],
)
def test_the_text_for_which_most_speaks(
    view_readings: Sequence[tuple[str, float]], expected: tuple[str, float]
) -> None:
    best = best_supported(
        [
            ViewReading(number, decoded(*view_reading))
            for number, view_reading in enumerate(view_readings)
        ]
    ).decoded
    assert (best.text, best.confidence) == expected


class Engine(EngineBase):
    """Reads every image as the same word, first with `first`, later with `later`; keeps how many it
    was given.
    """

    img_size, normalize, lanes, correction = (
        (32, 128),
        "default",
        1,
        Correction(best=1, first=0, offset=0),
    )

    def __init__(self, first: float, later: float = 0.9, *, keep_aspect: bool = False) -> None:
        self.first, self.later, self.keep_aspect, self.calls = (
            first,
            later,
            keep_aspect,
            list[int](),
        )

    def decode(self, arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
        self.calls.append(len(arrays))
        return [
            decoded(
                "sign" if len(self.calls) == 1 else "SIGN",
                self.first if len(self.calls) == 1 else self.later,
            )
            for _ in arrays
        ]

    def side_by_side(self):  # type: ignore[no-untyped-def]
        raise AssertionError("one lane only")


IMAGE = Image.new("RGB", (80, 60), "gray")


def test_only_doubtful_words_are_looked_at_again() -> None:
    sure, unsure = Engine(0.7), Engine(0.69)
    assert Reader(sure, batch_size=4)([IMAGE] * 2)[0].text == "sign"
    assert sure.calls == [2]
    readings = Reader(unsure, batch_size=4)([IMAGE] * 2)
    assert [(reading.text, round(reading.confidence, 6)) for reading in readings] == [
        ("SIGN", 0.9)
    ] * 2
    assert unsure.calls == [
        2,
        4,
        4,
        4,
    ]  # six views of each, as it is plain, and no more at a time than asked for
    never, long = Engine(0.1), Engine(0.1, keep_aspect=True)
    assert Reader(never, batch_size=4, reread_below=0)([IMAGE])[0].text == "sign"
    assert (
        Reader(long, batch_size=4)([IMAGE])[0].text == "sign"
    )  # a model of lines: no long one is sure
    assert never.calls == long.calls == [1]


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is opened from now on, each time that it is."""
    opened: list[object] = []

    def opening(source: object, **options: Any) -> Image.Image:
        opened.append(source)
        return open_image(source, **options)

    monkeypatch.setattr(preparation, "open_image", opening)
    return opened


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("lanes", [1, 2])
def test_an_image_that_is_read_twice_is_opened_once(
    tmp_path: Path, openings: list[object], count: int, lanes: int
) -> None:
    class Sharing(Engine):
        @contextmanager
        def side_by_side(self) -> Iterator[Decode]:
            yield self.decode

    Sharing.lanes = lanes
    paths = [tmp_path / f"{number}.png" for number in range(count)]
    for path in paths:
        IMAGE.save(path)
    engine = Sharing(0.2)
    readings = Reader(engine, batch_size=4)(paths)
    assert sum(engine.calls) > count, "they are read again"
    assert "SIGN" in [reading.text for reading in readings]
    assert sorted(map(str, openings)) == sorted(map(str, paths))


def test_large_images_do_not_wait_in_memory_for_a_second_look(
    tmp_path: Path, openings: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        IMAGE.save(path)
    monkeypatch.setattr(preparation, "_KEPT_BYTES", 2 * 3 * IMAGE.width * IMAGE.height)
    readings = Reader(Engine(0.2), batch_size=4)(paths)
    assert [reading.text for reading in readings] == ["SIGN"] * 3
    assert openings == [*paths, paths[2]], "two fit, the third is opened again"
    openings.clear()
    Reader(Engine(0.2), batch_size=4, reread_below=0)(paths)
    assert openings == paths


def test_a_file_that_has_gone_keeps_its_first_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "word.png"
    IMAGE.save(path)
    monkeypatch.setattr(preparation, "_KEPT_BYTES", 0)  # as if it were too large to be kept

    class Deleting(Engine):
        def decode(self, arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
            path.unlink(missing_ok=True)
            return super().decode(arrays)

    (reading,) = Reader(Deleting(0.2), batch_size=4)([path])
    assert (reading.text, reading.error) == ("sign", None)


def test_doubtful_words_are_read_upside_down_on_request() -> None:
    class Turned(Engine):
        """Surer of images with the bright side on top."""

        def decode(self, arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
            bright = [array[:, 0].mean() > array[:, -1].mean() for array in arrays]
            return [decoded("right", 0.9) if top else decoded("jybu", 0.3) for top in bright]

    image = Image.new("RGB", (80, 20), "black")
    image.paste("white", (0, 10, 80, 20))
    engine = Turned(0.3, keep_aspect=True)
    (plain,) = Reader(engine, batch_size=4, reread_below=0.5)([image])
    (turned,) = Reader(engine, batch_size=4, reread_below=0.5, upside_down=True)([image])
    assert (plain.text, plain.rotation) == ("jybu", 0)
    assert (turned.text, turned.rotation) == ("right", 180)
    (once,) = Reader(engine, batch_size=4, reread_below=0, upside_down=True)([image])
    assert once.text == "jybu"


@pytest.mark.parametrize("confidence", [-0.1, 1.5])
def test_a_confidence_out_of_range_is_an_error(confidence: float) -> None:
    with pytest.raises(ValueError, match="it must be a confidence, from 0"):
        Recognizer("strhub-tiny", reread_below=confidence)


def test_steep_words_are_read_better() -> None:
    steep = {"base": "default", "steps": {"steep": {"probability": [1, 1], "strength": [4, 36]}}}
    words = RenderedWords(
        charset=CHARSET_94, max_length=20, seed=91, difficulty=0.6, size=50, style=steep
    )
    inputs, labels = zip(*(words.render(index) for index in range(50)), strict=True)
    adapt = CharsetAdapter(CHARSET_36)

    def right(reread_below: float) -> int:
        readings = Recognizer("strhub-tiny", reread_below=reread_below)(list(inputs))
        return sum(
            adapt(reading.text) == adapt(label)
            for reading, label in zip(readings, labels, strict=True)
        )

    once, twice = right(0), right(0.7)
    assert twice >= once + 5, (once, twice)


@pytest.mark.parametrize("angle", [-45, 45])
def test_words_at_half_a_right_angle_are_read(angle: int) -> None:
    words = ["clock", "SEPTEMBER", "MARKET", "CHOICE", "times", "MOTORWAY", "catherine", "CASE"]
    inputs = [Image.open(path).convert("RGB") for path in DEMO]
    turned = [
        one.rotate(angle, expand=True, fillcolor=one.resize((1, 1)).getpixel((0, 0)))
        for one in inputs
    ]

    def right(reread_below: float) -> int:
        readings = Recognizer("strhub-tiny", reread_below=reread_below)(turned)
        return sum(
            reading.text.lower() == word.lower()
            for reading, word in zip(readings, words, strict=True)
        )

    assert right(0) <= 3
    assert right(0.7) >= 6


def test_the_command_line_says_how_far_a_line_was_turned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.open(DEMO[0]).convert("RGB").rotate(35, expand=True, fillcolor="gray").save(
        tmp_path / "steep.png"
    )
    assert run(["--images", str(tmp_path / "steep.png"), "--json", "--reread_below", "1"]) == 0
    assert '"rotation": 3' in capsys.readouterr().out  # clockwise, so 360 less some 35 degrees
    assert run(["--images", str(tmp_path / "steep.png"), "--json", "--reread_below", "0"]) == 0
    assert '"rotation": 0' in capsys.readouterr().out
    with pytest.raises(ValueError, match="it must be a confidence"):
        run(["--images", str(tmp_path / "steep.png"), "--reread_below", "2"])
