"""Inputs from memory and from objects that others hold: they are read whole, and stay as they
are.
"""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from strhub import Recognizer
from strhub.images.open import UnreadableImage, open_image
from strhub.images.sources import take

DEMO = sorted((Path(__file__).parents[2] / "demo_images").glob("*.png"))


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer("strhub-tiny", batch_size=8, threads=2, reread_below=0)


@pytest.fixture(scope="module")
def pages() -> list[Image.Image]:
    return [Image.open(path).convert("RGB").resize((110, 38)) for path in DEMO]


def test_bytes_and_file_objects(tmp_path: Path) -> None:
    content = DEMO[0].read_bytes()
    expected = np.asarray(open_image(DEMO[0]))
    written = io.BytesIO()
    written.write(content)  # its position is at the end, as after Image.save
    with DEMO[0].open("rb") as file:
        file.seek(5)
        for source in (content, bytearray(content), memoryview(content), written, file):
            assert np.array_equal(np.asarray(open_image(source)), expected)
        assert (file.tell(), written.tell()) == (5, len(content))
    reading, writing = os.pipe()
    threading.Thread(target=lambda: (os.write(writing, content), os.close(writing))).start()
    with open(reading, "rb", buffering=0) as pipe:  # gives what is there, not what it is asked for
        assert np.array_equal(np.asarray(open_image(pipe)), expected)


def test_file_objects_of_no_use_say_why() -> None:
    closed = io.BytesIO(b"x")
    closed.close()
    for source, reason in (
        (io.StringIO("x"), "mode 'rb'"),
        (closed, "closed file"),
        (io.BytesIO(), "empty"),
        (b"", "empty"),
        (b"hello", "not an image"),
    ):
        with pytest.raises(UnreadableImage, match=reason):
            open_image(source)


def test_a_reader_takes_them_one_or_many(recognizer: Recognizer) -> None:
    content = DEMO[2].read_bytes()
    expected = recognizer(DEMO[2])[0].text
    for source in (content, io.BytesIO(content), bytearray(content)):
        assert [(reading.text, reading.source) for reading in recognizer(source)] == [
            (expected, None)
        ]
    buffer = io.BytesIO(content)
    assert {reading.text for reading in recognizer([content, buffer, DEMO[2]] * 6)} == {expected}


class Raises(os.PathLike[str]):
    def __fspath__(self) -> str:
        raise RuntimeError("it has no path yet")


class Unreadable:
    def read(self, size: int = -1) -> bytes:
        raise ConnectionResetError("the other side went away")


class Huge:
    shape = (100_000, 100_000)

    def __array__(self) -> None:
        raise AssertionError("it must not be asked for its elements")


def test_objects_that_raise_end_no_batch(recognizer: Recognizer) -> None:
    sources: list[Any] = [DEMO[0], Raises(), Unreadable(), Huge(), DEMO[1]]
    readings = recognizer(sources * 3)
    assert [reading.error is None for reading in readings] == [True, False, False, False, True] * 3
    errors = " ".join(str(reading.error) for reading in readings[1:4])
    assert "it has no path yet" in errors
    assert "the other side went away" in errors
    assert "100000 x 100000 pixels" in errors


