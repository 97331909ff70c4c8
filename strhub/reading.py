"""What every reader shares, with PyTorch or without: pictures in any form to readings, in batches.

NumPy and Pillow only. `strhub.recognizer` and `strhub.onnx` add a model each.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.data.transforms import normalization, picture_to_array, picture_to_kept_array
from strhub.images import UnreadableImage, open_image

PictureArray = npt.NDArray[np.float32]
Decoded = tuple[str, float, npt.NDArray[np.float32]]  # text, its confidence, that of each character


@dataclass(frozen=True)
class Reading:
    """What was read in one picture.

    text: "" if there is nothing to read or it could not be read; confidence: in [0, 1], of the whole text, 0 if there
    is none; character_confidences: in [0, 1], one a character; source: the path given, None for pictures from memory;
    error: why the input could not be read, or None.
    """

    text: str
    confidence: float
    character_confidences: tuple[float, ...] = ()
    source: str | None = None
    error: str | None = field(default=None)


class Reader(ABC):
    """Pictures to readings, in batches. What cannot be read comes back as such, in its place.

    img_size: height and width in pixels, the width the greatest one if `keep_aspect`; normalize: name of a preset.
    """

    def __init__(self, *, img_size: Sequence[int], normalize: str, keep_aspect: bool, batch_size: int) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: it must be at least 1")
        self.batch_size = batch_size
        self._img_size = (int(img_size[0]), int(img_size[1]))
        self._normalize = normalization(normalize)
        self._to_array: Callable[..., PictureArray] = picture_to_kept_array if keep_aspect else picture_to_array

    def __call__(self, pictures: Any) -> list[Reading]:
        """Readings of paths, PIL images and arrays, in any mix and number, in their order; of one alone, a list of one.

        Nothing raises for a bad input: its reading has `error` set.
        """
        return list(self.read(_as_list(pictures)))

    def read(self, pictures: Iterable[Any]) -> Iterator[Reading]:
        """The same, one after the other as batches are done, from any iterable."""
        remaining = iter(pictures)
        while batch := list(islice(remaining, self.batch_size)):
            yield from self._read_batch(batch)

    @abstractmethod
    def _decode(self, arrays: Sequence[PictureArray]) -> Sequence[Decoded]:
        """Normalised arrays (3, H, W), at least one, to what is read in each; W may differ if the aspect is kept."""

    def _read_batch(self, pictures: Sequence[Any]) -> list[Reading]:
        readings = [Reading("", 0.0, source=_source(picture)) for picture in pictures]
        arrays: dict[int, PictureArray] = {}
        for index, picture in enumerate(pictures):
            try:
                arrays[index] = self._to_array(open_image(picture), self._img_size, self._normalize)
            except UnreadableImage as error:
                readings[index] = replace(readings[index], error=str(error))
        decoded = self._decode(list(arrays.values())) if arrays else []
        for index, (text, confidence, characters) in zip(arrays, decoded, strict=True):
            confidences = tuple(float(value) for value in characters)
            readings[index] = Reading(text, confidence, confidences, readings[index].source)
        return readings


def _as_list(pictures: Any) -> Iterable[Any]:
    one = isinstance(pictures, str | os.PathLike | Image.Image) or hasattr(pictures, "__array__")
    return [pictures] if one else pictures


def _source(picture: Any) -> str | None:
    return str(picture) if isinstance(picture, str | os.PathLike) else None
