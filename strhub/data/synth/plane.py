"""Where a line of text comes to lie in its image: rotation, perspective and bow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

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
class Plane:
    """A map from image to canvas and the size, in pixels, of the image it fills."""

    backward: _Matrix
    size: tuple[int, int]
    scale: float
    bow: Bow | None = None

    def place(self, mask: Image.Image) -> Image.Image:
        """Return `mask` seen on this plane, as an image of `size`; uncovered parts are 0."""
        if self.bow is None:
            values = tuple(float(value) for value in self.backward.ravel()[:8])
            return mask.transform(
                self.size, Image.Transform.PERSPECTIVE, values, Image.Resampling.BILINEAR
            )
        return mask.transform(
            self.size, Image.Transform.MESH, self._mesh(self.bow), Image.Resampling.BILINEAR
        )

    def _mesh(self, bow: Bow) -> list[tuple[tuple[int, int, int, int], tuple[float, ...]]]:
        """Return cells of the image with the quadrilaterals of the canvas that they show."""
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
        """Return where `points` (2, n) of the flat canvas come to lie."""
        x, y = points[0] - self.center[0], points[1] - self.center[1]
        y = y + self.wave[0] * np.sin(x * self.wave[1] + self.wave[2])
        if self.radius:
            away = self.radius - y
            x, y = away * np.sin(x / self.radius), self.radius - away * np.cos(x / self.radius)
        bent: _Matrix = np.stack([x + self.center[0], y + self.center[1]])
        return bent

    def flatten(self, points: _Matrix) -> _Matrix:
        """Return the other way round of `bend`."""
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
    """Return the plane that shows `box` as `geometry` says, in an image of `height` pixels.

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
