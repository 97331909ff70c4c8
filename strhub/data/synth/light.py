"""Steps of light: uneven light, edges of shadows, glare and haze.

In: a `Scene` with the painted word, a strength and a random generator. Out: the same scene,
changed; strength 0 changes nothing.
"""

from __future__ import annotations

from math import pi
from typing import Final

import numpy as np
from PIL import Image, ImageChops

from strhub.data.synth.backdrop import coarse_field, slope
from strhub.data.synth.colors import mix
from strhub.data.synth.scene import Scene, Step

__all__ = ["LIGHT_STEPS"]


def _multiply(scene: Scene, factor: Image.Image) -> None:
    """Darken the image by an `L` image of factors, where 255 stands for 1."""
    scene.image = ImageChops.multiply(scene.image, Image.merge("RGB", (factor, factor, factor)))


def _uneven_light(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    if strength <= 0:
        return
    rolls = rng.integers(2, 5, size=2).tolist()
    _multiply(
        scene, coarse_field(scene.image.size, (rolls[0], 2), rng, low=round(255 * (1.0 - strength)))
    )


def _shade(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Darken the image toward one side."""
    if strength <= 0:
        return
    field = slope(scene.image.size, 2 * pi * rng.random())
    _multiply(scene, field.point([round(255 - strength * value) for value in range(256)]))


def _shadow_edge(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Add the shadow of something outside of the image, with a more or less sharp edge."""
    if strength <= 0:
        return
    angle, position, softness = rng.random(3).tolist()
    field = slope(scene.image.size, 2 * pi * angle)
    middle, half = 60 + 135 * position, 2.0 + 40.0 * softness**2
    table = [
        round(255 * (1.0 - strength * min(1.0, max(0.0, 0.5 + (value - middle) / (2 * half)))))
        for value in range(256)
    ]
    _multiply(scene, field.point(table))


def _glare(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Add the reflection of a lamp or the sun in the sign: a bright spot or streak."""
    if strength <= 0:
        return
    width, height = scene.image.size
    across, down, size, long, warm = rng.random(5).tolist()
    tall = (0.5 + 1.5 * size) * height
    wide = tall * (0.4 + 2.4 * long * long)
    spot = Image.radial_gradient("L").point(
        [round(strength * max(0.0, 1.0 - value / 180.0) ** 1.5 * 255) for value in range(256)]
    )
    spot = spot.resize((max(4, round(wide)), max(4, round(tall))), Image.Resampling.BILINEAR)
    left, top = round(across * width - spot.width / 2), round(down * height - spot.height / 2)
    scene.image.paste((255, 255 - round(12 * warm), 255 - round(40 * warm)), (left, top), spot)


def _haze(scene: Scene, strength: float, rng: np.random.Generator) -> None:
    """Add mist, a dirty pane or light in the lens: all colors move toward one light gray."""
    if strength > 0:
        level = 90 + int(rng.integers(140))
        veil = Image.new("RGB", scene.image.size, (level, level, min(255, level + 10)))
        scene.image = Image.blend(scene.image, veil, strength)
        scene.text, scene.ground = (
            mix(color, (level, level, level), strength) for color in (scene.text, scene.ground)
        )


LIGHT_STEPS: Final[tuple[Step[Scene], ...]] = (
    Step("uneven_light", _uneven_light, 0.8, "light lost where it is darkest, as a fraction"),
    Step("shade", _shade, 0.8, "light lost at the darker side, as a fraction"),
    Step("shadow_edge", _shadow_edge, 0.8, "light lost in the shadow, as a fraction"),
    Step("glare", _glare, 1.0, "brightness of the spot; 1 hides what is there"),
    Step("haze", _haze, 0.7, "fraction of the veil in every pixel"),
)
