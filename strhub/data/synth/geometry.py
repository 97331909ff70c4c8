"""Steps that say how a word lies in its image: spacing, bends, turns, room around it, what stands
beside it.

In: a `Geometry` with the lengths in em, a strength and a random generator. Out: the same object,
changed; strength 0 changes nothing.
"""

from __future__ import annotations

from math import pi, radians
from typing import Final

import numpy as np

from strhub.data.synth.layout import Geometry
from strhub.data.synth.scene import Step

__all__ = ["GEOMETRY_STEPS"]


LEAST_STEEP: Final = 12.0
"""Degrees: boxes around words that are turned by less are not much taller than the words."""


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _wide_letters(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.spacing += strength


def _close_letters(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.spacing -= strength


def _bounce(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.bounce += strength


def _widen(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.stretch *= 1.0 + strength


def _narrow(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.stretch /= 1.0 + strength


def _arc(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    # Words bowed up, as over a door, outnumber those bowed down.
    geometry.arc += strength * (1.0 if rng.random() < 0.7 else -1.0)


def _wave(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    rolls = rng.random(2).tolist()
    geometry.wave = (geometry.wave[0] + strength, 1.5 + 2.5 * rolls[0], 2 * pi * rolls[1])


def _slant(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.shear += strength * _sign(rng)


def _rotation(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.turn += radians(strength) * _sign(rng)


def _steep(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        geometry.turn += radians(LEAST_STEEP + strength) * _sign(rng)


def _rise(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.rise += strength * _sign(rng)


def _quarter_turn(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        geometry.quarter += 1 if rng.random() < 0.5 else -1


def _perspective(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    across, down = rng.uniform(-1.0, 1.0, size=2).tolist()
    geometry.tilt = (geometry.tilt[0] + strength * across, geometry.tilt[1] + 0.4 * strength * down)
    # Seen from the side, the lines of a sign also rise or fall.
    geometry.shear += 0.3 * strength * down


def _loose_crop(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    for side, fraction in enumerate(rng.uniform(0.4, 1.0, size=4).tolist()):
        geometry.margins[side] += strength * fraction


def _uneven_crop(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    geometry.margins[int(rng.integers(4))] += strength


def _cut(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    side = int(rng.integers(4))
    if strength > 0 and not geometry.sides[side]:
        geometry.margins[side] = -strength


def _neighbors(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    for side, roll in enumerate(rng.random(4).tolist()):
        geometry.sides[side] = geometry.sides[side] or roll < strength


def _frame(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        geometry.frame = 0.14 + 0.3 * strength
        geometry.choices = rng.random(6).tolist()
        if not any(geometry.sides):
            shown = geometry.frame * (0.9 + 0.7 * geometry.choices[5])
            geometry.margins = [max(margin, shown) for margin in geometry.margins]


def _panel(geometry: Geometry, strength: float, rng: np.random.Generator) -> None:
    if strength > 0:
        geometry.panel = 0.12 + 0.3 * (1.0 - strength)
        geometry.choices = rng.random(6).tolist()
        geometry.margins = [max(margin, geometry.panel + 0.15) for margin in geometry.margins]


GEOMETRY_STEPS: Final[tuple[Step[Geometry], ...]] = (
    Step("wide_letters", _wide_letters, 0.6, "extra room between letters, in em"),
    Step("close_letters", _close_letters, 0.08, "room taken away between letters, in em"),
    Step("bounce", _bounce, 0.15, "how far letters leave the baseline, in em"),
    Step("widen", _widen, 0.8, "letters wider by this share"),
    Step("narrow", _narrow, 0.8, "letters narrower: width divided by one more than this"),
    Step("arc", _arc, 1.0, "height of the baseline's bow, in em; at most 0.18 of the word's width"),
    Step("wave", _wave, 0.2, "height of a wavy baseline's swing, in em"),
    Step("slant", _slant, 0.6, "sideways shift per height"),
    Step("rotation", _rotation, 45.0, "degrees"),
    Step("quarter_turn", _quarter_turn, 1.0, "whether the word runs up or down: anything over 0"),
    Step(
        "perspective",
        _perspective,
        0.5,
        "foreshortening of a half word: 0.3 makes one end 1.3 / 0.7 times larger",
    ),
    Step("loose_crop", _loose_crop, 1.2, "room around the word, in em, beyond the usual 0.1"),
    Step("uneven_crop", _uneven_crop, 1.5, "room at one side, in em"),
    Step("neighbours", _neighbors, 0.8, "chance that a word shows, for each of the four sides"),
    Step("frame", _frame, 1.0, "distance of a frame or rule: 0.14 to 0.44 em"),
    Step("panel", _panel, 1.0, "the sign's edge shows; at 1 it is 0.12 em from the word"),
    Step("cut", _cut, 0.15, "how far the image's edge cuts into the outer letters, in em"),
    Step("steep", _steep, 40.0, "degrees beyond 12 by which the word is turned"),
    Step(
        "rise",
        _rise,
        1.0,
        "how far the line climbs or falls per width, letters upright: a sign seen from a side",
    ),
)
"""In the order in which they are applied, which is part of what a seed means."""
