"""Upright crops of words out of photographs: what the converters of published annotations have in
common.

In: an image and a polygon round a word, in pixels, x to the right and y down, (0, 0) being the
outer corner of the first pixel. Out: an RGB image of the word, and its encoded file.

A polygon is a sequence of points in the order in which a text is read: the upper edge from its
start to its end, then the lower edge back. Four points are a quadrilateral, more are a curved line
of text. The opposite sense of rotation, beginning at the same point, is turned round.
"""

import io
import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from PIL import Image

from strhub.errors import DataError
from strhub.images.limits import MAX_PIXELS
from strhub.images.open import open_encoded
from strhub.images.sources import Encoded

__all__ = [
    "Polygon",
    "UnusablePolygon",
    "box_polygon",
    "crop_word",
    "encode_crop",
    "from_top_left",
    "open_scene",
    "rotated_box_polygon",
    "turn_if_vertical",
]

Polygon: TypeAlias = Sequence[tuple[float, float]]
Array: TypeAlias = np.ndarray[Any, Any]

LOSSLESS_FORMATS: Final = frozenset({"BMP", "GIF", "PNG", "PPM", "TIFF"})
MIN_THICKNESS: Final = 1.0  # pixels; anything thinner contains no text
# height over width from which a text of several characters is taken as vertical
VERTICAL_RATIO: Final = 1.5


class UnusablePolygon(DataError):
    """A polygon that no word can be cropped by. The message says why."""


def open_scene(content: bytes, *, follow_exif: bool = False) -> tuple[Image.Image, bool]:
    """Decode a photograph to RGB.

    Args:
        content: the file as it is.
        follow_exif: turn the image as its orientation tag says. Only right where the annotations
            were made on turned images; most sets' were not.

    Returns:
        The image, and whether its format is lossless.

    Raises:
        UnreadableImage: if it is no image, is damaged or is too large.
    """
    image, kind = open_encoded(Encoded(content, upright=follow_exif))
    return image, kind in LOSSLESS_FORMATS


def box_polygon(left: float, top: float, right: float, bottom: float) -> Polygon:
    """Return the polygon of an upright box."""
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def rotated_box_polygon(
    center_x: float, center_y: float, width: float, height: float, angle: float
) -> tuple[tuple[float, float], ...]:
    """Return the polygon of a box turned clockwise, as seen, about its center. `angle` is in
    degrees.
    """
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    half = box_polygon(-width / 2, -height / 2, width / 2, height / 2)
    return tuple(
        (center_x + x * cosine - y * sine, center_y + x * sine + y * cosine) for x, y in half
    )


def from_top_left(polygon: Polygon) -> Polygon:
    """Return the same polygon beginning at the point nearest the top left, for sets that don't say
    where theirs begin.
    """
    first = min(range(len(polygon)), key=lambda index: sum(polygon[index]), default=0)
    return [*polygon[first:], *polygon[:first]]


def crop_word(
    image: Image.Image, polygon: Polygon, *, rectified: bool = False, margin: float = 0.0
) -> Image.Image:
    """Crop a word.

    Args:
        picture: RGB.
        polygon: at least three points round the word; they may lie outside of the image.
        rectified: straighten the word: a quadrilateral by its perspective, a curved text along its
            line. Without, and for a polygon whose edges can't be told apart (an odd number of
            points, or edges that cross), the crop is the upright box round the polygon, as in most
            of the field's published databases.
        margin: how much to add on each side, in heights of the word, at least 0.

    Returns:
        The word. A straightened one is as large as in the image, and what lies outside of the image
        is filled with the image's edge; an upright box ends at the image's edge.

    Raises:
        UnusablePolygon: if the polygon has too few points, no area, or lies outside of the image.
    """
    points = _checked(polygon, image.size)
    if rectified:
        size, grid = _straight_grid(points, margin)
        if grid is not None:
            return _sample(image, size, grid)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    extra = margin * (bottom - top)
    box = (
        max(0, math.floor(left - extra)),
        max(0, math.floor(top - extra)),
        min(image.width, math.ceil(right + extra)),
        min(image.height, math.ceil(bottom + extra)),
    )
    return image.crop(box)


def turn_if_vertical(crop: Image.Image, label: str) -> Image.Image:
    """Turn a crop a quarter to the left if it is over 1.5 times as high as wide and its text has
    several characters.

    This sets a text that runs downwards with its letters lying upright.
    """
    if len(label) > 1 and crop.height > VERTICAL_RATIO * crop.width:
        return crop.transpose(Image.Transpose.ROTATE_90)
    return crop


def encode_crop(crop: Image.Image, *, lossless: bool, quality: int = 95) -> bytes:
    """Return the crop as a PNG file, or else as a JPEG file of a quality from 1 to 95 with colors
    at full resolution.
    """
    file = io.BytesIO()
    if lossless:
        crop.save(file, "PNG")
    else:
        crop.save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()


