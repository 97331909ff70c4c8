"""Fast NumPy building blocks of the augmentations: shifts, Gaussian blur, noise from a table.

In and out: images as uint8 arrays (H, W, 3). Nothing writes into its input. Each does what Pillow's
operation of that name does, with its kernels and rounding, several times as fast on images of
words; the trick is the same everywhere: work on rows of W * 3 numbers, so that the innermost loop
is long.
"""

import math
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

__all__ = [
    "FILL",
    "Pixels",
    "gaussian_blur",
    "poisson_noise",
    "shift_columns",
    "shift_rows",
    "to_uint8",
]

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""(H, W, 3), red, green, blue, 0 to 255."""

FILL: Final = (128, 128, 128)
"""What geometric operations put where the image doesn't reach: mid-gray, about 0 once normalized to
[-1, 1].
"""

FRACTIONS: Final = 64  # steps per pixel in which shifts are computed
MAX_NOISE_STEPS: Final = 32768  # equally likely sizes of noise; another bit says its sign


def to_uint8(values: npt.NDArray[np.floating]) -> Pixels:
    """Clip to 0..255 and cut off the fraction, as Pillow does. Writes into `values`."""
    return np.clip(values, 0, 255, out=values).astype(np.uint8)


def shift_rows(pixels: Pixels, shifts: npt.NDArray[np.float64]) -> Pixels:
    """Return `result[y, x] = pixels[y, x + shifts[y]]`, interpolated bicubically, with `FILL`
    outside of the image.

    Args:
        pixels: (H, W, 3).
        shifts: (H,), in pixels, of any sign.
    """
    height, width = pixels.shape[:2]
    whole, weights = _split(shifts, width)
    # The kernel takes a pixel before and two after, and the image's edges count as going on for two
    # more.
    left, right = 1 + max(0, -int(whole.min())), 2 + max(0, int(whole.max()))
    padded = np.empty((height, left + width + right, 3), dtype=np.uint8)
    padded[:, :left] = pixels[:, :1]
    padded[:, left : left + width] = pixels
    padded[:, left + width :] = pixels[:, -1:]
    # Every run of a row's length in the flat buffer, as a view; taking one run a row copies whole
    # rows at a time.
    length = (width + 3) * 3
    runs = np.ndarray((padded.size - length + 1, length), np.uint8, padded, strides=(1, 1))
    starts = (np.arange(height) * padded.shape[1] + whole + left - 1) * 3
    rows = _centered(runs[starts])  # (H, (W + 3) * 3)
    end = width * 3
    result = _mix([rows[:, 3 * tap : 3 * tap + end] for tap in range(4)], weights[:, :, None])
    first, last = _bounds(shifts[:, None], width)
    columns = np.arange(width, dtype=np.int32).repeat(3)
    np.copyto(result, np.uint8(FILL[0]), where=(columns < first) | (columns >= last))
    return result.reshape(height, width, 3)


def shift_columns(pixels: Pixels, shifts: npt.NDArray[np.float64]) -> Pixels:
    """Return `result[y, x] = pixels[y + shifts[x], x]`: `shift_rows` for columns; `shifts` is
    (W,).
    """
    height, width = pixels.shape[:2]
    whole, weights = _split(shifts, height)
    above, below = 1 + max(0, -int(whole.min())), 2 + max(0, int(whole.max()))
    padded = np.empty((above + height + below, width, 3), dtype=np.uint8)
    padded[:above], padded[above : above + height], padded[above + height :] = (
        pixels[:1],
        pixels,
        pixels[-1:],
    )
    # Neighboring columns mostly move by the same number of whole pixels: copy them together.
    moved = np.empty((height + 3, width, 3), dtype=np.uint8)
    ends = [*(np.flatnonzero(np.diff(whole)) + 1).tolist(), width]
    for begin, end in zip([0, *ends], ends, strict=False):
        start = above - 1 + int(whole[begin])
        moved[:, begin:end] = padded[start : start + height + 3, begin:end]
    rows = _centered(moved.reshape(height + 3, width * 3))
    result = _mix([rows[tap : tap + height] for tap in range(4)], weights.repeat(3, axis=1))
    first, last = _bounds(shifts.repeat(3), height)
    lines = np.arange(height, dtype=np.int32)[:, None]
    np.copyto(result, np.uint8(FILL[0]), where=(lines < first) | (lines >= last))
    return result.reshape(height, width, 3)


def _split(
    shifts: npt.NDArray[np.float64], length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int16]]:
    """Return the whole pixels of each shift (N,), and the weights (4, N) of the pixels at -1, 0, 1
    and 2 from there.
    """
    # Farther than the image's length there is nothing but fill, and the room made for shifted
    # pixels can end there.
    steps = np.rint(np.clip(shifts, -length - 4, length + 4) * FRACTIONS).astype(np.int64)
    whole = steps // FRACTIONS
    return whole, _kernel().take(steps - whole * FRACTIONS, axis=1)


@lru_cache(maxsize=1)
def _kernel() -> npt.NDArray[np.int16]:
    """Return the cubic convolution kernel with a = -1 of `Image.transform`: 128ths (4, FRACTIONS)
    for fractions of a pixel.
    """
    part = np.arange(FRACTIONS) / FRACTIONS
    square, cube = part**2, part**3
    kernel = np.rint(
        128 * np.stack([2 * square - part - cube, 0 * part, square + part - cube, cube - square])
    )
    kernel[1] = 128 - kernel.sum(axis=0)
    return kernel.astype(np.int16)


def _centered(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """Subtract 128, so that products with weights of 128 and their sums fit in 16 bits."""
    return (values ^ np.uint8(128)).view(np.int8).astype(np.int16)


def _mix(
    taps: list[npt.NDArray[np.int16]], weights: npt.NDArray[np.int16]
) -> npt.NDArray[np.uint8]:
    """Return the weighted sum of what `_centered` returned, each (H, n)."""
    total = taps[0] * weights[0]
    product = np.empty_like(total)
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        total += np.multiply(tap, weight, out=product)
    total >>= np.int16(7)
    total += np.int16(128)
    return np.clip(total, 0, 255, out=total).astype(np.uint8)


def _bounds(
    shifts: npt.NDArray[np.float64], length: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the start and the end of where the result shows the image: pixels whose center is in
    it.
    """
    first = np.ceil(-0.5 - shifts)
    return first.astype(np.int32), np.ceil(length - 0.5 - shifts).astype(np.int32)


