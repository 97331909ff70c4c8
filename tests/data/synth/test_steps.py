"""Every step of drawing: nothing at strength 0, something at full strength, never another size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageDraw

from strhub.data.synth.geometry import GEOMETRY_STEPS
from strhub.data.synth.layout import Geometry
from strhub.data.synth.render import Chances
from strhub.data.synth.scene import Scene, Step
from strhub.data.synth.settings import load_style
from strhub.data.synth.steps import Stages, step_limits

STAGES = Stages()
SCENE_STEPS = [*STAGES.contrast, *STAGES.under, *STAGES.fill, *STAGES.over, *STAGES.after]


def scene() -> Scene:
    """Two thick strokes on a ground with some structure."""
    cover = Image.new("L", (90, 40))
    pen = ImageDraw.Draw(cover)
    pen.rectangle((20, 8, 29, 32), fill=255)
    pen.ellipse((45, 8, 70, 32), outline=255, width=6)
    original = Image.composite(
        Image.new("RGB", cover.size, (60, 90, 170)),
        Image.new("RGB", cover.size, (50, 80, 160)),
        cover.rotate(20),
    )
    made = Scene(original, cover, (230, 220, 90), (55, 85, 165), em=34.0, fill=(230, 220, 90))
    made.image.paste(made.fill, (0, 0), cover)
    return made


def state(made: Scene) -> tuple[object, ...]:
    fill = made.fill.tobytes() if isinstance(made.fill, Image.Image) else made.fill
    return made.image.tobytes(), made.cover.tobytes(), fill, made.text, made.ground


@pytest.mark.parametrize("step", SCENE_STEPS, ids=lambda step: step.name)
def test_scene_step(step: Step[Scene]) -> None:
    changed = 0
    for seed in range(8):
        made = scene()
        step.apply(made, 0.0, np.random.default_rng(seed))
        assert state(made) == state(scene())
        assert made.encoded is None
        step.apply(made, step.limit, np.random.default_rng(seed))
        assert (made.image.mode, made.image.size) == ("RGB", (90, 40))
        assert (made.cover.mode, made.cover.size) == ("L", (90, 40))
        changed += state(made) != state(scene())
    assert changed >= 4


@pytest.mark.parametrize("step", GEOMETRY_STEPS, ids=lambda step: step.name)
def test_geometry_step(step: Step[Geometry]) -> None:
    made = Geometry()
    step.apply(made, 0.0, np.random.default_rng(0))
    # A wave of no height has a phase nobody sees.
    assert replace(made, wave=(made.wave[0], 1.0, 0.0)) == Geometry()
    step.apply(made, step.limit, np.random.default_rng(0))
    assert made != Geometry()


@pytest.mark.parametrize("step", SCENE_STEPS, ids=lambda step: step.name)
def test_step_depends_on_the_generator_alone(step: Step[Scene]) -> None:
    first, second = scene(), scene()
    for made in (first, second):
        step.apply(made, 0.7 * step.limit, np.random.default_rng(5))
    assert state(first) == state(second)


def test_tiny_and_very_wide_images_survive_every_step() -> None:
    for size, em in (((4, 12), 9.0), ((1500, 96), 80.0)):
        for step in SCENE_STEPS:
            cover = Image.new("L", size, 128)
            made = Scene(
                Image.new("RGB", size, (90, 20, 20)),
                cover,
                (240, 240, 240),
                (90, 20, 20),
                em,
                (240, 0, 0),
            )
            step.apply(made, step.limit, np.random.default_rng(1))
            assert made.image.size == size, step.name


def test_names_are_unique_and_every_step_says_what_its_strength_means() -> None:
    names = STAGES.names()
    assert len(names) == len(set(names)) == len(step_limits())
    assert all(step.meaning and step.limit > 0 for step in [*GEOMETRY_STEPS, *SCENE_STEPS])


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_steps_strike_as_often_and_as_strongly_as_the_settings_say(difficulty: float) -> None:
    style, names = load_style("default"), STAGES.names()
    chances, rng, count = Chances(style, names), np.random.default_rng(0), 4000
    strengths: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(count):
        for name, strength in chances.strike(difficulty, rng).items():
            strengths[name].append(strength)
    for name, found in strengths.items():
        low, high = style.steps[name].probability
        assert len(found) / count == pytest.approx(low + (high - low) * difficulty, abs=0.03), name
        low, high = style.steps[name].strength
        most = low + (high - low) * difficulty
        assert max(found, default=0.0) <= most <= step_limits()[name] + 1e-9, name
        if len(found) > 100:
            assert max(found) > 0.9 * most, name


def test_blurs_together_stay_within_what_letters_bear() -> None:
    made = scene()
    allowed = [made.blur_allowed(0.06) for _ in range(4)]
    assert allowed[0] == 0.06
    assert sum(radius**2 for radius in allowed) <= 0.0851**2
    assert allowed[-1] == 0.0
