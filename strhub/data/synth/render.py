"""Draws one word as it may look in a photo.

In: a text and a random generator. Out: an RGB picture, 24..64 pixels high, as wide as the word asks for. The steps
live beside this file: glyphs and geometry in `layout`, paint in `surface`, light and lens in `camera`; here they are
put in order and given their ranges.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageFilter, ImageFont

from strhub.data.synth.camera import photograph
from strhub.data.synth.layout import Bend, Box, Plane, bend_columns, draw_line, make_plane, word_box
from strhub.data.synth.surface import FloatArray, colour_at, colour_pair, ground, luminance, smooth_field
from strhub.data.synth.typefaces import FontShelf, open_font

__all__ = ["WordRenderer"]

_HEIGHTS = (24.0, 64.0)
_EM_SIZES = tuple(range(22, 58, 2))
_NEIGHBOUR_LETTERS = "aeiorstnlcdhmupgbABDEHILMNOPRSTU0123589"


def _draw_neighbours(
    canvas: Image.Image, box: Box, margins: Box, baseline: float, font: ImageFont.FreeTypeFont, rng: np.random.Generator
) -> Box:
    """Draws words beside, above or below and returns the margins that let their edges show.

    Sideways at most half a letter of a neighbour shows and the gap is at least 0.3 em: with more, or closer, a
    reader could not know where the word ends.
    """
    em = float(font.size)
    left, top, right, bottom = margins
    letters = [_NEIGHBOUR_LETTERS[int(i)] for i in rng.integers(len(_NEIGHBOUR_LETTERS), size=24)]
    sides = rng.random(4) < 0.4
    if sides[0]:
        gap = rng.uniform(0.3, 0.5) * em
        word = "".join(letters[:2])
        draw_line(canvas, word, font, box[0] - gap - font.getlength(word), baseline, 0.0)
        left = gap + rng.uniform(0.0, 0.5) * font.getlength(word[-1])
    if sides[1]:
        gap = rng.uniform(0.3, 0.5) * em
        word = "".join(letters[2:4])
        draw_line(canvas, word, font, box[2] + gap, baseline, 0.0)
        right = gap + rng.uniform(0.0, 0.5) * font.getlength(word[0])
    line, start = "".join(letters), box[0] - rng.uniform(0.0, 1.0) * em
    if sides[2]:
        draw_line(canvas, line, font, start, baseline - rng.uniform(1.05, 1.3) * em, 0.0)
        top = rng.uniform(0.1, 0.4) * em
    if sides[3]:
        draw_line(canvas, line, font, start, baseline + rng.uniform(1.05, 1.3) * em, 0.0)
        bottom = rng.uniform(0.1, 0.45) * em
    return (left, top, right, bottom)


def _choose_bend(width: float, em: float, rng: np.random.Generator, difficulty: float) -> Bend | None:
    """An arc (swing up to 0.45 em) or, more rarely, a wave (up to 0.15 em); None mostly and for short words."""
    if rng.random() >= 0.3 * difficulty or width < 1.8 * em:
        return None
    swing = rng.uniform(0.3, 1.0) * difficulty * min(0.45 * em, 0.12 * width)
    if rng.random() < 0.75:
        return Bend(height=float(swing * rng.choice([-1.0, 1.0])), turns=1.0, phase=0.0)
    return Bend(height=float(0.33 * swing), turns=rng.uniform(2.0, 4.0), phase=rng.uniform(0.0, 6.28))


def _choose_plane(box: Box, margins: Box, rng: np.random.Generator, difficulty: float) -> Plane:
    """Rotation up to 0.25 rad (rarely), slant up to 0.35, perspective up to 0.3 across and 0.15 down."""
    turn = shear = 0.0
    tilt = (0.0, 0.0)
    if rng.random() < 0.75 * difficulty:
        turn = float(np.clip(rng.normal(0.0, 0.1), -0.25, 0.25)) * difficulty
    if rng.random() < 0.5 * difficulty:
        shear = rng.uniform(-0.35, 0.35) * difficulty
    if rng.random() < 0.5 * difficulty:
        tilt = (rng.uniform(-0.3, 0.3) * difficulty, rng.uniform(-0.15, 0.15) * difficulty)
    return make_plane(box, margins, turn=turn, shear=shear, tilt=tilt, limits=_HEIGHTS)


def _choose_margins(em: float, rng: np.random.Generator, difficulty: float) -> Box:
    """Room around the word per side: 0.03..0.3 em, tight crops being common; a hair less than nothing when hard."""
    least = 0.03 - 0.07 * difficulty
    left, top, right, bottom = (least + (0.3 - least) * rng.random(4) ** 2) * em
    return (float(left), float(top), float(right), float(bottom))


def _over(pixels: FloatArray, paint: FloatArray, cover: Image.Image, strength: float = 1.0) -> FloatArray:
    share = np.asarray(cover, dtype=np.float32)[..., None] * np.float32(strength / 255.0)
    result: FloatArray = pixels + (paint - pixels) * share
    return result


def _shadow(
    pixels: FloatArray, cover: Image.Image, em: float, text: FloatArray, base: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Drops a shadow 0.03..0.1 em away, blurred by 0..0.06 em, that stays at most 0.45 of the way to the text."""
    angle, away = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(0.03, 0.1) * em
    shift = (round(away * np.cos(angle)), round(away * np.sin(angle)))
    fallen = Image.new("L", cover.size)
    fallen.paste(cover, shift)
    if rng.random() < 0.6:
        fallen = fallen.filter(ImageFilter.GaussianBlur(rng.uniform(0.0, 0.06) * em))
    colour = base + (text - base) * np.float32(rng.uniform(-0.9, 0.45))
    return _over(pixels, colour.clip(0, 255), fallen, rng.uniform(0.5, 1.0))


