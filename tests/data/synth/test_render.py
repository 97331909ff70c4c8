"""The renderer: harder settings give harder images, each stage does its part, colors stay apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from strhub.data.curation.statistics import measure
from strhub.data.synth.backdrop import BACKDROPS, ground, photo_like, piece, slope, texture_bank
from strhub.data.synth.colors import any_color, color_pair
from strhub.data.synth.render import WordRenderer
from strhub.data.synth.scene import distance


def means(difficulty: float, names: tuple[str, ...], count: int = 120) -> list[float]:
    render = WordRenderer(difficulty=difficulty)
    rows = [
        measure(render("Ringing", np.random.default_rng([4, index])), "Ringing")
        for index in range(count)
    ]
    return [float(np.mean([row[name] for row in rows])) for name in names]


def test_difficulty_takes_contrast_and_sharpness() -> None:
    found = np.array(
        [means(difficulty, ("step", "sharpness")) for difficulty in (0.0, 0.35, 0.7, 1.0)]
    )
    assert (np.diff(found, axis=0) < 0).all(), found


def test_switched_off_everything_is_two_colors() -> None:
    off = dict.fromkeys(WordRenderer().style.steps)
    flat = {kind: int(kind == "flat") for kind in BACKDROPS}
    scene = WordRenderer(style={"steps": off, "backdrops": flat}).scene(
        "Plain", np.random.default_rng(0)
    )
    pixels = np.asarray(scene.image).reshape(-1, 3)
    assert scene.encoded is None
    covered = np.asarray(scene.cover).ravel()
    assert (pixels[covered == 0] == scene.ground).all()
    assert (pixels[covered == 255] == scene.text).all()


@pytest.mark.parametrize(
    "name", ["shadow", "extrusion", "outline", "glow", "object", "shadow_edge", "haze"]
)
def test_single_effect_is_seen(name: str) -> None:
    plain = dict.fromkeys(WordRenderer().style.steps)
    limit = 0.12 if name in ("shadow", "extrusion", "outline") else 0.6
    shown = {**plain, name: {"probability": 1, "strength": limit}}
    originals = [
        WordRenderer(style={"steps": steps})("Sign", np.random.default_rng(3)).tobytes()
        for steps in (plain, shown)
    ]
    assert originals[0] != originals[1]


def test_stages_can_be_replaced() -> None:
    render = WordRenderer(difficulty=1.0)
    called: list[str] = []
    after = tuple(
        replace(step, apply=lambda *_, name=step.name: called.append(name))
        for step in render.stages.after
    )
    render.stages = replace(render.stages, after=after)
    for index in range(20):
        render("Sign", np.random.default_rng(index))
    assert len(set(called)) > 10


def test_colors_stay_apart() -> None:
    rng = np.random.default_rng(0)
    for fraction in (0.0, 1.0):
        for _ in range(300):
            text, base = color_pair(rng, fraction)
            assert distance(text, base) >= 60
            assert all(0 <= value <= 255 for value in (*text, *base))
    for brightness in (10, 128, 245):
        red, green, blue = any_color(brightness, rng)
        assert 0.299 * red + 0.587 * green + 0.114 * blue == pytest.approx(brightness, abs=1.5)


@pytest.mark.parametrize("kind", BACKDROPS)
def test_grounds_stay_near_their_color(kind: str) -> None:
    rng = np.random.default_rng(1)
    for size in ((120, 40), (6, 14), (1400, 96)):
        pixels = np.asarray(ground(kind, size, (120, 130, 140), 30.0, 30.0, rng), dtype=int)
        assert pixels.shape == (size[1], size[0], 3)
        assert np.abs(pixels - (120, 130, 140)).max() <= 31
    plain = np.asarray(ground(kind, (50, 20), (120, 130, 140), 0.0, 30.0, rng))
    assert (plain == (120, 130, 140)).all()


def test_textures_are_the_same_in_every_process_and_not_plain() -> None:
    bank = texture_bank()
    assert set(bank) == set(BACKDROPS[2:])
    for kind, tiles in bank.items():
        for tile in tiles:
            assert tile.size == (640, 192), kind
            assert 20 < np.asarray(tile).std() < 80, kind
    again = texture_bank.__wrapped__()
    assert all(again[kind][0].tobytes() == bank[kind][0].tobytes() for kind in bank)


def test_slopes_span_the_whole_range_in_any_direction() -> None:
    for angle in np.linspace(0, 6.28, 9):
        field = np.asarray(slope((100, 30), float(angle)), dtype=int)
        assert field.min() <= 12
        assert field.max() >= 243
    assert (np.diff(np.asarray(slope((100, 30), 0.0))[0].astype(int)) >= 0).all()


def test_surroundings_have_structure() -> None:
    deviations = [
        np.asarray(photo_like((100, 40), 30.0, np.random.default_rng(seed))).std()
        for seed in range(20)
    ]
    assert float(np.median(deviations)) > 12


def test_a_piece_of_a_backdrop_may_take_all_of_it() -> None:
    """Sizes whose scale rounds to a hair more than the tile: Pillow refuses a box that begins
    before the edge.
    """
    tile = Image.new("L", (640, 192), 128)
    for width in range(1, 1400, 7):
        for height in (1, 3, 37, 97, 193):
            rng = np.random.default_rng([width, height])
            assert piece(tile, (width, height), 1e9, rng).size == (width, height)
