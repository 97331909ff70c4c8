"""Steps that put things before a word: wires, poles, leaves, other objects, dirt.

In: a `Scene` with the painted word, a strength and a random generator. Out: the same scene,
changed; strength 0 changes nothing. Widths are in em, so that a thing hides the same fraction of a
letter in small and large images.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from strhub.data.synth.backdrop import piece, texture_bank
from strhub.data.synth.colors import any_color, clip_color, mix
from strhub.data.synth.scene import Color, Scene, Step

__all__ = ["OBJECT_STEPS"]


def _thing_color(scene: Scene, rng: np.random.Generator) -> Color:
    """Draw any color, but rarely that of the letters: a pole of their color would be read as an
    I.
    """
    brightness = 20.0 + 215.0 * rng.random()
    color = any_color(brightness, rng)
    return mix(color, scene.ground, 0.5) if rng.random() < 0.3 else color


def _wires(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength <= 0:
        return
    width, height = scene.image.size
    canvas = Image.new("L", (2 * width, 2 * height))
    pen, color = ImageDraw.Draw(canvas), _thing_color(scene, rng)
    for _ in range(1 + int(rng.integers(2))):
        ends = rng.uniform(-0.2, 1.2, size=3).tolist()
        sag = ends[2] * 0.4 * 2 * height
        points = []
        for number in range(9):
            part = number / 8
            y = (ends[0] + (ends[1] - ends[0]) * part) * 2 * height + sag * (
                1 - (2 * part - 1) ** 2
            )
            points.append((part * 2 * width, y))
        pen.line(points, fill=255, width=max(1, round(2 * strength * scene.em)), joint="curve")
    scene.image.paste(color, (0, 0), canvas.reduce(2))


def _pole(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    thick = strength * scene.em
    if thick < 0.5:
        return
    width, height = scene.image.size
    position, lean, shade = rng.random(3).tolist()
    top, bottom = position * width, position * width + (lean - 0.5) * 0.6 * height
    canvas = Image.new("L", (2 * width, 2 * height))
    corners = [
        (top - thick / 2, -1),
        (top + thick / 2, -1),
        (bottom + thick / 2, height),
        (bottom - thick / 2, height),
    ]
    ImageDraw.Draw(canvas).polygon([(2 * x, 2 * y) for x, y in corners], fill=255)
    mask, color = canvas.reduce(2), _thing_color(scene, rng)
    scene.image.paste(color, (0, 0), mask)
    if shade < 0.6:
        # A round pole is lit from one side.
        edge = ImageChops.subtract(mask, ImageChops.offset(mask, max(1, round(0.4 * thick)), 0))
        scene.image.paste(
            mix(color, (0, 0, 0) if shade < 0.3 else (255, 255, 255), 0.5), (0, 0), edge
        )


def _leaves(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Draw leaves, or whatever hangs into the image; thickest in one place, gone within about an em
    of it.
    """
    if strength <= 0:
        return
    width, height = scene.image.size
    across, down, tone, hue = rng.random(4).tolist()
    spot = _spot()
    reach = round((0.8 + 0.8 * tone) * scene.em)
    where = Image.new("L", scene.image.size)
    where.paste(
        spot.resize((2 * reach, 2 * reach)),
        (round(across * width) - reach, round(down * height) - reach),
    )
    tiles = texture_bank()["foliage"]
    clumps = piece(tiles[int(rng.integers(2))], scene.image.size, 24.0 / scene.em, rng)
    mask = ImageChops.add(
        where.point([round(value * strength) for value in range(256)]), clumps, 1.0, -255
    )
    mask = mask.point([min(255, value * 8) for value in range(256)])
    dark = clip_color(20 + 60 * hue, 40 + 70 * tone, 15 + 40 * hue)
    light = mix(dark, (220, 230, 160), 0.4)
    tone_map = piece(tiles[0], scene.image.size, 40.0 / scene.em, rng)
    leaf = Image.composite(
        Image.new("RGB", mask.size, light), Image.new("RGB", mask.size, dark), tone_map
    )
    scene.image.paste(leaf, (0, 0), mask)


def _spot() -> Image.Image:
    """Return a spot that is bright in the middle and falls to nothing at the edge."""
    return Image.radial_gradient("L").point(
        [max(0, 255 - round(value * 1.42)) for value in range(256)]
    )


def _object(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Draw a thing that reaches in from an edge: a head, a car, a corner of another sign."""
    if strength <= 0:
        return
    width, height = scene.image.size
    rolls = rng.random(5).tolist()
    deep = strength * height
    canvas = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(canvas)
    if rolls[0] < 0.7:  # from above or, mostly, from below
        wide = (0.5 + 2.0 * rolls[2]) * scene.em
        left = rolls[1] * width - wide / 2
        y = 0.0 if rolls[3] < 0.3 else float(height)
        box = (left, y - deep, left + wide, y + deep)
    else:  # from the side, by less: it hides whole letters there
        x = 0.0 if rolls[3] < 0.5 else float(width)
        deep = min(deep, 0.35 * scene.em)
        box = (x - deep, -height * rolls[1], x + deep, height * (1.0 + rolls[2]))
    box = (2 * box[0], 2 * box[1], 2 * box[2], 2 * box[3])
    if rolls[4] < 0.5:
        pen.ellipse(box, fill=255)
    else:
        pen.rectangle(box, fill=255)
    tiles = texture_bank()["clouds"]
    color = _thing_color(scene, rng)
    field = piece(tiles[0], scene.image.size, 30.0 / scene.em, rng)
    light, dark = mix(color, (255, 255, 255), 0.15), mix(color, (0, 0, 0), 0.25)
    surface = Image.composite(
        Image.new("RGB", field.size, light), Image.new("RGB", field.size, dark), field
    )
    scene.image.paste(surface, (0, 0), canvas.reduce(2))


def _dirt(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Draw stains, rust or scratches: a second color over background and letters alike."""
    if strength <= 0:
        return
    kinds = ("clouds", "plaster", "metal", "foliage")
    tiles = texture_bank()[kinds[int(rng.integers(len(kinds)))]]
    field = piece(tiles[0], scene.image.size, 20.0 / scene.em, rng)
    mask = field.point(
        [round(strength * max(0, min(255, (value - 140) * 3))) for value in range(256)]
    )
    scene.image.paste(mix(any_color(30 + 190 * rng.random(), rng), scene.ground, 0.4), (0, 0), mask)


OBJECT_STEPS: Final[tuple[Step[Scene], ...]] = (
    Step("dirt", _dirt, 0.7, "how dense the stains are where they are densest; 1 hides"),
    Step("leaves", _leaves, 1.0, "how dense the leaves are; at 1 half of what is behind shows"),
    Step(
        "object",
        _object,
        0.6,
        "how far a thing reaches into the image, as a fraction of its height",
    ),
    Step("wires", _wires, 0.12, "thickness in em"),
    Step("pole", _pole, 0.35, "thickness in em"),
)
