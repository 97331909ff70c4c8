"""From a text to a coverage mask: glyphs, baseline and the plane on which the word lies.

In: a text, an opened font and a random generator. Out: `L` pictures whose pixels say how much of them the word
covers (0..255), and the quadrilateral around the word. Nothing here knows of colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Bend", "Box", "Plane", "bend_columns", "draw_line", "make_plane", "word_box"]

_Matrix = npt.NDArray[np.float64]
Box = tuple[float, float, float, float]


def draw_line(canvas: Image.Image, text: str, font: ImageFont.FreeTypeFont, x: float, y: float, gap: float) -> None:
    """Draws `text` with its baseline at `y` onto an `L` canvas from `x` on.

    `gap` is the extra space between letters in pixels; 0 keeps the font's own kerning.
    """
    pen = ImageDraw.Draw(canvas)
    if abs(gap) < 0.25:
        pen.text((x, y), text, fill=255, font=font, anchor="ls")
        return
    for char in text:
        # Pillow blends glyph onto glyph, so overlapping antialiased edges of touching letters stay intact.
        pen.text((x, y), char, fill=255, font=font, anchor="ls")
        x += font.getlength(char) + gap


def word_box(mask: Image.Image, font: ImageFont.FreeTypeFont, baseline: float) -> Box:
    """Returns (left, top, right, bottom) in pixels around the word in `mask`.

    A lone dot or dash gets the band of the small letters as its height, for otherwise '.', '-' and a quote would
    all fill their pictures and nothing would tell them apart.
    """
    left, top, right, bottom = (float(edge) for edge in mask.getbbox() or (0, 0, 1, 1))
    _, x_top, _, x_bottom = font.getbbox("x", anchor="ls")
    top = min(top, baseline + x_top)
    bottom = max(bottom, baseline + x_bottom)
    lacking = 0.35 * (bottom - top) - (right - left)
    pad = max(0.0, lacking / 2)
    return (left - pad, top, right + pad, bottom)


@dataclass(frozen=True)
class Bend:
    """A curved or wavy baseline: vertical shift of each column in pixels, positive is down.

    `height` is the size of the swing in pixels, `turns` how many half waves the word spans, `phase` in radians.
    """

    height: float
    turns: float
    phase: float

    def shifts(self, columns: npt.NDArray[np.float32], left: float, right: float) -> npt.NDArray[np.float32]:
        """Returns the shift at each of `columns`; outside left..right the bend goes on."""
        place = (columns - left) / max(right - left, 1.0)
        wave: npt.NDArray[np.float32] = np.sin(place * (np.pi * self.turns) + self.phase) * self.height
        return wave.astype(np.float32)


def bend_columns(mask: Image.Image, bend: Bend, left: float, right: float) -> Image.Image:
    """Returns `mask` (mode `L`) with its columns moved up and down as `bend` says, interpolated between rows."""
    pixels = np.asarray(mask, dtype=np.float32)
    height, width = pixels.shape
    shift = bend.shifts(np.arange(width, dtype=np.float32), left, right)
    source = np.arange(height, dtype=np.float32)[:, None] - shift[None, :]
    upper = np.floor(source)
    part = source - upper
    row = upper.astype(np.intp)
    column = np.arange(width)[None, :]
    above = pixels[row.clip(0, height - 1), column]
    below = pixels[(row + 1).clip(0, height - 1), column]
    return Image.fromarray((above + (below - above) * part + 0.5).astype(np.uint8))


@dataclass(frozen=True)
class Plane:
    """A perspective map from canvas to picture and the size, in pixels, of the picture it fills."""

    backward: tuple[float, ...]
    size: tuple[int, int]

    def place(self, mask: Image.Image) -> Image.Image:
        """Returns `mask` seen on this plane, as a picture of `size`; uncovered parts are 0."""
        return mask.transform(self.size, Image.Transform.PERSPECTIVE, self.backward, Image.Resampling.BILINEAR)


def _matrix(box: Box, turn: float, shear: float, tilt: tuple[float, float]) -> _Matrix:
    left, top, right, bottom = box
    centre: _Matrix = np.array([[1, 0, -(left + right) / 2], [0, 1, -(top + bottom) / 2], [0, 0, 1]], dtype=np.float64)
    slant: _Matrix = np.array([[1, shear, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
    cos, sin = np.cos(turn), np.sin(turn)
    spin: _Matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=np.float64)
    # Tilts are given per half extent, so one number means the same foreshortening for long and short words.
    across, down = 2 * tilt[0] / max(right - left, 1), 2 * tilt[1] / max(bottom - top, 1)
    depth: _Matrix = np.array([[1, 0, 0], [0, 1, 0], [across, down, 1]], dtype=np.float64)
    result: _Matrix = spin @ depth @ slant @ centre
    return result


def make_plane(
    box: Box, margins: Box, *, turn: float, shear: float, tilt: tuple[float, float], limits: tuple[float, float]
) -> Plane:
    """Returns the plane that shows `box`, with `margins` (left, top, right, bottom, pixels) kept around it.

    Args:
        box: the word on the canvas, in pixels.
        margins: room around the turned word; negative values cut into it.
        turn: rotation in radians, clockwise; usual range -0.3..0.3.
        shear: sideways shift per unit of height, -0.5..0.5.
        tilt: perspective strength across and down, each -0.4..0.4; 0 is flat.
        limits: smallest and largest height of the picture in pixels; the word is scaled to stay inside.
    """
    matrix = _matrix(box, turn, shear, tilt)
    left, top, right, bottom = box
    corners: _Matrix = np.array(
        [[left, right, right, left], [top, top, bottom, bottom], [1, 1, 1, 1]], dtype=np.float64
    )
    seen = matrix @ corners
    seen = seen[:2] / seen[2]
    low = seen.min(axis=1) - np.array(margins[:2])
    high = seen.max(axis=1) + np.array(margins[2:])
    extent = np.maximum(high - low, 4.0)
    scale = float(np.clip(extent[1], *limits) / extent[1])
    move: _Matrix = np.array([[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale], [0, 0, 1]], dtype=np.float64)
    backward = np.linalg.inv(move @ matrix)
    backward = backward / backward[2, 2]
    size = (max(4, round(extent[0] * scale)), max(4, round(extent[1] * scale)))
    return Plane(backward=tuple(float(value) for value in backward.ravel()[:8]), size=size)
