"""How the images of two sets of words differ, in numbers.

In: words, as (RGB image, label) pairs. Out: per measure, such as brightness or sharpness, the
quantiles of both sets and the distance of their distributions. Meant for rendered words beside real
ones: it says which effect is too strong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = [
    "MEASURES",
    "QUANTILES",
    "Comparison",
    "as_table",
    "compare",
    "distance",
    "measure",
    "measure_all",
]

Word: TypeAlias = tuple[Image.Image, str]
Values: TypeAlias = npt.NDArray[np.float64]
_Pixels: TypeAlias = npt.NDArray[np.float32]
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
MEASURES: Final = {
    "height": "pixels",
    "aspect": "width over height",
    "letter_aspect": "width over height, by character",
    "brightness": "mean gray level, 0..255",
    "contrast": "deviation of the gray levels",
    "step": "gray levels between text and ground, by the best threshold",
    "sharpness": "deviation of the Laplacian at 32 pixels height",
    "colorfulness": "after Hasler and Suesstrunk (2003), 0 is gray",
    "noise": "deviation in gray levels, from the median of second differences",
}
"""What is measured, and in which unit."""
_HEIGHT: Final = 32


def _luma(image: Image.Image) -> _Pixels:
    return np.asarray(image.convert("L"), dtype=np.float32)


def _text_step(gray: _Pixels) -> float:
    """Return the distance of the means of the two classes of Otsu's threshold."""
    counts = np.bincount(gray.astype(np.uint8).ravel(), minlength=256).astype(np.float64)
    levels = np.arange(256)
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * levels)
    usable = (below > 0) & (below < total)
    if not usable.any():
        return 0.0
    low = sums[usable] / below[usable]
    high = (sums[-1] - sums[usable]) / (total - below[usable])
    spread = below[usable] * (total - below[usable]) * (high - low) ** 2
    best = int(spread.argmax())
    return float(high[best] - low[best])


def _sharpness(image: Image.Image) -> float:
    """Return the deviation of the Laplacian once every image has the same height: blur, not size,
    counts.
    """
    width = max(3, round(image.width * _HEIGHT / image.height))
    gray = _luma(image.resize((width, _HEIGHT), Image.Resampling.BICUBIC))
    inner = gray[1:-1, 1:-1]
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    return float(laplacian.std())


def _colorfulness(image: Image.Image) -> float:
    red, green, blue = (np.asarray(band, dtype=np.float32) for band in image.split())
    first, second = red - green, (red + green) / 2 - blue
    spread = float(np.hypot(first.std(), second.std()))
    return spread + 0.3 * float(np.hypot(first.mean(), second.mean()))


def _noise(gray: _Pixels) -> float:
    """Return Immerkaer's estimate, with the median in place of the mean: letters' edges hardly
    count.
    """
    if min(gray.shape) < 3:
        return 0.0
    rows = gray[:-2] - 2 * gray[1:-1] + gray[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.median(np.abs(both))) / (6 * 0.6745)


def measure(image: Image.Image, label: str) -> dict[str, float]:
    """Return each of `MEASURES` for one word."""
    image = image.convert("RGB")
    gray = _luma(image)
    aspect = image.width / image.height
    return {
        "height": float(image.height),
        "aspect": aspect,
        "letter_aspect": aspect / max(1, len(label)),
        "brightness": float(gray.mean()),
        "contrast": float(gray.std()),
        "step": _text_step(gray),
        "sharpness": _sharpness(image),
        "colorfulness": _colorfulness(image),
        "noise": _noise(gray),
    }


def measure_all(words: Iterable[Word]) -> dict[str, Values]:
    """Return an array per measure, one value for each word, in order."""
    rows = [measure(image, label) for image, label in words]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in MEASURES}


def distance(first: Values, second: Values) -> float:
    """Return the two-sample Kolmogorov-Smirnov distance: the largest gap of the distribution
    functions, 0..1.

    Raises:
        ValueError: if one of them is empty.
    """
    if not len(first) or not len(second):
        raise ValueError(
            "a set without words has no distribution to compare; take at least one word of each"
        )
    first, second = np.sort(first), np.sort(second)
    everything = np.concatenate([first, second])
    below_first = np.searchsorted(first, everything, side="right") / len(first)
    below_second = np.searchsorted(second, everything, side="right") / len(second)
    return float(np.abs(below_first - below_second).max())


@dataclass(frozen=True)
class Comparison:
    """One measure of two sets: its quantiles at `QUANTILES` in each, and the distance of the two
    distributions.
    """

    measure: str
    first: tuple[float, ...]
    second: tuple[float, ...]
    distance: float


def compare(first: Mapping[str, Values], second: Mapping[str, Values]) -> list[Comparison]:
    """Return a `Comparison` for each measure; the arguments are what `measure_all` returned for
    two sets.
    """
    return [
        Comparison(
            name,
            _quantiles(first[name]),
            _quantiles(second[name]),
            distance(first[name], second[name]),
        )
        for name in MEASURES
    ]


def _quantiles(values: Values) -> tuple[float, ...]:
    return tuple(float(value) for value in np.quantile(values, QUANTILES)) if len(values) else ()


def as_table(
    comparisons: Sequence[Comparison], *, names: tuple[str, str] = ("first", "second")
) -> str:
    """Return a table for a terminal: a line per measure with both sets' quantiles and their
    distance.
    """
    titles = " ".join(f"{100 * quantile:6.0f}%" for quantile in QUANTILES)
    width = len(titles)
    lines = [
        f"{'':14}  {names[0]:^{width}}   {names[1]:^{width}}",
        f"{'':14}  {titles}   {titles}   distance",
    ]
    for row in comparisons:
        first, second = (
            " ".join(f"{value:7.2f}" for value in side) for side in (row.first, row.second)
        )
        lines.append(f"{row.measure:14}  {first}   {second}   {row.distance:8.2f}")
    return "\n".join(lines)