def test_no_memory_is_a_reason(monkeypatch: pytest.MonkeyPatch, recognizer: Recognizer) -> None:
    def no_memory(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr("strhub.images.open.to_rgb", no_memory)
    assert recognizer(DEMO[0])[0].error == "there is not enough memory to decode it"


@pytest.mark.parametrize("kind", ["png", "webp", "tif"])
def test_one_unloaded_image_many_times(recognizer: Recognizer, kind: str, tmp_path: Path) -> None:
    Image.open(DEMO[0]).convert("RGB").resize((640, 200)).save(tmp_path / f"a.{kind}")
    expected = recognizer(tmp_path / f"a.{kind}")[0].text
    with Image.open(tmp_path / f"a.{kind}") as one:
        assert [(reading.text, reading.error) for reading in recognizer([one] * 16)] == [
            (expected, None)
        ] * 16
        assert one.fp is not None, "what the caller has not loaded stays so"
        assert one.convert("RGB").size == (640, 200)


@pytest.mark.parametrize(
    ("kind", "loaded"), [("tif", False), ("gif", True), ("webp", False), ("png", True)]
)
def test_pages_of_a_file_as_an_iterator(
    recognizer: Recognizer, pages: list[Image.Image], kind: str, loaded: bool, tmp_path: Path
) -> None:
    path = tmp_path / f"pages.{kind}"
    options: dict[str, Any] = {"lossless": True} if kind == "webp" else {}
    pages[0].save(path, save_all=True, append_images=pages[1:], **options)

    def each() -> Iterator[Image.Image]:
        for page in ImageSequence.Iterator(book):
            if loaded:
                page.load()
            yield page

    with Image.open(path) as book:
        expected = [
            recognizer(page.convert("RGB"))[0].text for page in ImageSequence.Iterator(book)
        ]
        assert len(set(expected)) == len(pages)
        assert [reading.text for reading in recognizer.read(each())] == expected


def test_an_iterator_may_use_one_buffer_again(
    recognizer: Recognizer, pages: list[Image.Image]
) -> None:
    expected = [recognizer(page)[0].text for page in pages]

    def frames() -> Iterator[np.ndarray]:
        buffer = np.empty((38, 110, 3), np.uint8)
        for page in pages:
            buffer[:] = np.asarray(page)
            yield buffer

    assert [reading.text for reading in recognizer.read(frames())] == expected


def test_a_batch_ends_before_it_holds_too_much(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strhub.inference.batches._HELD_BYTES", 2 * len(DEMO[0].read_bytes()))
    asked = 0

    def chunks() -> Iterator[bytes]:
        nonlocal asked
        for _ in range(100):
            asked += 1
            yield DEMO[0].read_bytes()

    next(recognizer.read(chunks()))
    assert asked == 3


def test_an_orientation_tag_is_that_of_a_file_not_of_an_opened_image(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as opened:
        assert open_image(opened).size == opened.size == (8, 4)
    assert open_image((tmp_path / "a.jpg").read_bytes()).size == (4, 8)


def test_a_closed_image_is_an_input_that_cannot_be_read() -> None:
    with Image.open(DEMO[0]) as image:
        pass
    assert take(image).name is None
    with pytest.raises(UnreadableImage, match="closed"):
        open_image(image)


@pytest.mark.parametrize("lanes", [1, 2])
def test_large_images_are_decoded_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lanes: int
) -> None:
    """Whatever the number of threads; small ones are not."""
    from strhub.inference import pipeline, preparation

    reader = Recognizer("strhub-tiny", batch_size=4, threads=lanes, reread_below=0)
    reader.workers = 4
    monkeypatch.setattr(preparation, "_LARGE", 100 * 40)
    monkeypatch.setattr(pipeline, "_CHUNK", 1)
    for name, size in (("large", (200, 60)), ("small", (80, 30))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    now, most, turn = {"large": 0, "small": 0}, {"large": 0, "small": 0}, threading.Lock()
    real = Recognizer._scaled

    def scaled(self: Recognizer, view: Image.Image) -> Any:
        kind = "large" if view.width == 200 else "small"
        with turn:
            now[kind] += 1
            most[kind] = max(most[kind], now[kind])
        end = time.monotonic() + (0.02 if kind == "large" else 60)
        while most[kind] < 2 and time.monotonic() < end:  # until there is another one
            time.sleep(0.001)
        with turn:
            now[kind] -= 1
        return real(self, view)

    monkeypatch.setattr(Recognizer, "_scaled", scaled)
    for name in most:
        assert all(reading.error is None for reading in reader([tmp_path / f"{name}.png"] * 8))
    assert most["large"] == 1
    assert most["small"] > 1
