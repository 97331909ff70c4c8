"""Depths, ranges and transparency: what an image shows is there in RGB, and converting it takes
little memory.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from strhub import Recognizer
from strhub.images.open import UnreadableImage, open_image

GRAY = np.tile(np.linspace(20, 250, 64).astype(np.uint8), (16, 1))
DEEP = {
    "8 bits in 16": GRAY.astype(np.uint16),
    "10 bits in 16": GRAY.astype(np.uint16) * 4,
    "12 bits in 16": GRAY.astype(np.uint16) * 16,
    "16 bits": GRAY.astype(np.uint16) * 257,
    "big end first": (GRAY.astype(np.uint16) * 257).astype(">u2"),
    "16 bits in 32": GRAY.astype(np.int32) * 257,
    "31 bits in 32": (GRAY.astype(np.int64) * 8421504).astype(np.int32),
    "floats 0 to 1": GRAY.astype(np.float32) / 255,
    "floats -1 to 1": GRAY.astype(np.float32) / 127.5 - 1,
    "floats 0 to 255": GRAY.astype(np.float32),
    "floats 0 to 65535": GRAY.astype(np.float32) * 257,
}


@pytest.mark.parametrize("name", DEEP)
def test_every_depth_looks_the_same(name: str, tmp_path: Path) -> None:
    image = Image.fromarray(DEEP[name])
    image.save(tmp_path / "a.tif")
    sources = [image, tmp_path / "a.tif"]
    if DEEP[name].dtype == np.uint16:
        image.save(tmp_path / "a.png")
        sources.append(tmp_path / "a.png")
    for source in sources:
        shown = np.asarray(open_image(source), dtype=int)
        assert np.abs(shown - GRAY[..., None]).max() <= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 1]], np.uint16), [0, 255]),  # a mask
        (np.array([[-500, 500]], np.int32), [0, 255]),
        (np.array([[2e6, 3.2e6, 4e6]], np.float32), [0, 153, 255]),
        (np.array([[0, np.nan, 1]], np.float32), [0, 0, 255]),
        (np.array([[7e6, 7e6]], np.float32), [0, 0]),
        (np.array([[0, np.inf, 1]], np.float32), [0, 255, 255]),
    ],
)
def test_unusual_ranges(values: np.ndarray, expected: list[int]) -> None:
    assert np.asarray(open_image(Image.fromarray(values)))[0, :, 0].tolist() == expected


def test_no_number_at_all_is_an_error() -> None:
    with pytest.raises(UnreadableImage, match="none of its values is a number"):
        open_image(Image.fromarray(np.full((2, 2), np.nan, np.float32)))


@pytest.mark.parametrize(
    ("color", "ground"),
    [((255, 255, 255), 0), ((255, 240, 120), 0), ((20, 30, 90), 255), ((0, 0, 0), 255)],
)
@pytest.mark.parametrize("kind", ["png", "webp", "gif", "tif"])
def test_what_is_transparent_contrasts(
    color: tuple[int, int, int], ground: int, kind: str, tmp_path: Path
) -> None:
    image = Image.new("RGBA", (30, 10), (*color, 0))
    ImageDraw.Draw(image).rectangle((10, 2, 20, 8), (*color, 255))
    image.save(tmp_path / f"a.{kind}", **({"lossless": True} if kind == "webp" else {}))
    shown = open_image(tmp_path / f"a.{kind}")
    assert shown.getpixel((0, 0)) == (ground,) * 3
    assert shown.getpixel((15, 5)) == color
    if kind == "png":
        assert np.array_equal(np.asarray(open_image(np.asarray(image))), np.asarray(shown))
        gray = open_image(image.convert("LA"))
        assert gray.getpixel((0, 0)) == (ground,) * 3


def test_a_color_that_stands_for_transparent(tmp_path: Path) -> None:
    for mode, hidden, light in (("L", 255, 250), ("RGB", (255, 255, 255), (250, 250, 250))):
        image = Image.new(mode, (30, 10), hidden)
        ImageDraw.Draw(image).rectangle((10, 2, 20, 8), light)
        image.save(tmp_path / "a.png", transparency=hidden)
        shown = open_image(tmp_path / "a.png")
        assert (shown.getpixel((0, 0)), shown.getpixel((15, 5))) == ((0, 0, 0), (250, 250, 250))


def test_bands_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Image.fromarray(np.arange(35, dtype=np.uint16).reshape(7, 5) * 1000)
    clear = Image.fromarray(np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8))
    floats = np.random.default_rng(0).random((7, 5, 3))
    whole = [np.asarray(open_image(source)) for source in (deep, clear, floats)]
    monkeypatch.setattr("strhub.images.pixels._BAND", 11)
    for source, expected in zip((deep, clear, floats), whole, strict=True):
        assert np.array_equal(np.asarray(open_image(source)), expected)


def test_light_words_on_transparency_are_read(tmp_path: Path) -> None:
    image = Image.new("RGBA", (220, 60), (255, 255, 255, 0))
    font = ImageFont.load_default(size=44)
    ImageDraw.Draw(image).text((15, 5), "Market", (255, 255, 255, 255), font=font)
    image.save(tmp_path / "white.png")
    assert Recognizer("strhub-tiny")(tmp_path / "white.png")[0].text == "Market"


MEASURE = """
import resource, sys
import numpy as np
from PIL import Image
from strhub.images.open import open_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert open_image(sys.argv[1]).size == (5000, 5000)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere ru_maxrss has other units")
@pytest.mark.parametrize("kind", ["deep.png", "float.tif", "clear.png"])
def test_the_largest_images_take_bounded_memory(kind: str, tmp_path: Path) -> None:
    size = (5000, 5000)
    modes = {
        "deep.png": ("I;16", 3000),
        "float.tif": ("F", 0.5),
        "clear.png": ("RGBA", (255, 255, 255, 9)),
    }
    mode, color = modes[kind]
    Image.new(mode, size, color).save(tmp_path / kind)
    command = [sys.executable, "-c", MEASURE, str(tmp_path / kind)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240)
    assert int(done.stdout) < 280, "MiB; 100 of them for the RGB image, as many for the decoded one"