def _checked(polygon: Polygon, size: tuple[int, int]) -> Array:
    """Return the points of a usable polygon, clockwise as seen, of shape (points, 2)."""
    points = np.asarray(polygon, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
        raise UnusablePolygon("a polygon is at least three points (x, y)")
    if not np.isfinite(points).all():
        raise UnusablePolygon("the polygon has coordinates that are not numbers")
    width, height = size
    low, high = points.min(axis=0), points.max(axis=0)
    if (high <= 0).any() or low[0] >= width or low[1] >= height:
        raise UnusablePolygon(f"the polygon lies outside of the image of {width} x {height} pixels")
    if (low < (-width, -height)).any() or (high > (2 * width, 2 * height)).any():
        raise UnusablePolygon(
            f"the polygon reaches far outside of the image of {width} x {height} pixels"
        )
    seen = np.minimum(high, size) - np.maximum(low, 0)
    # Twice the spread across the polygon's thinnest direction; zero for points on one line,
    # whatever its slope.
    thickness = (
        2
        * np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[-1]
        / math.sqrt(len(points))
    )
    if thickness < MIN_THICKNESS / 2 or seen.min() < MIN_THICKNESS:
        raise UnusablePolygon(
            "the polygon has no area, or less than a pixel of it is within the image"
        )
    if _area(points) < 0:
        points = np.concatenate([points[:1], points[:0:-1]])
    return points


def _area(points: Array) -> float:
    """Return the signed area; positive is clockwise as seen, y pointing down."""
    after = np.roll(points, -1, axis=0)
    return float((points[:, 0] * after[:, 1] - after[:, 0] * points[:, 1]).sum() / 2)


def _straight_grid(points: Array, margin: float) -> tuple[tuple[int, int], Array | None]:
    """Return the size of the straightened word and, for each of its pixels, where in the image it
    is: (H, W, 2).

    The grid is None for a polygon whose upper and lower edges can't be told apart.
    """
    half, odd = divmod(len(points), 2)
    upper, lower = (
        points[:half],
        points[: half - 1 : -1],
    )  # both from the start of the text to its end
    if odd:
        return (0, 0), None
    cells = np.stack([upper[:-1], upper[1:], lower[1:], lower[:-1]], axis=1)  # (cells, 4, 2)
    if not all(_is_convex(cell) for cell in cells):
        return (0, 0), None
    lengths = (
        np.linalg.norm(np.diff(upper, axis=0), axis=1)
        + np.linalg.norm(np.diff(lower, axis=0), axis=1)
    ) / 2
    height = max(1, round(float(np.linalg.norm(upper - lower, axis=1).mean())))
    width = max(1, round(float(lengths.sum())))
    extra = round(margin * height)
    across = (
        np.arange(-extra, width + extra) + 0.5
    ) / width  # 0 to 1 from the start of the text to its end
    down = (
        np.arange(-extra, height + extra) + 0.5
    ) / height  # 0 to 1 from the upper edge to the lower one
    grid = (
        _perspective_grid(points, across, down)
        if half == 2
        else _curved_grid(upper, lower, lengths, across, down)
    )
    return (len(across), len(down)), grid


def _is_convex(quadrilateral: Array) -> bool:
    sides = np.roll(quadrilateral, -1, axis=0) - quadrilateral
    after = np.roll(sides, -1, axis=0)
    return bool((sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0] > 0).all())


def _perspective_grid(corners: Array, across: Array, down: Array) -> Array:
    """Return where the points of a unit square are in a convex quadrilateral seen in perspective:
    (H, W, 2).
    """
    first, second, third, fourth = corners
    skew = first - second + third - fourth
    sides = np.stack([second - third, fourth - third], axis=1)  # (2, 2)
    tilt_x, tilt_y = np.linalg.solve(sides, skew)
    u, v = np.meshgrid(across, down)
    u, v = u[..., None], v[..., None]
    over = (second - first + tilt_x * second) * u + (fourth - first + tilt_y * fourth) * v + first
    # Within the word the divisor is positive; a wide margin of a steep view could pass the horizon.
    return over / np.maximum(tilt_x * u + tilt_y * v + 1, 1e-3)


def _curved_grid(upper: Array, lower: Array, lengths: Array, across: Array, down: Array) -> Array:
    """Return where the points of a unit square are in a band between two lines of as many points:
    (H, W, 2).
    """
    marks = np.concatenate([[0], lengths.cumsum()]) / lengths.sum()
    # The ends go straight on, for the margin.
    before, beyond = min(0.0, across[0]), max(1.0, across[-1])
    points = np.concatenate([[before], marks, [beyond]])

    def along(line: Array) -> Array:
        start = line[0] + (line[1] - line[0]) * (before - marks[0]) / (marks[1] - marks[0])
        end = line[-1] + (line[-1] - line[-2]) * (beyond - marks[-1]) / (marks[-1] - marks[-2])
        line = np.concatenate([[start], line, [end]])
        return np.stack(
            [np.interp(across, points, line[:, axis]) for axis in (0, 1)], axis=-1
        )  # (W, 2)

    top, bottom = along(upper), along(lower)
    return top + (bottom - top) * down[:, None, None]


def _sample(image: Image.Image, size: tuple[int, int], grid: Array) -> Image.Image:
    """Return the colors at the points of a grid (H, W, 2), blended from the four nearest pixels, as
    an image.
    """
    if size[0] * size[1] > MAX_PIXELS:
        raise UnusablePolygon(f"the rectified word would have {size[0]} x {size[1]} pixels")
    limit = np.asarray(image.size) - 1
    points = np.clip(
        grid - 0.5, 0, limit
    )  # from corners to centers of pixels; beyond the edge, the edge itself
    left, top = np.floor(points.min(axis=(0, 1))).astype(int)
    right, bottom = np.ceil(points.max(axis=(0, 1))).astype(int) + 1
    pixels = np.asarray(image.crop((left, top, right, bottom)), dtype=np.float32)
    points -= (left, top)
    x, y = np.moveaxis(np.floor(points).astype(int), -1, 0)
    part_x, part_y = np.moveaxis((points - np.floor(points)).astype(np.float32)[..., None], 2, 0)
    next_x, next_y = np.minimum(x + 1, right - left - 1), np.minimum(y + 1, bottom - top - 1)
    upper = pixels[y, x] * (1 - part_x) + pixels[y, next_x] * part_x
    lower = pixels[next_y, x] * (1 - part_x) + pixels[next_y, next_x] * part_x
    return Image.fromarray(np.rint(upper * (1 - part_y) + lower * part_y).astype(np.uint8))
