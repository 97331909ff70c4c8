"""Images as they come in life: every mode and orientation reads as the plain one; a bad one
disturbs no other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strhub import Recognizer
from strhub.images.open import UnreadableImage, open_image
from strhub.inference.preparation import SPARE

pytestmark = pytest.mark.numeric

DEMO = sorted((Path(__file__).parents[2] / "demo_images").glob("*.png"))


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer("strhub-tiny", batch_size=16)


@pytest.fixture(scope="module")
def plain() -> Image.Image:
    return Image.open(DEMO[3]).convert("RGB")


def _oriented(image: Image.Image, path: Path) -> None:
    exif = image.getexif()
    exif[0x0112] = 8  # to be shown turned to the left: stored turned to the right
    image.transpose(Image.Transpose.ROTATE_270).save(path, quality=95, exif=exif)


def _animated(image: Image.Image, path: Path) -> None:
    other = Image.new("RGB", image.size, "blue")
    image.save(path, save_all=True, append_images=[other, other], duration=50)


def _sixteen_bits(image: Image.Image, path: Path) -> None:
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)


def _large(image: Image.Image, path: Path, times: int = 12) -> None:
    size = (image.width * times, image.height * times)
    image.resize(size, Image.Resampling.BICUBIC).save(path, quality=95)


WAYS: dict[str, Callable[[Image.Image, Path], None]] = {
    "cmyk.jpg": lambda image, path: image.convert("CMYK").save(path, quality=95),
    "gray.jpg": lambda image, path: image.convert("L").save(path, quality=95),
    "deep.png": _sixteen_bits,
    "deep.tif": _sixteen_bits,
    "palette.png": lambda image, path: image.quantize(255).save(path),
    "transparent.png": lambda image, path: image.convert("RGBA").save(path),
    "animated.gif": _animated,
    "animated.png": _animated,
    "animated.webp": _animated,
    "oriented.jpg": _oriented,
    "large.jpg": _large,
    "large.png": _large,
    "wide.png": lambda image, path: image.resize((20_000, 60)).save(path),
    "wide.jpg": lambda image, path: image.resize((20_000, 300)).save(path),
    "plain.bmp": lambda image, path: image.save(path),
}


def test_all_kinds_of_files_read_the_same(
    recognizer: Recognizer, plain: Image.Image, tmp_path: Path
) -> None:
    for name, write in WAYS.items():
        write(plain, tmp_path / name)
    expected = recognizer(plain)[0]
    assert expected.confidence > 0.8
    for name, reading in zip(WAYS, recognizer([tmp_path / name for name in WAYS]), strict=True):
        assert (name, reading.text, reading.error) == (name, expected.text, None)
        assert reading.confidence == pytest.approx(expected.confidence, abs=0.15), name


@pytest.mark.parametrize("keep", [0.98, 0.5, 0.1])
@pytest.mark.parametrize("large", [False, True])
def test_a_truncated_jpeg_among_others(
    recognizer: Recognizer, plain: Image.Image, tmp_path: Path, keep: float, large: bool
) -> None:
    _large(plain, tmp_path / "cut.jpg", 12 if large else 1)
    content = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: int(keep * len(content))])
    readings = recognizer([*DEMO[:20], tmp_path / "cut.jpg", *DEMO])
    assert "damaged" in str(readings[len(DEMO)].error)
    assert [reading.text for reading in readings[: len(DEMO)]] == [
        reading.text for reading in readings[len(DEMO) + 1 :]
    ]


@pytest.mark.parametrize(
    ("size", "orientation", "expected"),
    [
        ((2048, 512), None, (512, 128)),
        ((2047, 600), None, (1024, 300)),  # a quarter would be narrower than is enough
        ((3000, 120), None, (3000, 120)),  # lower than is enough
        ((512, 2048), None, (512, 2048)),  # tall: may be turned, and is then too low
        ((1024, 4096), None, (512, 2048)),
        ((2048, 512), 6, (512, 2048)),  # turned by its tag: may be needed either way
        ((2048, 1024), 6, (512, 1024)),
    ],
)
def test_a_large_jpeg_is_decoded_smaller_but_large_enough(
    tmp_path: Path, size: tuple[int, int], orientation: int | None, expected: tuple[int, int]
) -> None:
    image = Image.new("RGB", size, "orange")
    exif = image.getexif()
    if orientation:
        exif[0x0112] = orientation
    image.save(tmp_path / "large.jpg", exif=exif)
    image.save(tmp_path / "large.png", exif=exif)
    upright = size if orientation is None else size[::-1]
    assert open_image(tmp_path / "large.jpg").size == upright
    assert open_image(tmp_path / "large.png", at_least=(512, 128)).size == upright
    opened = open_image(tmp_path / "large.jpg", at_least=(512, 128))
    assert opened.size == expected
    assert np.abs(np.asarray(opened, dtype=int)[5, 5] - (255, 165, 0)).max() <= 3


def test_what_a_reader_prepares_is_close_to_plain_scaling(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    """Of large images, where it is not the same: within a few gray levels on a smooth one."""
    ramp = np.add.outer(np.arange(700) / 10, np.arange(2900) / 20)[..., None] * (1.0, 0.7, 0.4)
    Image.fromarray(ramp.astype(np.uint8)).save(tmp_path / "ramp.jpg", quality=95)
    prepared = recognizer.prepare([tmp_path / "ramp.jpg"])[0]
    assert isinstance(prepared, dict)
    image = open_image(tmp_path / "ramp.jpg")
    assert min(image.width / 128, image.height / 32) > 2 * SPARE
    expected = np.asarray(image.resize((128, 32), Image.Resampling.BICUBIC)) / 127.5 - 1
    assert np.abs(prepared[0].transpose(1, 2, 0) - expected).max() < 4 / 127.5


def test_parts_of_a_batch_are_prepared_as_images_alone_are(
    recognizer: Recognizer, plain: Image.Image
) -> None:
    tall = plain.transpose(Image.Transpose.ROTATE_90)
    together = recognizer.prepare([plain, None, tall, DEMO[0]])
    assert isinstance(together[1], UnreadableImage)
    assert [len(views) for views in together if isinstance(views, dict)] == [1, 3, 1]
    for image, views in zip([plain, None, tall, DEMO[0]], together, strict=True):
        alone = recognizer.prepare([image])[0]
        if isinstance(views, dict) and isinstance(alone, dict):
            assert views.keys() == alone.keys()
            assert all(np.array_equal(views[turn], alone[turn]) for turn in views)
