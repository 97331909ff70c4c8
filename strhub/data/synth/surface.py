"""Steps that paint a word: what lies under the letters, what fills them and what lies over their
edges.

In: a `Scene` whose image shows the ground and whose cover says where the letters are, a strength
and a random generator. Out: the same scene, changed. `UNDER_STEPS` paint before the letters are
filled, `FILL_STEPS` change cover and fill, `OVER_STEPS` paint onto the filled letters. Strength 0
changes nothing.
"""

from __future__ import annotations

from math import cos, pi, sin
from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from strhub.data.synth.backdrop import BACKDROPS, piece, slope, texture_bank
from strhub.data.synth.colors import any_color, mix
from strhub.data.synth.scene import Color, Scene, Step, distance

__all__ = ["CONTRAST_STEPS", "FILL_STEPS", "OVER_STEPS", "UNDER_STEPS", "fill_letters"]

_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


def _scaled(mask: Image.Image, factor: float) -> Image.Image:
    if factor == 1.0:
        return mask
    return mask.point([min(255, round(value * factor)) for value in range(256)])


def _moved(mask: Image.Image, across: float, down: float) -> Image.Image:
    """Return `mask` moved by so many pixels, with nothing in the room that it left; parts of a
    pixel count.
    """
    values = (1, 0, -across, 0, 1, -down)
    return mask.transform(mask.size, Image.Transform.AFFINE, values, Image.Resampling.BILINEAR)


def _grown(mask: Image.Image, reach: float) -> Image.Image:
    """Return `mask` larger by about `reach` pixels on all sides."""
    soft = mask.filter(ImageFilter.GaussianBlur(0.6 * reach + 0.3))
    return ImageChops.lighter(mask, soft.point(_GROW))


_GROW: Final = [max(0, min(255, (value - 18) * 6)) for value in range(256)]


