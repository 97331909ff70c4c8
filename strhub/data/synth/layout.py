"""From a text to masks: glyphs, baseline, what stands beside the word, and the plane on which all
of it lies.

In: a text, an opened font and a `Geometry`, which the steps of `geometry.py` have set. Out: `L`
images whose pixels say how much of them the word covers (0..255). Nothing here knows of colors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from strhub.data.synth.shaping import layout_engine_for, needs_shaping
from strhub.data.synth.typefaces import open_font

__all__ = ["Bow", "Box", "Geometry", "Line", "Plane", "make_plane", "render_word", "word_box"]

_Matrix: TypeAlias = npt.NDArray[np.float64]
Box: TypeAlias = tuple[float, float, float, float]


@dataclass
class Geometry:
    """Where a word lies; lengths in em, angles in radians. The defaults are a straight word in a
    close frame.

    spacing: extra room between letters, may be negative. bounce: how far each letter leaves the
        baseline, up or down.
    stretch: width over what the font says. arc: height of the baseline's bow, positive up. wave:
    (height, half waves over the word, phase). turn: clockwise. shear: sideways shift per height.
    rise: shift down per width. tilt: perspective across and down, each -0.5..0.5. quarter: turns of
    90 degrees. margins: left, top, right, bottom; negative cuts into the word. sides: which
    neighbors there are, same order. frame: distance of a drawn frame, 0 for none. panel: distance
    of the edge of the sign, 0 for none. choices: chances for whoever draws frames and neighbors,
    each 0..1.
    """

    spacing: float = 0.0
    bounce: float = 0.0
    stretch: float = 1.0
    arc: float = 0.0
    wave: tuple[float, float, float] = (0.0, 1.0, 0.0)
    turn: float = 0.0
    shear: float = 0.0
    rise: float = 0.0
    tilt: tuple[float, float] = (0.0, 0.0)
    quarter: int = 0
    margins: list[float] = field(default_factory=lambda: [0.1, 0.1, 0.1, 0.1])
    sides: list[bool] = field(default_factory=lambda: [False] * 4)
    frame: float = 0.0
    panel: float = 0.0
    choices: list[float] = field(default_factory=lambda: [0.5] * 6)


@dataclass(frozen=True)
class Line:
    """A word drawn flat: its mask, where on it the word lies (pixels), and masks of what else was
    drawn, if any.
    """

    word: Image.Image
    box: Box
    others: Image.Image | None
    panel: Image.Image | None


@lru_cache(maxsize=4096)
def _small_letters(path: str, size: int) -> tuple[float, float]:
    """Top and bottom of an 'x' over the baseline, in pixels."""
    _, top, _, bottom = open_font(path, size).getbbox("x", anchor="ls")
    return top, bottom


def word_box(mask: Image.Image, path: str, size: int, baseline: float) -> Box:
    """Returns (left, top, right, bottom) in pixels around the word in `mask`.

    A lone dot or dash gets the band of the small letters as its height, for otherwise '.', '-' and
    a quote would all fill their images and nothing would tell them apart.
    """
    left, top, right, bottom = (float(edge) for edge in mask.getbbox() or (0, 0, 1, 1))
    x_top, x_bottom = _small_letters(path, size)
    top, bottom = min(top, baseline + x_top), max(bottom, baseline + x_bottom)
    pad = max(0.0, 0.35 * (bottom - top) - (right - left)) / 2
    return (left - pad, top, right + pad, bottom)


def _draw_letters(
    canvas: Image.Image,
    text: str,
    font: ImageFont.FreeTypeFont,
    start: tuple[float, float],
    geometry: Geometry,
    rng: np.random.Generator,
) -> None:
    """Draws with the baseline at `start`; letter by letter only where their places are not the
    font's own.
    """
    pen = ImageDraw.Draw(canvas)
    x, y = start
    gap, bounce = geometry.spacing * font.size, geometry.bounce * font.size
    if abs(gap) < 0.25 and bounce < 0.25:
        pen.text((x, y), text, fill=255, font=font, anchor="ls")
        return
    lifts = (
        rng.uniform(-bounce, bounce, size=len(text)).tolist()
        if bounce >= 0.25
        else [0.0] * len(text)
    )
    for char, lift in zip(text, lifts, strict=True):
        # Pillow blends glyph onto glyph, so overlapping antialiased edges of touching letters stay
        # intact.
        pen.text((x, y + lift), char, fill=255, font=font, anchor="ls")
        x += font.getlength(char) + gap


def render_word(
    text: str, path: str, size: int, geometry: Geometry, rng: np.random.Generator, *, neighbors: str
) -> Line:
    """Returns `text` drawn flat in the font at `path`, `size` pixels an em.

    `neighbors` are characters that the same font has; other words are made of them. Changes
    `geometry.margins` where a neighbor is to show.
    """
    font = open_font(path, size, layout_engine_for(text))
    if needs_shaping(text):
        # Joined letters come apart when each is drawn for itself.
        geometry.spacing = geometry.bounce = 0.0
    gap = geometry.spacing * size
    length = font.getlength(text) + max(gap, 0.0) * len(text)
    busy = any(geometry.sides) or geometry.frame > 0 or geometry.panel > 0
    border = round((1.9 if busy else 0.8) * size)
    baseline = round((2.3 if busy else 1.6) * size)
    canvas = Image.new(
        "L", (int(length) + 2 * border, baseline + round((1.9 if busy else 1.0) * size))
    )
    _draw_letters(canvas, text, font, (border, baseline), geometry, rng)
    box = word_box(canvas, path, size, baseline)
    others = panel = None
    if any(geometry.sides) or geometry.frame > 0:
        others = Image.new("L", canvas.size)
        _draw_neighbors(others, box, baseline, font, geometry, rng, neighbors)
        _draw_frame(others, box, size, geometry)
    if geometry.panel > 0:
        panel = Image.new("L", canvas.size)
        _fill_panel(panel, box, size, geometry)
    return Line(canvas, box, others, panel)


def _draw_neighbors(
    canvas: Image.Image,
    box: Box,
    baseline: float,
    font: ImageFont.FreeTypeFont,
    geometry: Geometry,
    rng: np.random.Generator,
    letters: str,
) -> None:
    """Draws words beside, above or below and sets the margins that let their edges show.

    Sideways at most half a letter of a neighbor shows and the gap is at least 0.28 em: with more,
    or closer, a reader could not know where the word ends.
    """
    if not any(geometry.sides):
        return
    em, pen = float(font.size), ImageDraw.Draw(canvas)
    chosen = "".join(letters[int(roll * len(letters))] for roll in rng.random(20).tolist())
    rolls = rng.random(8).tolist()
    if geometry.sides[0]:
        gap, word = (0.28 + 0.2 * rolls[0]) * em, chosen[:2]
        pen.text((box[0] - gap, baseline), word, fill=255, font=font, anchor="rs")
        geometry.margins[0] = (gap + rolls[1] * 0.5 * font.getlength(word[-1])) / em
    if geometry.sides[2]:
        gap, word = (0.28 + 0.2 * rolls[2]) * em, chosen[2:4]
        pen.text((box[2] + gap, baseline), word, fill=255, font=font, anchor="ls")
        geometry.margins[2] = (gap + rolls[3] * 0.5 * font.getlength(word[0])) / em
    start = box[0] - rolls[4] * em
    if geometry.sides[1]:
        pen.text(
            (start, baseline - (1.0 + 0.3 * rolls[5]) * em),
            chosen,
            fill=255,
            font=font,
            anchor="ls",
        )
        geometry.margins[1] = max(geometry.margins[1], 0.08 + 0.3 * rolls[6])
    if geometry.sides[3]:
        pen.text(
            (start, baseline + (1.0 + 0.3 * rolls[5]) * em),
            chosen,
            fill=255,
            font=font,
            anchor="ls",
        )
        geometry.margins[3] = max(geometry.margins[3], 0.1 + 0.35 * rolls[7])


def _draw_frame(canvas: Image.Image, box: Box, size: int, geometry: Geometry) -> None:
    """A line around the word, or only above or below it."""
    if geometry.frame <= 0:
        return
    pen, away, thick = ImageDraw.Draw(canvas), geometry.frame * size, max(1, round(0.05 * size))
    left, top, right, bottom = (
        box[0] - 1.4 * away,
        box[1] - away,
        box[2] + 1.4 * away,
        box[3] + away,
    )
    form = geometry.choices[0]
    if form < 0.35:
        pen.rectangle((left, top, right, bottom), outline=255, width=thick)
    elif form < 0.6:
        pen.rounded_rectangle(
            (left, top, right, bottom), radius=0.3 * size, outline=255, width=thick
        )
    else:
        y = bottom if form < 0.85 else top
        pen.line((left, y, right, y), fill=255, width=thick)


def _fill_panel(canvas: Image.Image, box: Box, size: int, geometry: Geometry) -> None:
    """The sign itself, where the image shows its edges: filled, on all sides or on some."""
    away, far = geometry.panel * size, 9.0 * size
    left, top, right, bottom = (away * (0.7 + 0.9 * roll) for roll in geometry.choices[2:6])
    if geometry.choices[1] < 0.3:
        left, right = far, far
    elif geometry.choices[1] < 0.5:
        left, top, right = far, far, far
    elif geometry.choices[1] < 0.7:
        left, bottom, right = far, far, far
    corners = (box[0] - left, box[1] - top, box[2] + right, box[3] + bottom)
    radius = 0.35 * size if geometry.choices[0] > 0.6 else 0.0
    ImageDraw.Draw(canvas).rounded_rectangle(corners, radius=radius, fill=255)


@dataclass(frozen=True)
class Plane:
    """A map from image to canvas and the size, in pixels, of the image it fills."""

    backward: _Matrix
    size: tuple[int, int]
    scale: float
    bow: Bow | None = None

    def place(self, mask: Image.Image) -> Image.Image:
        """Returns `mask` seen on this plane, as an image of `size`; uncovered parts are 0."""
        if self.bow is None:
            values = tuple(float(value) for value in self.backward.ravel()[:8])
            return mask.transform(
                self.size, Image.Transform.PERSPECTIVE, values, Image.Resampling.BILINEAR
            )
        return mask.transform(
            self.size, Image.Transform.MESH, self._mesh(self.bow), Image.Resampling.BILINEAR
        )

    def _mesh(self, bow: Bow) -> list[tuple[tuple[int, int, int, int], tuple[float, ...]]]:
        """Cells of the image with the quadrilaterals of the canvas that they show."""
        width, height = self.size
        across = max(3, min(20, round(width / (0.6 * height)) + 2))
        columns = [round(number * width / across) for number in range(across + 1)]
        rows = [0, height // 2, height]
        x, y = np.meshgrid(np.array(columns, dtype=np.float64), np.array(rows, dtype=np.float64))
        flat = bow.flatten(_project(self.backward, np.stack([x.ravel(), y.ravel()])))
        points = flat.reshape(2, 3, across + 1).tolist()
        cells = []
        for down in range(2):
            for along in range(across):
                corners = (
                    (down, along),
                    (down + 1, along),
                    (down + 1, along + 1),
                    (down, along + 1),
                )
                quad = tuple(
                    points[axis][row][column] for row, column in corners for axis in (0, 1)
                )
                cells.append(
                    ((columns[along], rows[down], columns[along + 1], rows[down + 1]), quad)
                )
        return cells


@dataclass(frozen=True)
class Bow:
    """A bent baseline: a circle of `radius` pixels (0: none; positive: bowed up) around `center`,
    and a wave.
    """

    center: tuple[float, float]
    radius: float
    wave: tuple[float, float, float]  # height in pixels, radians per pixel, phase

    def bend(self, points: _Matrix) -> _Matrix:
        """Returns where `points` (2, n) of the flat canvas come to lie."""
        x, y = points[0] - self.center[0], points[1] - self.center[1]
        y = y + self.wave[0] * np.sin(x * self.wave[1] + self.wave[2])
        if self.radius:
            away = self.radius - y
            x, y = away * np.sin(x / self.radius), self.radius - away * np.cos(x / self.radius)
        bent: _Matrix = np.stack([x + self.center[0], y + self.center[1]])
        return bent

    def flatten(self, points: _Matrix) -> _Matrix:
        """The other way round of `bend`."""
        x, y = points[0] - self.center[0], points[1] - self.center[1]
        if self.radius:
            sign = np.sign(self.radius)
            along, up = x * sign, (self.radius - y) * sign
            x, y = self.radius * np.arctan2(along, up), self.radius - sign * np.hypot(along, up)
        y = y - self.wave[0] * np.sin(x * self.wave[1] + self.wave[2])
        flat: _Matrix = np.stack([x + self.center[0], y + self.center[1]])
        return flat


def _project(matrix: _Matrix, points: _Matrix) -> _Matrix:
    seen: _Matrix = matrix @ np.vstack([points, np.ones((1, points.shape[1]))])
    result: _Matrix = seen[:2] / seen[2]
    return result


def _choose_bow(box: Box, em: float, geometry: Geometry) -> Bow | None:
    height, turns, phase = geometry.wave
    half = (box[2] - box[0]) / 2
    rise = geometry.arc * em
    # Short words hardly bend, and no bow may close upon itself.
    rise = float(np.clip(rise, -0.35 * half, 0.35 * half))
    if abs(rise) < 0.02 * em and abs(height) < 0.01:
        return None
    radius = (
        float(np.sign(rise)) * (half**2 + rise**2) / (2 * abs(rise))
        if abs(rise) >= 0.02 * em
        else 0.0
    )
    center = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    return Bow(center, radius, (height * em, turns * float(np.pi) / max(2 * half, 1.0), phase))


def _matrix(box: Box, geometry: Geometry) -> _Matrix:
    left, top, right, bottom = box
    middle: _Matrix = np.array(
        [[1, 0, -(left + right) / 2], [0, 1, -(top + bottom) / 2], [0, 0, 1]], dtype=np.float64
    )
    slant: _Matrix = np.array(
        [
            [geometry.stretch, geometry.shear, 0],
            [geometry.rise * geometry.stretch, 1, 0],
            [0, 0, 1],
        ],
        dtype=np.float64,
    )
    turn = geometry.turn + geometry.quarter * float(np.pi) / 2
    cos, sin = float(np.cos(turn)), float(np.sin(turn))
    spin: _Matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=np.float64)
    # Tilts are given per half extent, so one number means the same foreshortening for long and
    # short words.
    across = 2 * geometry.tilt[0] / max((right - left) * geometry.stretch, 1)
    down = 2 * geometry.tilt[1] / max(bottom - top, 1)
    depth: _Matrix = np.array([[1, 0, 0], [0, 1, 0], [across, down, 1]], dtype=np.float64)
    result: _Matrix = spin @ depth @ slant @ middle
    return result


def make_plane(box: Box, em: float, geometry: Geometry, *, height: float, least_em: float) -> Plane:
    """Returns the plane that shows `box` as `geometry` says, in an image of `height` pixels.

    Args:
        box: the word on the canvas, in pixels.
        em: size of its letters there, in pixels.
        geometry: how the word lies and what room is left around it.
        height: of the image, in pixels; more where letters would otherwise be smaller than
            `least_em`.
        least_em: smallest size of letters in the image, in pixels; never makes an image more than
            2.2 times taller.
    """
    matrix, bow = _matrix(box, geometry), _choose_bow(box, em, geometry)
    left, top, right, bottom = box
    along = np.linspace(left, right, 2 if bow is None else 9)
    edges: _Matrix = np.stack(
        [np.concatenate([along, along]), np.repeat([top, bottom], len(along))]
    )
    seen = _project(matrix, edges if bow is None else bow.bend(edges))
    margins = np.array(geometry.margins) * em
    low, high = seen.min(axis=1) - margins[:2], seen.max(axis=1) + margins[2:]
    extent = np.maximum(high - low, 4.0)
    scale = height / float(extent[1])
    scale = min(max(scale, least_em / em), 2.2 * scale)
    move: _Matrix = np.array(
        [[scale, 0, -low[0] * scale], [0, scale, -low[1] * scale], [0, 0, 1]], dtype=np.float64
    )
    size = (max(4, round(float(extent[0]) * scale)), max(4, round(float(extent[1]) * scale)))
    backward = np.linalg.inv(move @ matrix)
    return Plane(backward=backward / backward[2, 2], size=size, scale=scale, bow=bow)
