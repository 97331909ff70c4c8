"""Draws one word as it may look in a photo.

In: a text and a random generator. Out: an RGB image about 12..96 pixels high, as wide as the word
    asks for. The steps live in the files beside this one: `geometry` and `layout`, `surface`,
    `objects`, `light`, `camera`; here they are put in order and strike with the probability and
    strength that the settings give them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, sin
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from PIL import Image

from strhub.data.synth.backdrop import BACKDROPS, ground, photo_like
from strhub.data.synth.clutter import clutter
from strhub.data.synth.colors import any_color, color_pair
from strhub.data.synth.layout import Geometry, make_plane, render_word
from strhub.data.synth.scene import Scene, Step
from strhub.data.synth.settings import Pair, RenderStyle, load_style
from strhub.data.synth.steps import Stages
from strhub.data.synth.surface import fill_letters
from strhub.data.synth.typefaces import FontShelf

__all__ = ["Chances", "Difficulty", "WordRenderer", "check_difficulty"]

Target = TypeVar("Target")
Difficulty: TypeAlias = float | tuple[float, float]
"""One number in [0, 1], or the lowest and highest of an even mixture."""
# Glyphs are drawn at the next larger of these and scaled down with the warp: few sizes keep few
# fonts open.
_SIZES: Final = (20, 28, 40, 56, 80)
# fraction of the images without a word that show other things than an empty ground
_CLUTTERED: Final = 0.6
_NEIGHBOR_LETTERS: Final = "aeiorstnlcdhmupgbABDEHILMNOPRSTU0123589"


def check_difficulty(difficulty: Difficulty) -> Pair:
    """Return (lowest, highest); `ValueError` unless 0 <= lowest <= highest <= 1."""
    ends = (difficulty, difficulty) if isinstance(difficulty, (int, float)) else tuple(difficulty)
    if len(ends) != 2 or not 0.0 <= ends[0] <= ends[1] <= 1.0:
        raise ValueError(
            f"difficulty must be a number in [0, 1] or two such, the lower first; got {difficulty}"
        )
    return float(ends[0]), float(ends[1])


class Chances:
    """Which steps strike one word, and how strongly: decided for all at once."""

    def __init__(self, style: RenderStyle, names: Sequence[str]) -> None:
        self.names = list(names)
        ranges = [style.steps[name] for name in self.names]
        self._probability = np.array([step.probability for step in ranges])  # (steps, 2)
        self._strength = np.array([step.strength for step in ranges])

    def strike(self, difficulty: float, rng: np.random.Generator) -> dict[str, float]:
        """Draw which steps are applied, and their strengths, by name."""
        at = np.array([1.0 - difficulty, difficulty])
        rolls = rng.random((2, len(self.names)))
        struck = np.flatnonzero(rolls[0] < self._probability @ at)
        strengths = rolls[1] * (self._strength @ at)
        return {self.names[index]: float(strengths[index]) for index in struck.tolist()}


def _between(pair: Pair, difficulty: float) -> float:
    return pair[0] + (pair[1] - pair[0]) * difficulty


def _apply(
    steps: Iterable[Step[Target]],
    target: Target,
    struck: Mapping[str, float],
    rng: np.random.Generator,
) -> None:
    for step in steps:
        if step.name in struck:
            step.apply(target, struck[step.name], rng)


def _glyph_size(height: float, letters: int, geometry: Geometry) -> int:
    """Return the size at which to draw letters that shall fill an image of `height`, from a rough
    guess of their share.
    """
    length = 0.55 * letters * geometry.stretch
    fraction = (
        0.8
        + geometry.margins[1]
        + geometry.margins[3]
        + abs(geometry.arc)
        + abs(sin(geometry.turn)) * length
    )
    if geometry.quarter:
        fraction = length + geometry.margins[1] + geometry.margins[3]
    return next((size for size in _SIZES if size * fraction >= 0.9 * height), _SIZES[-1])


@dataclass(frozen=True)
class _Masks:
    """`L` images of one size: the word, other words and frames, the sign's surface; `em` is their
    letters' size.
    """

    word: Image.Image
    others: Image.Image | None
    panel: Image.Image | None
    em: float


class WordRenderer:
    """Renders words as images.

    Args:
        fonts: font files or folders of them; None takes the fonts of the package.
        difficulty: 0 (clean, straight, high contrast) to 1 (as bad as bad photos get), or (lowest,
            highest), from which each word's is drawn evenly. It scales the probability and the
            strength of every step.
        style: the ranges of all steps: a name from `strhub/configs/style`, a path, or a mapping
            of the same form.

    Raises:
        ValueError: for missing fonts, a difficulty outside [0, 1] or bad settings.
    """

    def __init__(
        self,
        *,
        fonts: Sequence[str | Path] | None = None,
        difficulty: Difficulty = 0.5,
        style: str | Path | Mapping[str, Any] = "default",
    ) -> None:
        self.difficulty = check_difficulty(difficulty)
        self.style = load_style(style)
        self.shelf = FontShelf(fonts=fonts)
        self.stages = Stages()
        self._chances = Chances(self.style, self.stages.names())
        self._backdrops = np.array([self.style.backdrops[kind] for kind in BACKDROPS])  # (kinds, 2)
        self._letters: dict[str, str] = {}

    def __call__(self, text: str, rng: np.random.Generator) -> Image.Image:
        """Return an RGB image of `text` that depends on `text`, `rng`, the settings and the fonts
        alone.

        Raises:
            ValueError: if `text` is blank or no single font has all of its characters.
        """
        return self.scene(text, rng).image

    def scene(self, text: str, rng: np.random.Generator, *, blank: bool = False) -> Scene:
        """Return the finished image with what is known of it; see `__call__`.

        blank: leave the letters out, and the words beside them. What is left is an image of the
            same kind with nothing to read: an empty ground, or things that are no text.
        """
        path, text = self._choose_font(text, rng)
        low, high = self.difficulty
        difficulty = low + (high - low) * rng.random() if high > low else low
        struck = self._chances.strike(difficulty, rng)
        masks = self._lay_out(text, path, struck, difficulty, rng)
        if blank:
            masks = _Masks(Image.new("L", masks.word.size), None, masks.panel, masks.em)
        scene = self._paint_ground(masks, struck, difficulty, rng)
        if blank and rng.random() < _CLUTTERED:
            scene.image = clutter(scene.image.size, rng)
        for stage in (self.stages.under, self.stages.fill):
            _apply(stage, scene, struck, rng)
        fill_letters(scene)
        for stage in (self.stages.over, self.stages.after):
            _apply(stage, scene, struck, rng)
        return scene

    def _choose_font(self, text: str, rng: np.random.Generator) -> tuple[str, str]:
        """Return a font that can draw `text`, and the text as it is to be drawn."""
        if not text.strip():
            raise ValueError(
                f"text {text!r} has nothing to render; pass at least one visible character"
            )
        path = self.shelf.choose(text, rng)
        if self.shelf.is_unicase(path) and rng.random() < 0.3:
            # Signs set in small capitals: still capitals to the reader, whatever case the font file
            # was asked for.
            smaller = text[:1] + text[1:].lower()
            text = smaller if self.shelf.has_glyphs(path, smaller) else text
        return path, text

    def _lay_out(
        self,
        text: str,
        path: str,
        struck: Mapping[str, float],
        difficulty: float,
        rng: np.random.Generator,
    ) -> _Masks:
        """Choose the geometry of the word, and draw it so."""
        style = self.style
        margin = _between(style.margin, difficulty)
        geometry = Geometry(margins=(margin * rng.random(4)).tolist())
        _apply(self.stages.geometry, geometry, struck, rng)
        spread = exp(_between(style.height_spread, difficulty) * float(rng.standard_normal()))
        height = _between(style.height_median, difficulty) * spread
        height = min(
            max(height, _between(style.height_least, difficulty)),
            _between(style.height_most, difficulty),
        )
        size = _glyph_size(height, len(text), geometry)
        line = render_word(text, path, size, geometry, rng, neighbors=self._neighbor_letters(path))
        least = _between(style.least_em, difficulty)
        plane = make_plane(line.box, size, geometry, height=height, least_em=least)
        others, panel = (
            None if mask is None else plane.place(mask) for mask in (line.others, line.panel)
        )
        return _Masks(plane.place(line.word), others, panel, size * plane.scale)

    def _neighbor_letters(self, path: str) -> str:
        """Return those of some common letters that the font has."""
        if path not in self._letters:
            letters = "".join(
                char for char in _NEIGHBOR_LETTERS if self.shelf.has_glyphs(path, char)
            )
            self._letters[path] = letters or "-"
        return self._letters[path]

    def _paint_ground(
        self,
        masks: _Masks,
        struck: Mapping[str, float],
        difficulty: float,
        rng: np.random.Generator,
    ) -> Scene:
        """Choose colors, and paint all that is not the word."""
        style, size = self.style, masks.word.size
        text, base = color_pair(rng, _between(style.sign_colours, difficulty))
        scene = Scene(Image.new("RGB", size), masks.word, text, base, masks.em)
        _apply(self.stages.contrast, scene, struck, rng)
        scene.fill = scene.text
        fractions = np.cumsum(self._backdrops @ np.array([1.0 - difficulty, difficulty]))
        rolls = rng.random(4).tolist()
        kind = BACKDROPS[
            min(int(np.searchsorted(fractions, rolls[0] * fractions[-1])), len(BACKDROPS) - 1)
        ]
        reach = scene.contrast * _between(style.texture_reach, difficulty) * (0.2 + 0.8 * rolls[1])
        scene.image = ground(kind, size, scene.ground, reach, masks.em, rng)
        if masks.panel is not None:
            scene.image = Image.composite(scene.image, photo_like(size, masks.em, rng), masks.panel)
        if masks.others is not None:
            scene.image.paste(
                scene.text if rolls[2] < 0.8 else any_color(235 * rolls[3], rng),
                (0, 0),
                masks.others,
            )
        return scene
