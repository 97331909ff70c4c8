"""Where text is in a photograph: the protocol of a detector, and the one that comes with the package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from PIL import Image

from strhub.errors import ConfigError
from strhub.inference.onnx_engine import open_session
from strhub.spotting.regions import Floats, Region, find_regions
from strhub.weights import embedded_detector

SIDE: Final = 960  # pixels of the longer side of what the network sees
_MULTIPLE = 32  # the network halves its input five times
_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)  # blue, green, red, as the network was trained
_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
_TILED_FROM = 1.6  # times the side, from which on tiles are looked at, too
_OVERLAP = 0.15  # of tiles, of their side
_MOST_TILES = 24
_SAME = 0.4  # fraction of the smaller region's box from which two regions are one


class Detector(Protocol):
    """What finds text: any callable from an RGB image to regions in its pixels."""

    def __call__(self, image: Image.Image) -> Sequence[Region]:
        """Return quadrilaterals around lines or words of text, with scores in [0, 1]."""


class EmbeddedDetector:
    """The detector that comes with the package, a differentiable-binarization network run by ONNX Runtime.

    side: pixels that the longer side of the image is brought to, and of the tiles that larger images are cut into
        besides (`tiles=False` leaves them out); an image is never enlarged by more than twice.
    threshold: above which a pixel is text; least_score: mean probability of a region from which it is kept.
    growth: how much regions are grown, see `strhub.spotting.regions.grow`: 0.7 gives outlines as people draw them.
    model: another .onnx file of the same kind. threads: to compute with.

    >>> EmbeddedDetector()(image)[0].quad  # (4, 2), in pixels
    """

    def __init__(
        self,
        *,
        side: int = SIDE,
        tiles: bool = True,
        threshold: float = 0.3,
        least_score: float = 0.5,
        growth: float = 0.7,
        model: str | Path | None = None,
        threads: int | None = None,
    ) -> None:
        if not _MULTIPLE <= side <= 4096:
            raise ConfigError(f"side is {side}: it is a number of pixels from {_MULTIPLE} to 4096")
        for name, value in (("threshold", threshold), ("least_score", least_score)):
            if not 0 < value < 1:
                raise ConfigError(f"{name} is {value}: it is a probability between 0 and 1")
        self.side, self.tiles = side, tiles
        self.threshold, self.least_score, self.growth = threshold, least_score, growth
        self._model, self._threads = model, threads

    @cached_property
    def _session(self) -> Any:
        return open_session(self._model or embedded_detector(), device="cpu", threads=self._threads)

    def __call__(self, image: Image.Image) -> list[Region]:
        """Return the regions of an RGB image, in its pixels."""
        found = self._look(image, 0, 0)
        if self.tiles and max(image.size) > _TILED_FROM * self.side:
            for box in tile_boxes(image.size, self.side):
                for region in self._look(image.crop(box), box[0], box[1], within=image.size):
                    if not any(_overlap(region.quad, other.quad) > _SAME for other in found):
                        found.append(region)
        return found

    def _look(self, image: Image.Image, left: int, top: int, within: tuple[int, int] | None = None) -> list[Region]:
        """Return the regions of a part of an image that begins at (left, top), less those that its inner edges cut."""
        ratio = min(2.0, self.side / max(image.size))
        width, height = (max(1, round(side * ratio / _MULTIPLE)) * _MULTIPLE for side in image.size)
        probabilities = self._probabilities(image.resize((width, height), Image.Resampling.BILINEAR))
        regions = find_regions(
            probabilities,
            threshold=self.threshold,
            least_score=self.least_score,
            growth=self.growth,
            least_side=3.0,
        )
        scale = np.array([image.width / width, image.height / height], dtype=np.float32)
        scaled = [Region(region.quad * scale, region.score) for region in regions]
        if within is not None:
            scaled = [region for region in scaled if not _is_cut(region.quad, image.size, left, top, within)]
        offset = np.array([left, top], dtype=np.float32)
        return [Region(region.quad + offset, region.score) for region in scaled]

    def _probabilities(self, image: Image.Image) -> Floats:
        """Return the map (H, W) of an RGB image whose sides are multiples of 32."""
        pixels = np.asarray(image, dtype=np.float32)[:, :, ::-1]
        normalized = (pixels / 255 - _MEAN) / _STD  # (H, W, 3)
        images = np.ascontiguousarray(normalized.transpose(2, 0, 1)[None])  # (1, 3, H, W)
        inputs = {self._session.get_inputs()[0].name: images}
        output: Floats = self._session.run(None, inputs)[0][0, 0]
        return output


def tile_boxes(size: tuple[int, int], side: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield boxes (left, top, right, bottom) of overlapping tiles that cover an image, at most 24 of them."""
    width, height = size
    while _count(width, side) * _count(height, side) > _MOST_TILES:
        side = side * 5 // 4
    for row in range(_count(height, side)):
        for column in range(_count(width, side)):
            left = _start(column, width, side)
            top = _start(row, height, side)
            yield left, top, min(width, left + side), min(height, top + side)


def _count(length: int, side: int) -> int:
    return 1 if length <= side else 1 + -(-(length - side) // int(side * (1 - _OVERLAP)))


def _start(index: int, length: int, side: int) -> int:
    count = _count(length, side)
    return 0 if count == 1 else round(index * (length - side) / (count - 1))


def _is_cut(quad: Floats, size: tuple[int, int], left: int, top: int, within: tuple[int, int]) -> bool:
    """Whether a quadrilateral touches an edge of a tile that is not an edge of the image."""
    near = 2.0
    (x0, y0), (x1, y1) = quad.min(0), quad.max(0)
    return bool(
        (left > 0 and x0 < near)
        or (top > 0 and y0 < near)
        or (left + size[0] < within[0] and x1 > size[0] - near)
        or (top + size[1] < within[1] and y1 > size[1] - near)
    )


def _overlap(one: Floats, other: Floats) -> float:
    """Return the common area of two quadrilaterals' upright boxes over that of the smaller."""
    low = np.maximum(one.min(0), other.min(0))
    high = np.minimum(one.max(0), other.max(0))
    common = float(np.prod(np.maximum(high - low, 0)))
    smaller = min(float(np.prod(np.ptp(quad, axis=0))) for quad in (one, other))
    return common / max(smaller, 1e-6)
