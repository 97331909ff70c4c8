"""Images to the arrays that an engine takes: opened, turned where they may stand on end, resized,
normalized.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
from PIL import Image

from strhub.images.open import UnreadableImage, open_image
from strhub.images.preprocess import (
    Pixels,
    normalize_pixels,
)
from strhub.images.sources import Taken, take
from strhub.inference.reading import Engine, ImageArray
from strhub.inference.rereading import Decoded as Decoded
from strhub.inference.rereading import ViewReading as ViewReading
from strhub.inference.rereading import surest_rotation as surest_rotation
from strhub.utils.processes import PerProcess

Prepared = dict[int, ImageArray] | UnreadableImage  # by the degrees that an image is turned

TALL = 1.5  # height over width from which a word may stand on end
TURNS = {
    0: None,
    90: Image.Transpose.ROTATE_90,
    270: Image.Transpose.ROTATE_270,
}  # degrees counter-clockwise

# how many times the model's pixels, along each side, are kept when a large image is made smaller
# coarsely
SPARE = 4
# pixels above which images are decoded one at a time, whatever the number of threads
_LARGE = 16_000_000


class Preparation:
    """Prepares images for an engine."""

    engine: Engine
    turn_tall: bool
    _one_large: PerProcess[Any]
    _img_size: tuple[int, int]
    _normalize: Any
    _to_pixels: Callable[..., Pixels]
    _at_least: tuple[int, int] | None

    def prepare(self, inputs: Sequence[Any]) -> list[Prepared]:
        """What the engine takes of each image: an array for every way to look at it, or why there
        is none.
        """
        return self._prepare([take(source) for source in inputs])

    def _prepare(self, images: Sequence[Taken]) -> list[Prepared]:
        opened = [self._open(image.source) for image in images]
        pixels = [array for views in opened if isinstance(views, dict) for array in views.values()]
        arrays = iter(self._normalize_pixels(pixels))
        return [
            {turn: next(arrays) for turn in views} if isinstance(views, dict) else views
            for views in opened
        ]

    def _open(self, source: Any) -> dict[int, Pixels] | UnreadableImage:
        try:
            with self._opened(source) as image:
                return {turn: self._scaled(view) for turn, view in self._views(image)}
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

    def _scaled(self, view: Image.Image) -> Pixels:
        return self._to_pixels(view, self._img_size, spare=SPARE)

    def _normalize_pixels(self, pixels: Sequence[Pixels]) -> Iterable[ImageArray]:
        """All at once if they have one shape: per image that would take as long as reading its
        file.
        """
        if pixels and all(array.shape == pixels[0].shape for array in pixels):
            return normalize_pixels(np.stack(pixels), self._normalize)
        return [normalize_pixels(array, self._normalize) for array in pixels]

    def _views(self, source: Image.Image) -> Iterator[tuple[int, Image.Image]]:
        """The ways to look at an image: degrees by which it is turned, and what it then looks
        like.
        """
        tall = self.turn_tall and source.height > TALL * source.width
        for rotation, turn in TURNS.items():
            if turn is None:
                yield rotation, source
            elif tall:
                yield rotation, source.transpose(turn)
