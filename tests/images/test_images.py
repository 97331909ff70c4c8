"""Whatever a user has, to an image or a clear reason."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strhub.images.find import find_images
from strhub.images.open import UnreadableImage, open_image


def png_header_claiming(width: int, height: int) -> bytes:
    """A tiny PNG that says it is huge: a decompression bomb."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + chunk(b"IEND", b"")
    )


def test_paths_images_and_arrays_give_the_same(tmp_path: Path) -> None:
    array = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    image = Image.fromarray(array)
    image.save(tmp_path / "a.png")
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), image, array, array / 255.0):
        assert np.array_equal(np.asarray(open_image(source)), array)


@pytest.mark.parametrize(
    ("array", "pixel"),
    [
        (np.full((2, 3), 7, np.uint8), (7, 7, 7)),
        (np.full((2, 3, 1), 7, np.uint8), (7, 7, 7)),
        (np.array([[True, True]]), (255, 255, 255)),
        (np.zeros((2, 3, 4), np.uint8), (255, 255, 255)),  # wholly transparent: the white beneath
        (np.full((2, 3), 0.5, np.float32), (128, 128, 128)),
    ],
)
def test_kinds_of_arrays(array: np.ndarray, pixel: tuple[int, int, int]) -> None:
    assert open_image(array).getpixel((0, 0)) == pixel


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 32768, 65535]], dtype=np.uint16)).save(tmp_path / "deep.png")
    assert np.asarray(open_image(tmp_path / "deep.png"))[0, :, 0].tolist() == [0, 128, 255]


def test_orientation_tag_is_followed(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (4, 8)


def test_unreadable_files_say_why(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.effect_noise((64, 64), 90).save(good)
    cases = {
        "empty": b"",
        "not an image": b"hello, I am text",
        "damaged": good.read_bytes()[:1500],
        "over 64000000 pixels": png_header_claiming(40_000, 40_000),
    }
    for reason, content in cases.items():
        path = tmp_path / "case.png"
        path.write_bytes(content)
        with pytest.raises(UnreadableImage, match=reason):
            open_image(path)
    (tmp_path / "case.png").write_bytes(png_header_claiming(9_000, 9_000))
    with pytest.raises(UnreadableImage, match="9000 x 9000 pixels"):
        open_image(tmp_path / "case.png")
    with pytest.raises(UnreadableImage, match="No such file"):
        open_image(tmp_path / "absent.png")
    with pytest.raises(UnreadableImage, match="directory"):
        open_image(tmp_path)


@pytest.mark.parametrize(
    "source",
    [
        None,
        3,
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.full((2, 2), 1.5),
        np.zeros((2, 2), np.int64),
        np.full((2, 2), np.nan),
        object(),
    ],
)
def test_other_things_are_refused(source: object) -> None:
    with pytest.raises(UnreadableImage):
        open_image(source)


def test_images_and_names_that_cannot_be_used_are_no_other_kind_of_error(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 90).save(tmp_path / "good.png")
    content = io.BytesIO((tmp_path / "good.png").read_bytes()[:1500])
    closed = Image.new("RGB", (4, 4))
    closed.close()

    class Elsewhere:
        def __array__(self) -> None:
            raise TypeError("it is on another device")

    for source, reason in (
        (Image.open(content), "damaged: .*truncated"),
        (closed, "damaged"),
        (Elsewhere(), "on another device"),
        ("a\0b.png", "null (byte|character)"),
        ("a\ud800.png", "surrogates not allowed"),
    ):
        with pytest.raises(UnreadableImage, match=reason):
            open_image(source)


def test_one_pixel_is_a_image() -> None:
    assert open_image(np.zeros((1, 1), np.uint8)).size == (1, 1)


def test_files_folders_and_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "deep/c.webp", "[x].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in find_images(["."])] == ["[x].png", "a.JPG", "b.png", "c.webp"]
    assert [path.name for path in find_images(["*.png", str(tmp_path / "deep" / "*")])] == [
        "[x].png",
        "b.png",
        "c.webp",
    ]
    assert [path.name for path in find_images(["[x].png", "notes.txt", "gone.png"])] == [
        "[x].png",
        "notes.txt",
        "gone.png",
    ]
    assert len(find_images(["b.png", "b.png", "*.png"])) == 2
    assert find_images(["deep/*.gif"]) == []
    assert [path.name for path in find_images(["dee*"])] == [
        "c.webp"
    ]  # a folder that matches is looked into
    assert [path.name for path in find_images(["long" * 100])] == ["long" * 100]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP"])
def test_the_size_is_told_before_anything_is_decoded(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is told may wait for memory, or refuse."""
    file = io.BytesIO()
    Image.new("L", (30, 20)).save(file, form)

    def refuse(width: int, height: int) -> None:
        assert (width, height) == (30, 20)
        raise UnreadableImage("too large here")

    def decode(image: Image.Image) -> None:
        raise AssertionError("it is decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    with pytest.raises(UnreadableImage, match="too large here"):
        open_image(file.getvalue(), on_size=refuse)
