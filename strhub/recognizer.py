"""`Recognizer`: pictures of words to readings, in batches. What cannot be read comes back as such, in its place."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from strhub.data.aspect import pad, picture_to_kept_array
from strhub.data.transforms import normalization, picture_to_array
from strhub.images import UnreadableImage, open_image
from strhub.scene_text_model import SceneTextModel
from strhub.zoo import EMBEDDED, load_from_checkpoint


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


class Recognizer:
    """Read words.

    model: an id (`strhub-tiny`), a checkpoint's path, or a loaded model. device: such as "cpu" or "cuda"; by default
    the fastest there is. batch_size: pictures at a time. options: of decoding, such as refine_iters=2.

    >>> readings = Recognizer("strhub-tiny")(["a.png", "b.jpg"])
    """

    def __init__(
        self,
        model: str | Path | SceneTextModel = EMBEDDED,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: it must be at least 1")
        if isinstance(model, SceneTextModel):
            model.set_decoding(**options)
        else:
            model = load_from_checkpoint(model, **options)
        self.device = choose_device(device)
        self.model = model.eval().to(self.device)
        self.batch_size = batch_size
        self._normalize = normalization(model.hparams["normalize"])
        self._to_array = picture_to_kept_array if model.hparams.get("keep_aspect") else picture_to_array

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

    def _read_batch(self, pictures: Sequence[Any]) -> list[Reading]:
        readings: list[Reading | None] = []
        arrays = []
        for picture in pictures:
            source = str(picture) if isinstance(picture, str | os.PathLike) else None
            try:
                arrays.append(self._to_array(open_image(picture), self.model.hparams["img_size"], self._normalize))
                readings.append(None)
            except UnreadableImage as error:
                readings.append(Reading("", 0.0, source=source, error=str(error)))
        read = iter(self._read_arrays(arrays))
        return [
            reading if reading is not None else _with_source(next(read), picture)
            for reading, picture in zip(readings, pictures, strict=True)
        ]

    def _read_arrays(self, arrays: Sequence[Any]) -> list[Reading]:
        """Normalised arrays (3, H, W), their widths alike or not, to readings."""
        if not arrays:
            return []
        with torch.inference_mode():
            images = pad([torch.from_numpy(array) for array in arrays]).to(self.device)
            decoded = self.model.read(images)
        return [
            Reading(text, confidence, tuple(float(value) for value in characters))
            for text, confidence, characters in decoded
        ]


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the fastest there is; `ValueError` if it is not there."""
    if device is None or str(device) == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
    return chosen


def _as_list(pictures: Any) -> Iterable[Any]:
    one = isinstance(pictures, str | os.PathLike | Image.Image) or hasattr(pictures, "__array__")
    return [pictures] if one else pictures


def _with_source(reading: Reading, picture: Any) -> Reading:
    if not isinstance(picture, str | os.PathLike):
        return reading
    return Reading(reading.text, reading.confidence, reading.character_confidences, str(picture))