def _brightness(color: Color) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def _low_contrast(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        far = scene.contrast
        # Below about 24 gray levels apart, noise and compression leave nothing to read.
        strength = min(strength, max(0.0, 1.0 - 24.0 / max(far, 1.0)))
        toward = rng.random()
        scene.text, scene.ground = (
            mix(scene.text, scene.ground, strength * toward),
            mix(scene.ground, scene.text, strength * (1.0 - toward)),
        )


def _shadow(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength <= 0:
        return
    angle, softness, darkness = rng.random(3).tolist()
    angle *= 2 * pi
    away = max(0.7, strength * scene.em)
    fallen = _moved(scene.cover, away * cos(angle), away * sin(angle))
    if softness < 0.6:
        fallen = fallen.filter(ImageFilter.GaussianBlur((0.2 + softness) * away))
    # A shadow as bright as the letters would be read as part of them.
    color = mix(
        scene.ground, _BLACK if _brightness(scene.text) > 90 else _WHITE, 0.35 + 0.5 * darkness
    )
    scene.image.paste(color, (0, 0), _scaled(fallen, 0.6 + 0.4 * darkness))


def _extrusion(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength <= 0:
        return
    rolls = rng.random(3).tolist()
    angle = 2 * pi * rolls[0]
    depth = max(1.0, strength * scene.em)
    body, count = scene.cover, max(2, round(depth))
    for number in range(1, count + 1):
        away = depth * number / count
        body = ImageChops.lighter(body, _moved(scene.cover, away * cos(angle), away * sin(angle)))
    side = mix(scene.text, _BLACK if rolls[1] < 0.75 else _WHITE, 0.35 + 0.35 * rolls[2])
    if distance(side, scene.ground) < 0.25 * scene.contrast:
        side = mix(side, scene.text, 0.5)
    scene.image.paste(side, (0, 0), body)


def _outline(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength <= 0:
        return
    rolls = rng.random(2).tolist()
    ring = _grown(scene.cover, max(0.6, strength * scene.em))
    color = _WHITE if _brightness(scene.text) < 128 else _BLACK
    if rolls[0] < 0.4:
        color = any_color(
            min(240.0, max(10.0, 255.0 - _brightness(scene.text) + 60 * (rolls[1] - 0.5))), rng
        )
    scene.image.paste(color, (0, 0), ring)


def _glow(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Add light behind or in the letters, which spreads over the background."""
    if strength <= 0:
        return
    rolls = rng.random(2).tolist()
    halo = scene.cover.filter(ImageFilter.GaussianBlur((0.08 + 0.2 * rolls[0]) * scene.em))
    color = scene.text if _brightness(scene.text) > 110 else mix(scene.text, _WHITE, 0.6)
    scene.image.paste(mix(color, scene.ground, 0.25), (0, 0), _scaled(halo, strength))
    if rolls[1] < 0.5:
        # Tubes and screens are overexposed: the letters themselves turn white.
        scene.text = mix(scene.text, _WHITE, 0.7 * strength)
        scene.fill = scene.text


def _wear(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Flake paint off the letters."""
    if strength <= 0:
        return
    kinds = texture_bank()[("clouds", "plaster", "foliage", "grain")[int(rng.integers(4))]]
    flakes = piece(kinds[0], scene.cover.size, 16.0 / scene.em * (1.0 + rng.random()), rng)
    kept = flakes.point(
        [round(255 - strength * max(0, min(255, (value - 150) * 4))) for value in range(256)]
    )
    scene.cover = ImageChops.multiply(scene.cover, kept)


def _rough(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Roughen edges as of a stencil, a brush or bad print: the outline wanders by part of a
    stroke.
    """
    if strength <= 0:
        return
    noise = piece(texture_bank()["plaster"][1], scene.cover.size, 20.0 / scene.em, rng)
    soft = scene.cover.filter(ImageFilter.GaussianBlur(max(0.5, 0.05 * scene.em * strength)))
    wandering = ImageChops.add(
        soft,
        noise.point([round(value * 0.5 * strength) for value in range(256)]),
        1.0,
        -round(32 * strength),
    )
    edges = wandering.point([max(0, min(255, (value - 128) * 3 + 128)) for value in range(256)])
    scene.cover = Image.blend(
        scene.cover, ImageChops.multiply(edges, _grown(scene.cover, 1.0)), min(1.0, strength)
    )


def _dots(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Draw letters made of lamps, as on buses and clocks."""
    if strength <= 0 or scene.em < 26:
        return
    pitch = scene.em / (9.0 + 3.0 * rng.random())
    width, height = scene.cover.size
    rows = np.cos(np.arange(height, dtype=np.float32)[:, None] * np.float32(2 * pi / pitch))
    columns = np.cos(np.arange(width, dtype=np.float32)[None, :] * np.float32(2 * pi / pitch))
    lamps = ((rows + columns) * 150 + 190).clip(255 * (1.0 - strength), 255)
    scene.cover = ImageChops.multiply(scene.cover, Image.fromarray(lamps.astype(np.uint8)))


def _hollow(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength <= 0:
        return
    inner = scene.cover.filter(ImageFilter.GaussianBlur(0.025 * scene.em + 0.3))
    inner = inner.point(
        [round(max(0, min(255, (value - 170) * 4)) * strength) for value in range(256)]
    )
    if scene.em >= 26:  # in small letters a ring leaves nothing
        scene.cover = ImageChops.subtract(scene.cover, inner)


def _fill_image(scene: Scene) -> Image.Image:
    if isinstance(scene.fill, Image.Image):
        return scene.fill
    return Image.new("RGB", scene.image.size, scene.fill)


def _gradient(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Color letters by a gradient, mostly from top to bottom."""
    if strength <= 0:
        return
    rolls = rng.random(4).tolist()
    angle = pi / 2 if rolls[0] < 0.6 else 2 * pi * rolls[1]
    # Away from the background, so that no part of a letter has its color.
    away = mix(scene.text, scene.ground, -strength) if rolls[2] < 0.5 else scene.text
    other = mix(away, any_color(_brightness(scene.text), rng), strength)
    if distance(other, scene.ground) < 0.5 * scene.contrast:
        other = mix(
            scene.text,
            _WHITE if _brightness(scene.text) > _brightness(scene.ground) else _BLACK,
            strength,
        )
    ends = (scene.text, other) if rolls[3] < 0.5 else (other, scene.text)
    size = scene.image.size
    scene.fill = Image.composite(
        Image.new("RGB", size, ends[0]), Image.new("RGB", size, ends[1]), slope(size, angle)
    )


def _texture(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Color letters as metal, wood or uneven paint; the color differs by at most `strength` of the
    contrast to the background.
    """
    if strength <= 0:
        return
    kinds = BACKDROPS[2:]
    tiles = texture_bank()[kinds[int(rng.integers(len(kinds)))]]
    field = piece(tiles[int(rng.integers(len(tiles)))], scene.image.size, 24.0 / scene.em, rng)
    fraction = strength * scene.contrast / 255.0
    light, dark = Image.new("RGB", field.size, _WHITE), Image.new("RGB", field.size, _BLACK)
    grain = Image.composite(light, dark, field)
    scene.fill = Image.blend(_fill_image(scene), grain, min(0.6, fraction))


def _bevel(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Raise or sink the letters: one side of each stroke is lit, the other is in shadow."""
    if strength <= 0:
        return
    angle = 2 * pi * rng.random()
    reach = max(0.7, 0.035 * scene.em)
    across, down = reach * cos(angle), reach * sin(angle)
    soft = scene.cover.filter(ImageFilter.GaussianBlur(0.4 * reach))
    ahead, behind = _moved(soft, across, down), _moved(soft, -across, -down)
    scene.image.paste(_WHITE, (0, 0), _scaled(ImageChops.subtract(ahead, behind), 0.8 * strength))
    scene.image.paste(_BLACK, (0, 0), _scaled(ImageChops.subtract(behind, ahead), 0.8 * strength))


def _inner_line(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Draw a bright or dark line along the middle of each stroke, as in tubes and in engraved
    letters.
    """
    if strength <= 0 or scene.em < 24:
        return
    middle = scene.cover.filter(ImageFilter.GaussianBlur(0.03 * scene.em))
    middle = middle.point([max(0, min(255, (value - 205) * 6)) for value in range(256)])
    goal = _WHITE if _brightness(scene.text) > _brightness(scene.ground) else _BLACK
    scene.image.paste(mix(scene.text, goal, 0.8), (0, 0), _scaled(middle, strength))


def fill_letters(scene: Scene) -> None:
    """Paint the letters: `fill` where `cover` says so."""
    scene.image.paste(scene.fill, (0, 0), scene.cover)


UNDER_STEPS: Final[tuple[Step[Scene], ...]] = (
    Step("shadow", _shadow, 0.3, "how far the drop shadow lies from the letters, in em"),
    Step("extrusion", _extrusion, 0.3, "depth of letters that stand out, in em"),
    Step("glow", _glow, 1.0, "brightness of the light around the letters; 1 is full"),
    Step("outline", _outline, 0.15, "width of a line around the letters, in em"),
)
FILL_STEPS: Final[tuple[Step[Scene], ...]] = (
    Step("wear", _wear, 1.0, "how much paint is gone where most has come off; 1 is all"),
    Step("rough", _rough, 1.0, "how far the letters' edges wander; 1 is about half a stroke"),
    Step("dots", _dots, 1.0, "letters of lamps; at 1 it is dark between them"),
    Step("hollow", _hollow, 1.0, "how much of the letters' inside is left out; 1 is all"),
    Step("gradient", _gradient, 1.0, "how far the letters' color changes; 1 is to any other"),
    Step("texture", _texture, 1.0, "structure in the letters, as a fraction of the contrast"),
)
OVER_STEPS: Final[tuple[Step[Scene], ...]] = (
    Step("bevel", _bevel, 1.0, "brightness of lit and shaded edges; 1 is white and black"),
    Step("inner_line", _inner_line, 1.0, "brightness of a line within each stroke; 1 is full"),
)
CONTRAST_STEPS: Final[tuple[Step[Scene], ...]] = (
    Step("low_contrast", _low_contrast, 0.95, "fraction of the contrast that is lost"),
)
"""Before the ground is painted, for it changes the color of both."""
