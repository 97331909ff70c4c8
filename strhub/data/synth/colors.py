"""Colors of words and of what they stand on.

In: a random generator. Out: pairs of RGB triples, 0..255, as they occur on signs, packs and
    screens, or any others.
"""

from __future__ import annotations

import colorsys

import numpy as np

from strhub.data.synth.scene import Color, distance

__all__ = ["any_color", "any_pair", "clip_color", "color_pair", "mix", "sign_pair"]

_PAINTS: dict[str, Color] = {
    "white": (245, 245, 243), "paper": (232, 226, 210), "cream": (240, 222, 178), "silver": (186,
        188, 190),
    "gray": (128, 130, 132), "slate": (84, 92, 102), "charcoal": (48, 50, 54), "black": (20, 20,
    22), "red": (200, 30, 36), "brick": (150, 62, 46), "maroon": (104, 24, 34), "orange": (236, 126,
    30), "amber": (244, 176, 30), "yellow": (250, 220, 40), "gold": (188, 148, 74), "brown": (96,
    62, 38), "tan": (190, 154, 110), "lime": (150, 196, 60), "green": (24, 120, 66), "forest": (18,
    66, 48), "teal": (20, 122, 124), "sky": (104, 172, 220), "azure": (30, 124, 200), "blue": (26,
    70, 156), "navy": (22, 34, 78), "purple": (96, 44, 122), "pink": (226, 96, 150), "rose": (238,
    190, 190), "mint": (184, 222, 200), "sand": (208, 188, 150), "stone": (164, 156, 144),
    "ice": (206, 222, 234),
}  # fmt: skip
# What stands on which ground, and how often: white on dark and dark on light lead, as they do in
# the street.
_SIGNS: tuple[tuple[str, str, float], ...] = (
    ("white", "black charcoal navy blue red green brown slate maroon black navy", 13.0),
    ("paper", "black charcoal brown red forest navy maroon slate", 8.0),
    ("cream", "black brown maroon red forest navy brick", 4.0),
    ("silver", "black charcoal navy blue white red slate", 7.0),
    ("ice", "navy blue charcoal black slate red teal", 4.0),
    ("stone", "black charcoal brown white maroon navy", 6.0),
    ("sand", "brown black maroon forest charcoal", 3.0),
    ("rose", "maroon red charcoal", 1.0),
    ("mint", "green forest charcoal black", 1.0),
    ("tan", "brown black white charcoal", 2.5),
    ("gray", "white black paper charcoal amber", 4.5),
    ("sky", "white navy blue black", 2.0),
    ("lime", "white black forest", 1.2),
    ("yellow", "black red blue charcoal green", 3.5),
    ("amber", "black red white navy brown", 2.5),
    ("orange", "white black cream navy", 2.0),
    ("gold", "black brown white maroon", 1.5),
    ("black", "white white silver yellow gold paper red amber cream sky gray", 9.0),
    ("charcoal", "white white silver cream amber gold paper stone gray", 7.0),
    ("slate", "white silver cream black yellow paper", 5.0),
    ("navy", "white yellow gold silver ice cream", 5.0),
    ("blue", "white white yellow silver cream ice amber", 6.5),
    ("azure", "white white yellow navy", 3.0),
    ("teal", "white cream silver yellow", 2.0),
    ("green", "white white yellow cream silver gold", 4.5),
    ("forest", "white gold cream silver yellow", 3.0),
    ("red", "white white yellow cream black silver gold", 6.5),
    ("brick", "white cream black paper gold", 3.0),
    ("maroon", "white gold cream silver rose", 3.5),
    ("brown", "white cream gold amber tan silver", 3.5),
    ("purple", "white yellow silver lime", 1.2),
    ("pink", "white black purple", 1.0),
)
_GROUND_ENDS = np.cumsum([fraction for _, _, fraction in _SIGNS]) / sum(
    fraction for _, _, fraction in _SIGNS
)


def clip_color(red: float, green: float, blue: float) -> Color:
    """Return whole numbers in 0..255."""
    return (
        min(255, max(0, round(red))),
        min(255, max(0, round(green))),
        min(255, max(0, round(blue))),
    )


def mix(first: Color, second: Color, fraction: float) -> Color:
    """Return `first` with the `share` (0..1) of `second` in it; a negative share leads away from
    `second`.
    """
    return clip_color(
        *(one + (other - one) * fraction for one, other in zip(first, second, strict=True))
    )


def any_color(brightness: float, rng: np.random.Generator) -> Color:
    """Return a color of about this brightness, 0..255, of any hue; often gray, at times vivid."""
    hue, roll, saturation = rng.random(3).tolist()
    saturation *= 0.06 if roll < 0.35 else 0.35 if roll < 0.7 else 1.0
    red, green, blue = (255.0 * value for value in colorsys.hsv_to_rgb(hue, saturation, 1.0))
    own = 0.299 * red + 0.587 * green + 0.114 * blue
    # Scaling up would clip the strongest channel; mixing with white reaches the brightness exactly.
    goal, weight = (
        (0.0, 1.0 - brightness / own)
        if own >= brightness
        else (255.0, (brightness - own) / (255.0 - own))
    )
    return clip_color(*(value + (goal - value) * weight for value in (red, green, blue)))


def any_pair(rng: np.random.Generator) -> tuple[Color, Color]:
    """Return (text, ground) of any hues whose brightness differs by 100 or more; either may be the
    lighter.
    """
    rolls = rng.random(3).tolist()
    step = 100.0 + 135.0 * rolls[0]
    low = 5.0 + rolls[1] * (245.0 - step)
    dark, light = any_color(low, rng), any_color(low + step, rng)
    return (light, dark) if rolls[2] < 0.5 else (dark, light)


def sign_pair(rng: np.random.Generator) -> tuple[Color, Color]:
    """Return (text, ground) as painters of signs combine them, each a little off the pure paint."""
    rolls = rng.random(2).tolist()
    index = min(int(np.searchsorted(_GROUND_ENDS, rolls[0])), len(_SIGNS) - 1)
    ground, texts, _ = _SIGNS[index]
    choices = texts.split()
    shifts = rng.normal(0.0, 11.0, size=8).tolist()
    paint, base = _PAINTS[choices[int(rolls[1] * len(choices))]], _PAINTS[ground]
    text = clip_color(
        *(value + shift + shifts[6] for value, shift in zip(paint, shifts[:3], strict=True))
    )
    return text, clip_color(
        *(value + shift + shifts[7] for value, shift in zip(base, shifts[3:6], strict=True))
    )


def color_pair(rng: np.random.Generator, sign_fraction: float) -> tuple[Color, Color]:
    """Return (text, ground), `sign_fraction` (0..1) of them from the table of signs; `distance` is
    at least 60.
    """
    while True:
        text, ground = sign_pair(rng) if rng.random() < sign_fraction else any_pair(rng)
        if distance(text, ground) >= 60.0:
            return text, ground