def gaussian_blur(pixels: Pixels, deviation: float) -> Pixels:
    """Blur by a Gaussian with a standard deviation in pixels, from 0; the edges are repeated
    outside.
    """
    weights = _blur_weights(deviation)
    reach = len(weights) - 1
    if not reach:
        return pixels
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, width * 3)
    padded = np.empty((height + 2 * reach, width * 3), dtype=np.uint16)
    padded[:reach], padded[reach : reach + height], padded[reach + height :] = (
        rows[:1],
        rows,
        rows[-1:],
    )
    blurred = _weigh([padded[at : at + height] for at in range(2 * reach + 1)], weights)
    wide = np.empty((height, width + 2 * reach, 3), dtype=np.uint16)
    wide[:, reach : reach + width] = blurred.reshape(height, width, 3)
    wide[:, :reach], wide[:, reach + width :] = (
        wide[:, reach : reach + 1],
        wide[:, reach + width - 1 : reach + width],
    )
    flat = wide.reshape(height, -1)
    blurred = _weigh([flat[:, 3 * at : 3 * (at + width)] for at in range(2 * reach + 1)], weights)
    return blurred.astype(np.uint8).reshape(height, width, 3)


def _weigh(
    copies: list[npt.NDArray[np.uint16]], weights: tuple[int, ...]
) -> npt.NDArray[np.uint16]:
    """Return the mean of shifted copies; whole numbers suffice because 255 times the sum of
    weights, 256, fits 16 bits.
    """
    middle = len(weights) - 1
    total = copies[middle] * np.uint16(weights[0])
    total += np.uint16(128)
    for distance, weight in enumerate(weights[1:], 1):
        total += (copies[middle - distance] + copies[middle + distance]) * np.uint16(weight)
    total >>= np.uint16(8)
    return total


@lru_cache(maxsize=64)
def _blur_weights(deviation: float) -> tuple[int, ...]:
    """Return weights at distance 0, 1, ... in 256ths: three boxes one after the other, as Pillow
    approximates a Gaussian.
    """
    if deviation < 0.05:
        return (256,)
    variance = deviation * deviation / 3  # of each box
    whole = int((math.sqrt(12 * variance + 1) - 1) / 2)
    part = (
        (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    )
    box = np.array([part, *[1.0] * (2 * whole + 1), part])
    kernel = np.convolve(np.convolve(box, box), box)
    half = np.rint(256 * kernel / kernel.sum()).astype(int)[len(kernel) // 2 :]
    half = np.trim_zeros(half, "b")
    half[0] += 256 - half[0] - 2 * int(half[1:].sum())
    return tuple(int(weight) for weight in half)


def poisson_noise(pixels: Pixels, mean: float, rng: Generator) -> Pixels:
    """Draw Poisson noise of that mean size in gray levels, of either sign, the same in all three
    channels.
    """
    height, width = pixels.shape[:2]
    count = height * width
    raw = np.asarray(rng.bit_generator.random_raw(count // 4 + 1)).view(np.uint16)[
        :count
    ]  # 16 random bits a pixel
    noise = _noise_table(mean).take(raw).repeat(3).reshape(height, width, 3)
    noise += pixels
    return np.clip(noise, 0, 255, out=noise).astype(np.uint8)


@lru_cache(maxsize=16)
def _noise_table(mean: float) -> npt.NDArray[np.int16]:
    """Return signed noise for each of 65536 equally likely numbers: the quantiles of the
    distribution.
    """
    sizes = np.arange(int(mean + 12 * math.sqrt(mean) + 12))
    log_factorial = np.cumsum(np.log(np.maximum(sizes, 1)))
    chances = (
        np.exp(sizes * math.log(mean) - mean - log_factorial)
        if mean > 0
        else (sizes == 0).astype(float)
    )
    middles = (np.arange(MAX_NOISE_STEPS) + 0.5) / MAX_NOISE_STEPS
    quantiles = np.searchsorted(np.cumsum(chances), middles).astype(np.int16)
    return np.concatenate([quantiles, -quantiles])