def _worn(cover: Image.Image, rng: np.random.Generator, difficulty: float) -> Image.Image:
    """Paint that has come off in small flakes: up to 0.7 of the coverage is lost where it is worst."""
    width, height = cover.size
    flakes = smooth_field((height, width), (max(2, height // 3), max(2, width // 3)), rng).clip(0.2, 1.0) - 0.2
    kept = 1.0 - np.float32(0.9 * difficulty * rng.random()) * flakes
    return Image.fromarray((np.asarray(cover, dtype=np.float32) * kept).astype(np.uint8))


def _paint(
    cover: Image.Image, others: Image.Image | None, em: float, rng: np.random.Generator, difficulty: float
) -> tuple[FloatArray, float]:
    """Returns the painted word (float32, height x width x 3) and its brightness step to the ground, 0..255."""
    text, base, step = colour_pair(rng, difficulty)
    shape = (cover.height, cover.width)
    pixels = ground(shape, base, step, rng, difficulty)
    if rng.random() < 0.12 * difficulty:
        cover = _worn(cover, rng, difficulty)
    if rng.random() < 0.25 * difficulty:
        pixels = _shadow(pixels, cover, em, text, base, rng)
    fill = text
    if rng.random() < 0.5 * difficulty:
        fill = text + smooth_field(shape, (2, 3), rng)[..., None] * np.float32(0.15 * step)
    if others is not None:
        pixels = _over(pixels, text if rng.random() < 0.8 else colour_at(rng.uniform(20, 235), rng), others)
    if rng.random() < 0.2 * difficulty and em >= 28:
        ring = cover.filter(ImageFilter.MaxFilter(3 if em < 44 else 5))
        if rng.random() < 0.2:
            # Hollow letters: the ring alone carries the text colour, so it must not be thinned by the fill's edge.
            return _over(pixels, text, ImageChops.subtract(ring, cover.point(lambda value: value * 3 // 4))), step
        opposite = 255.0 - luminance(text)
        pixels = _over(pixels, colour_at(opposite if rng.random() < 0.6 else rng.uniform(10, 245), rng), ring)
    return _over(pixels, fill, cover), step


class WordRenderer:
    """Renders words as pictures.

    Args:
        fonts: font files or folders of them; None takes the fonts of the package.
        difficulty: 0 (clean, straight, high contrast) to 1 (as bad as bad photos get). It scales the probability
            and the strength of every distortion.

    Raises:
        ValueError: for missing fonts or a difficulty outside [0, 1].
    """

    def __init__(self, *, fonts: Sequence[str | Path] | None = None, difficulty: float = 0.5) -> None:
        if not 0.0 <= difficulty <= 1.0:
            raise ValueError(f"difficulty must lie in [0, 1], got {difficulty}; 0.5 is the default")
        self.difficulty = float(difficulty)
        self.shelf = FontShelf(fonts=fonts)

    def __call__(self, text: str, rng: np.random.Generator) -> Image.Image:
        """Returns an RGB picture of `text`, 24..64 pixels high, that depends on `text`, `rng` and the fonts alone.

        Raises:
            ValueError: if `text` is blank or no single font has all of its characters.
        """
        if not text.strip():
            raise ValueError(f"text {text!r} holds nothing to draw; pass at least one visible character")
        paths = self.shelf.fitting(text)
        if not paths:
            raise ValueError(f"no font can draw {text!r}; add a font with these characters or shorten the charset")
        path = paths[int(rng.integers(len(paths)))]
        if self.shelf.is_unicase(path) and rng.random() < 0.3:
            # Signs set in small capitals: still capitals to the reader, whatever case the font file was asked for.
            smaller = text[:1] + text[1:].lower()
            text = smaller if self.shelf.has_glyphs(path, smaller) else text
        em = int(_EM_SIZES[int(len(_EM_SIZES) * rng.random() ** 1.3)])
        cover, others = self._lay_out(text, open_font(path, em), rng)
        pixels, step = _paint(cover, others, em, rng, self.difficulty)
        return photograph(pixels, rng, self.difficulty, em=em, step=step)

    def _lay_out(
        self, text: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator
    ) -> tuple[Image.Image, Image.Image | None]:
        """Returns the coverage (`L`) of the word and, if any show, of its neighbours, both as seen on the plane."""
        em = float(font.size)
        gap = rng.uniform(-0.02, 0.05) * em if rng.random() < 0.6 else rng.uniform(0.0, 0.3) * em
        gap = gap if rng.random() < 0.35 else 0.0
        length = font.getlength(text) + max(gap, 0.0) * len(text)
        border, baseline = 1.7 * em, round(2.0 * em)
        canvas = Image.new("L", (int(length + 2 * border), int(3.6 * em)))
        draw_line(canvas, text, font, border, baseline, gap)
        bend = _choose_bend(length, em, rng, self.difficulty)
        if bend is not None:
            canvas = bend_columns(canvas, bend, border, border + length)
        box = word_box(canvas, font, baseline)
        margins = _choose_margins(em, rng, self.difficulty)
        others = None
        if rng.random() < 0.4 * self.difficulty:
            others = Image.new("L", canvas.size)
            margins = _draw_neighbours(others, box, margins, baseline, font, rng)
            others = bend_columns(others, bend, border, border + length) if bend is not None else others
        plane = _choose_plane(box, margins, rng, self.difficulty)
        return plane.place(canvas), None if others is None else plane.place(others)
