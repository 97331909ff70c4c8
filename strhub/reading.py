"""What every reader shares, with PyTorch or without: pictures in any form to readings, in batches.

NumPy and Pillow only. `strhub.recognizer` and `strhub.onnx` add a model each.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
TALL = 1.5  # height over width from which a word may stand on end
TURNS = {0: None, 90: Image.Transpose.ROTATE_90, 270: Image.Transpose.ROTATE_270}  # degrees counter-clockwise


@dataclass(frozen=True)
class Reading:
    """What was read in one picture.

    text: "" if there is nothing to read or it could not be read; confidence: in [0, 1], of the whole text, 0 if there
    is none; character_confidences: in [0, 1], one a character; source: the path given, None for pictures from memory;
    error: why the input could not be read, or None; rotation: degrees counter-clockwise by which the picture was turned
    to be read, 0, 90 or 270.
    """

    text: str
    confidence: float
    character_confidences: tuple[float, ...] = ()
    source: str | None = None
    error: str | None = field(default=None)
    rotation: int = 0


class Reader(ABC):
    """Pictures to readings, in batches. What cannot be read comes back as such, in its place.

    img_size: height and width in pixels, the width the greatest one if `keep_aspect`; normalize: name of a preset.
    turn_tall: read pictures over 1.5 times as high as wide upright and on either side, and keep the surest reading, so
    that words that run up or down are read; a single character is never turned.
    """

    def __init__(
        self,
        *,
        img_size: Sequence[int],
        normalize: str,
        keep_aspect: bool,
        batch_size: int,
        turn_tall: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: it must be at least 1")
        self.batch_size = batch_size
        self.turn_tall = turn_tall
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
        arrays: dict[tuple[int, int], PictureArray] = {}  # by place and rotation
        for place, picture in enumerate(pictures):
            try:
                opened = open_image(picture)
            except UnreadableImage as error:
                readings[place] = replace(readings[place], error=str(error))
                continue
            for rotation, view in self._views(opened):
                arrays[place, rotation] = self._to_array(view, self._img_size, self._normalize)
        decoded = self._decode(list(arrays.values())) if arrays else []
        for place, views in _by_place(zip(arrays, decoded, strict=True)).items():
            rotation = surest_rotation(views)
            text, confidence, characters = views[rotation]
            confidences = tuple(float(value) for value in characters)
            readings[place] = Reading(text, confidence, confidences, readings[place].source, rotation=rotation)
        return readings

    def _views(self, picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
        """The ways to look at a picture: degrees by which it is turned, and what it then looks like."""
        tall = self.turn_tall and picture.height > TALL * picture.width
        for rotation, turn in TURNS.items():
            if turn is None:
                yield rotation, picture
            elif tall:
                yield rotation, picture.transpose(turn)


def surest_rotation(views: Mapping[int, Decoded]) -> int:
    """The rotation with the surest reading; upright, unless what is read on a side has at least two characters.

    A single character fills a tall picture as it stands, and most of them look like another one on their side.
    """
    turned = [rotation for rotation, (text, *_) in views.items() if rotation and len(text) > 1]
    return max([0, *turned], key=lambda rotation: views[rotation][1])


def _by_place(decoded: Iterable[tuple[tuple[int, int], Decoded]]) -> dict[int, dict[int, Decoded]]:
    places: dict[int, dict[int, Decoded]] = {}
    for (place, rotation), reading in decoded:
        places.setdefault(place, {})[rotation] = reading
    return places


def _as_list(pictures: Any) -> Iterable[Any]:
    one = isinstance(pictures, str | os.PathLike | Image.Image) or hasattr(pictures, "__array__")
    return [pictures] if one else pictures


def _source(picture: Any) -> str | None:
    return str(picture) if isinstance(picture, str | os.PathLike) else None
