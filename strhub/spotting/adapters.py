"""Detectors of others: docTR's, and callables that return boxes or quadrilaterals in whatever form
they have them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.errors import ConfigError, DataError
from strhub.spotting.detector import Detector, EmbeddedDetector
from strhub.spotting.regions import Floats, Region

_FORMS: Final = (
    "(N, 4) boxes left, top, right, bottom, (N, 5) with scores, (N, 4, 2) corners, or a pair of "
    "either and (N) scores"
)


def as_detector(source: Any) -> Detector:
    """Return a detector for anything that finds text.

    source: a `Detector`; a detection predictor of docTR; or a callable from an RGB image to a
        sequence of `Region`s or of corners, or to an array of boxes (N, 4), boxes with scores (N,
        5), or corners (N, 4, 2), or to a pair of either of these and scores (N). Coordinates are
        pixels.

    Raises:
        ConfigError: if it is none of these. What it returns is checked with each image:
            `DataError`.
    """
    if isinstance(source, EmbeddedDetector):
        return source
    if not callable(source):
        raise ConfigError(
            "a detector must be a callable from an image to regions of text, not a "
            f"{type(source).__name__}"
        )
    if type(source).__module__.split(".")[0] == "doctr":
        return _OfDoctr(source)
    return _OfCallable(source)


class _OfCallable:
    """A callable whose result is brought to regions."""

    def __init__(self, source: Callable[[Image.Image], Any]) -> None:
        self.source = source

    def __call__(self, image: Image.Image, /) -> Sequence[Region]:
        return to_regions(self.source(image))


class _OfDoctr:
    """A detection predictor of docTR, which takes arrays and returns fractions of the image's
    sides.
    """

    def __init__(self, source: Callable[[list[npt.NDArray[np.uint8]]], Any]) -> None:
        self.source = source

    def __call__(self, image: Image.Image, /) -> Sequence[Region]:
        (found,) = self.source([np.asarray(image.convert("RGB"))])
        regions = []
        for boxes in found.values() if isinstance(found, Mapping) else (found,):
            values = np.asarray(boxes, dtype=np.float32)
            if values.ndim == 3 and values.shape[1] == 5:  # four corners, then (0, score)
                regions += to_regions((values[:, :4] * image.size, values[:, 4, 1]))
            elif len(values):
                boxes_in_pixels = values[:, :4] * np.tile(image.size, 2)
                regions += to_regions(
                    (boxes_in_pixels, values[:, 4]) if values.shape[1] > 4 else boxes_in_pixels
                )
        return regions


def to_regions(found: Any) -> list[Region]:
    """Return what a detector found as regions; `DataError` says what forms are known."""
    if (
        isinstance(found, tuple)
        and not isinstance(found, Region)
        and len(found) == 2
        and np.ndim(found[1]) == 1
    ):
        quads, scores = _quads(found[0]), np.asarray(found[1], dtype=np.float32)
        if len(quads) != len(scores):
            raise DataError(f"a detector returned {len(quads)} boxes and {len(scores)} scores")
        return [Region(quad, float(score)) for quad, score in zip(quads, scores, strict=True)]
    if isinstance(found, np.ndarray) and found.ndim == 2 and found.shape[1] == 5:
        return to_regions((found[:, :4], found[:, 4]))
    found = list(found)
    if all(isinstance(one, Region) for one in found):
        return [Region(_quads([one.quad])[0], float(one.score)) for one in found]
    return [Region(quad, 1.0) for quad in _quads(found)]


def _quads(found: Any) -> Floats:
    """Return boxes (N, 4) or corners (N, 4, 2) as corners (N, 4, 2)."""
    try:
        values = np.asarray(found, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a detector returned {type(found).__name__}; it has to return {_FORMS}"
        ) from error
    if not values.size:
        return np.zeros((0, 4, 2), dtype=np.float32)
    if values.ndim == 2 and values.shape[1] == 4:
        values = values[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    if values.shape[1:] != (4, 2):
        raise DataError(f"a detector returned an array {values.shape}; it has to return {_FORMS}")
    if not np.isfinite(values).all():
        raise DataError("a detector returned coordinates that are not numbers")
    return values
