"""From a text to masks: glyphs, baseline, what stands beside the word, and the plane on which all
of it lies.

In: a text, an opened font and a `Geometry`, which the steps of `geometry.py` have set. Out: `L`
images whose pixels say how much of them the word covers (0..255). Nothing here knows of colors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from strhub.data.synth.plane import Bow, Box, Geometry, Plane, make_plane
from strhub.data.synth.shaping import layout_engine_for, needs_shaping
from strhub.data.synth.typefaces import open_font
from strhub.images.limits import MAX_PIXELS

__all__ = ["Bow", "Box", "Geometry", "Line", "Plane", "make_plane", "render_word", "word_box"]


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
    """Return the top and bottom of an 'x' relative to the baseline, in pixels."""
    _, top, _, bottom = open_font(path, size).getbbox("x", anchor="ls")
    return top, bottom


def word_box(mask: Image.Image, path: str, size: int, baseline: float) -> Box:
    """Return (left, top, right, bottom) in pixels around the word in `mask`.

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
    """Draw with the baseline at `start`; letter by letter only where their positions are not the
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
    """Return `text` drawn flat in the font at `path`, `size` pixels an em.

    `neighbors` are characters that the same font has; other words are made of them. Changes
    `geometry.margins` where a neighbor is to show.

    Raises:
        ValueError: if the font makes the text too large to be drawn.
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
    canvas_size = (int(length) + 2 * border, baseline + round((1.9 if busy else 1.0) * size))
    if canvas_size[0] * canvas_size[1] > MAX_PIXELS:
        raise ValueError(f"{path}: {text!r} would take {canvas_size[0]} x {canvas_size[1]} pixels")
    canvas = Image.new("L", canvas_size)
    try:
        _draw_letters(canvas, text, font, (border, baseline), geometry, rng)
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path}: {text!r} is too large: {error}") from error
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
    """Draw words beside, above or below, and set the margins that let their edges show.

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
    """Draw a line around the word, or only above or below it."""
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
    """Draw the sign itself, where the image shows its edges: filled, on all sides or on some."""
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
