"""Images to the arrays that an engine takes: opened, turned where they may stand on end, resized,
normalized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from strhub.images.open import UnreadableImage, open_image
from strhub.images.preprocess import (
    Normalization,
    Pixels,
    normalize_pixels,
)
from strhub.images.sources import Taken, take
from strhub.inference.reading import Engine, ImageArray
from strhub.inference.rereading import Decoded as Decoded
from strhub.inference.rereading import ViewReading as ViewReading
from strhub.inference.rereading import surest_rotation as surest_rotation
from strhub.utils.processes import PerProcess

Views = dict[int, ImageArray]
"""An array for every way to look at an image, by the degrees that it is turned."""

TALL = 1.5  # height over width from which a word may stand on end
TURNS = {
    0: None,
    90: Image.Transpose.ROTATE_90,
    270: Image.Transpose.ROTATE_270,
}  # degrees counter-clockwise

# how many times the model's pixels, along each side, are kept when a large image is made smaller
# coarsely
SPARE = 4
# bytes of opened images that wait beside a batch for a re-reading; the rest would be opened again
_KEPT_BYTES = 8 << 20
# pixels above which images are decoded one at a time, whatever the number of threads
_LARGE = 16_000_000


class Prepared(NamedTuple):
    """An image for the engine; image: as it was opened, kept for a re-reading, None if that would
    take too much memory.
    """

    views: Views
    image: Image.Image | None


class _Opened(NamedTuple):
    views: dict[int, Pixels]
    image: Image.Image | None


class Preparation:
    """Prepares images for an engine."""

    engine: Engine
    turn_tall: bool
    reread_below: float
    _one_large: PerProcess[Lock]
    _img_size: tuple[int, int]
    _normalize: Normalization
    _to_pixels: Callable[..., Pixels]
    _at_least: tuple[int, int] | None

    def prepare(self, inputs: Sequence[Any]) -> list[Views | UnreadableImage]:
        """Return what the engine takes of each image: an array for every way to look at it, or why
        there is none.
        """
        prepared = self._prepare([take(source) for source in inputs])
        return [one.views if isinstance(one, Prepared) else one for one in prepared]

    def _prepare(self, images: Sequence[Taken]) -> list[Prepared | UnreadableImage]:
        opened: list[_Opened | UnreadableImage] = []
        room = _KEPT_BYTES if self.reread_below else 0
        for image in images:
            one = self._open(image.source, room)
            opened.append(one)
            if isinstance(one, _Opened) and one.image is not None:
                room -= _bytes_of(one.image)
        pixels = [
            array for one in opened if isinstance(one, _Opened) for array in one.views.values()
        ]
        arrays = iter(self._normalize_pixels(pixels))
        return [
            Prepared({turn: next(arrays) for turn in one.views}, one.image)
            if isinstance(one, _Opened)
            else one
            for one in opened
        ]

    def _open(self, source: Any, room: int) -> _Opened | UnreadableImage:
        """Open an image; room: the bytes that may be kept of it."""
        try:
            with self._opened(source) as image:
                views = {turn: self._scaled(view) for turn, view in self._views(image)}
                return _Opened(views, image if _bytes_of(image) <= room else None)
        except UnreadableImage as error:
            return error
        except MemoryError:
            return UnreadableImage("there is not enough memory to prepare it")

    @contextmanager
    def _opened(self, source: Any) -> Iterator[Image.Image]:
        """Open an image; of large ones, one at a time, so that threads do not need the memory of
        several.
        """
        with ExitStack() as held:

            def wait_if_large(width: int, height: int) -> None:
                if width * height > _LARGE:
                    held.enter_context(self._one_large.get())

            yield open_image(source, at_least=self._at_least, on_size=wait_if_large)

    def _opened_again(
        self, kept: Image.Image | None, source: Any
    ) -> AbstractContextManager[Image.Image]:
        """Return the image as it was kept, or open it once more."""
        return self._opened(source) if kept is None else nullcontext(kept)

    def _scaled(self, view: Image.Image) -> Pixels:
        return self._to_pixels(view, self._img_size, spare=SPARE)

    def _normalize_pixels(self, pixels: Sequence[Pixels]) -> Iterable[ImageArray]:
        """Normalize all at once if they have one shape: one by one, that would take as long as
        reading the files.
        """
        if pixels and all(array.shape == pixels[0].shape for array in pixels):
            return normalize_pixels(np.stack(pixels), self._normalize)
        return [normalize_pixels(array, self._normalize) for array in pixels]

    def _views(self, source: Image.Image) -> Iterator[tuple[int, Image.Image]]:
        """Yield the ways to look at an image: degrees by which it is turned, and what it then looks
        like.
        """
        tall = self.turn_tall and source.height > TALL * source.width
        for rotation, turn in TURNS.items():
            if turn is None:
                yield rotation, source
            elif tall:
                yield rotation, source.transpose(turn)


def _bytes_of(image: Image.Image) -> int:
    return len(image.getbands()) * image.width * image.height
