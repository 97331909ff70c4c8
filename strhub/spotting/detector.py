"""Where text is in a photograph: the protocol of a detector, and the one that comes with the
package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from strhub.errors import CheckpointError, ConfigError
from strhub.images.open import open_image
from strhub.images.preprocess import Normalization, normalize_pixels
from strhub.inference.onnx_session import open_session, reason
from strhub.inference.recognizer import embedded_detector
from strhub.spotting.regions import Floats, Region, find_regions
from strhub.spotting.tiles import MULTIPLE, Size, merged, tiled_map, tiled_size
from strhub.utils.processes import PerProcess

SIDE: Final = 1280  # pixels of the longer side of what the network sees, at most
_LEAST_SIDE: Final = 960  # pixels of it to which smaller images are enlarged, at most twice
TILES: Final = 9
_TILE: Final = 960  # pixels of a tile's sides, at most: memory grows with their product
_TILED_FROM: Final = 1.6  # times the side, from which on tiles are looked at, too
# Of blue, green and red, as the network was trained.
_NORMALIZATION: Final = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_REDUCING_GAP: Final = 2.0  # large images are first made smaller coarsely


@runtime_checkable
class Detector(Protocol):
    """What finds text: any callable from an RGB image to regions in its pixels.

    `strhub.spotting.adapters.as_detector` makes one of docTR's detectors, and of callables that
    return boxes.
    """

    def __call__(self, image: Image.Image, /) -> Sequence[Region]:
        """Return quadrilaterals around lines or words of text, with scores in [0, 1]."""


class EmbeddedDetector:
    """The detector that comes with the package, a differentiable-binarization network run by ONNX
    Runtime.

    side: pixels that the longer side of a larger image is brought to. Smaller ones are enlarged, at
        most twice and to 960 pixels; between the two they stay as they are.
    tiles: images over 1.6 times as large are also looked at in at most so many overlapping tiles of
        that side, or of 960 pixels, and made smaller if those do not suffice; 0: never.
    threshold: above which a pixel is text; least_score: mean probability of a region from which it
        is kept.
    growth: how much regions are grown, see `strhub.spotting.regions.grow`: 0.7 gives outlines as
        people draw them.
    model: another .onnx file of the same kind. threads: to compute with.
    on_tile: called with the number of tiles done and of all tiles, after each.

    >>> EmbeddedDetector()(image)[0].quad  # (4, 2), in pixels
    """

    def __init__(
        self,
        *,
        side: int = SIDE,
        tiles: int = TILES,
        threshold: float = 0.3,
        least_score: float = 0.6,
        growth: float = 0.7,
        model: str | Path | None = None,
        threads: int | None = None,
        on_tile: Callable[[int, int], object] | None = None,
    ) -> None:
        if not MULTIPLE <= side <= 4096:
            raise ConfigError(
                f"side is {side}: it must be a number of pixels from {MULTIPLE} to 4096"
            )
        if not 0 <= tiles <= 1000:
            raise ConfigError(f"tiles is {tiles}: it must be a number from 0 (none) to 1000")
        for name, value in (("threshold", threshold), ("least_score", least_score)):
            if not 0 < value < 1:
                raise ConfigError(f"{name} is {value}: it must be a probability between 0 and 1")
        self.side, self.tiles, self.on_tile = side, int(tiles), on_tile
        self.threshold, self.least_score, self.growth = threshold, least_score, growth
        self._model, self._threads = model, threads
        opened = partial(
            open_session,
            model or embedded_detector(),
            device="cpu",
            threads=threads,
            tried=(3, 64, 64),
        )
        self._session = PerProcess(opened)

    def with_threads(self, threads: int) -> EmbeddedDetector:
        """Return the same detector that computes with so many threads, and may be called by several
        at once.
        """
        return EmbeddedDetector(
            side=self.side,
            tiles=self.tiles,
            threshold=self.threshold,
            least_score=self.least_score,
            growth=self.growth,
            model=self._model,
            threads=threads,
            on_tile=self.on_tile,
        )

    def __call__(self, image: Image.Image, /) -> list[Region]:
        """Return the regions of an RGB image, in its pixels."""
        longest = max(image.size)
        ratio = min(self.side / longest, max(1.0, min(2.0, _LEAST_SIDE / longest)))
        size = (_multiple(image.width * ratio), _multiple(image.height * ratio))
        whole = self._regions(self.probabilities(_resized(image, size)), image.size)
        if not self.tiles or longest <= _TILED_FROM * self.side:
            return whole
        side = _multiple(min(self.side, _TILE))
        small = _resized(image, tiled_size(image.size, side, self.tiles))
        tiled = self._regions(tiled_map(small, side, self.probabilities, self.on_tile), image.size)
        return merged(whole, tiled, 1 / ratio)

    def _regions(self, probabilities: Floats, size: Size) -> list[Region]:
        """Return the regions of a map (H, W), in pixels of an image of (width, height)."""
        regions = find_regions(
            probabilities,
            threshold=self.threshold,
            least_score=self.least_score,
            growth=self.growth,
            least_side=3.0,
        )
        height, width = probabilities.shape
        scale = np.array([size[0] / width, size[1] / height], dtype=np.float32)
        return [Region(region.quad * scale, region.score) for region in regions]

    def probabilities(self, image: Image.Image) -> Floats:
        """Return the map (H, W) of an RGB image whose sides are multiples of 32."""
        images = normalize_pixels(
            np.asarray(image)[None, :, :, ::-1], _NORMALIZATION
        )  # (1, 3, H, W)
        session = self._session.get()
        model = self._model or embedded_detector()
        try:
            output = session.run(None, {session.get_inputs()[0].name: images})[0]
        except CheckpointError:
            raise
        except Exception as error:  # of many kinds, all of onnxruntime's own
            raise CheckpointError(f"{model} cannot be computed: {reason(error)[:300]}") from error
        if np.shape(output) != (1, 1, image.height, image.width) or not np.isfinite(output).all():
            raise CheckpointError(
                f"{model} is not a detector: it does not return a probability for each pixel"
            )
        found: Floats = output[0, 0]
        return found


def _multiple(length: float) -> int:
    return max(1, round(length / MULTIPLE)) * MULTIPLE


def _resized(image: Image.Image, size: Size) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)


@cache
def _embedded() -> EmbeddedDetector:
    return EmbeddedDetector()


def detect(image: Any, detector: Detector | Any = None) -> list[Region]:
    """Return where text is in one image of any kind that `Recognizer` takes: regions in its pixels,
    the surest first.

    detector: an `EmbeddedDetector` by default; else what `as_detector` takes.

    >>> for quad, score in strhub.detect("street.jpg"):
    ...     print(quad.tolist(), score)

    Raises:
        UnreadableImage: if it is no image.
    """
    from strhub.spotting.adapters import as_detector

    find = _embedded() if detector is None else as_detector(detector)
    return sorted(find(open_image(image)), key=lambda region: -region.score)
