"""The strong preset: every distortion does something within bounds, more of it at a higher level,
and only if asked.
"""

import pickle
from collections import Counter

import numpy as np
import pytest
from numpy.random import default_rng
from PIL import Image, ImageDraw, ImageFont

from strhub.data.augment.scene import DISTORTIONS, FAMILIES, SceneAugment
from strhub.data.augment.warp import WARPS, grid, resample

# Their strength says nothing of how far the result is from the image, or they have none.
UNORDERED = {"invert", "equalize", "auto_contrast", "posterize", "solarize", "gamma"}


def word(width: int = 120, height: int = 40) -> np.ndarray:
    pixels = np.empty((height, width, 3))
    pixels[:] = [150, 120, 90]
    pixels += np.linspace(-20, 20, width)[:, None]
    image = Image.fromarray(pixels.astype(np.uint8))
    text = ImageDraw.Draw(image)
    text.text(
        (width / 2, height / 2),
        "Word",
        fill=(20, 40, 60),
        font=ImageFont.load_default(28),
        anchor="mm",
    )
    return np.array(image)


def change(name: str, level: float) -> float:
    """Mean difference that a distortion makes, in gray levels, over some seeds."""
    pixels = word()
    if name in WARPS:
        results = [
            resample(pixels, WARPS[name](grid(), level, 3.0, default_rng(seed)))
            for seed in range(12)
        ]
        results = [result[: len(pixels)] for result in results]
    else:
        results = [DISTORTIONS[name](pixels, level, default_rng(seed)) for seed in range(12)]
    return float(np.mean([np.abs(result.astype(float) - pixels).mean() for result in results]))


@pytest.mark.parametrize("name", [*WARPS, *DISTORTIONS])
def test_distorts_within_bounds(name: str) -> None:
    weak, strong = change(name, 0.2), change(name, 1.0)
    assert strong > 0.5
    assert strong < (256 if name == "invert" else 90)
    if name not in UNORDERED:
        assert strong > 1.3 * weak


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2), (200, 64)])
def test_any_size_is_kept(name: str, size: tuple[int, int]) -> None:
    for level in (0.0, 0.1, 1.0):
        pixels = word(*size)
        before = pixels.copy()
        result = DISTORTIONS[name](pixels, level, default_rng(0))
        assert result.shape == pixels.shape
        assert result.dtype == np.uint8
        assert (pixels == before).all()


@pytest.mark.parametrize("name", WARPS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (300, 24)])
def test_warps_of_any_size(name: str, size: tuple[int, int]) -> None:
    width, height = size
    for seed in range(5):
        result = resample(word(*size), WARPS[name](grid(), 1.0, width / height, default_rng(seed)))
        assert result.shape[1:] == (width, 3)
        assert height <= result.shape[0] <= 2 * height


@pytest.mark.parametrize("name", WARPS)
def test_warps_of_level_0_change_nothing(name: str) -> None:
    nodes = WARPS[name](grid(), 0.0, 3.0, default_rng(0))
    np.testing.assert_allclose(nodes, grid(), atol=1e-12)
    pixels = word()
    assert np.abs(resample(pixels, nodes).astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("name", WARPS)
def test_warps_keep_letters_on_the_image_and_do_not_fold(name: str) -> None:
    for seed in range(50):
        nodes = WARPS[name](grid(), 1.0, 3.0, default_rng(seed))
        (x_across, y_across), (x_down, y_down) = (
            np.moveaxis(np.diff(nodes, axis=axis), 2, 0) for axis in (1, 0)
        )
        assert (x_across[:-1] * y_down[:, :-1] - y_across[:-1] * x_down[:, :-1] > 0).all()
        assert np.ptp(nodes[..., 0]) > 0.85  # of the width is still seen
        assert np.ptp(nodes[..., 1]) > 0.7


def test_moves_no_farther_than_documented() -> None:
    nodes = np.array([WARPS["crop"](grid(), 1.0, 3.0, default_rng(seed)) for seed in range(300)])
    edges = np.abs(nodes - grid())
    assert edges[..., 0].max() == pytest.approx(0.05, rel=0.1)  # a third of 0.15 at this aspect
    assert edges[..., 1].max() == pytest.approx(0.15, rel=0.1)
    lines = [WARPS["rotation"](grid(), 1.0, 1.0, default_rng(seed))[0] for seed in range(300)]
    angles = [np.degrees(np.arctan2(*(line[-1] - line[0])[::-1])) for line in lines]
    assert max(map(abs, angles)) == pytest.approx(25, rel=0.05)
    assert min(angles) < -20 < 20 < max(angles)


def test_noise_is_as_strong_as_documented() -> None:
    gray = np.full((100, 300, 3), 128, dtype=np.uint8)
    for name, deviation in (
        ("gaussian_noise", 22.5),
        ("shot_noise", 30 * np.sqrt(128 / 255)),
        ("speckle_noise", 22.4),
    ):
        result = DISTORTIONS[name](gray, 0.5, default_rng(0)).astype(float)
        assert result.std() == pytest.approx(deviation, rel=0.03), name
    result = DISTORTIONS["impulse_noise"](gray, 1.0, default_rng(0))
    assert (result == 0).mean() == pytest.approx(0.075, rel=0.1)
    assert (result == 255).mean() == pytest.approx(0.075, rel=0.1)


def test_plan() -> None:
    augment, rounds = SceneAugment(strength=0.5, families=3), 6000
    plans = [augment.plan(default_rng([4, seed])) for seed in range(rounds)]
    counts = Counter(name for plan in plans for name, _ in plan)
    assert all(counts[name] == pytest.approx(0.3 * rounds, rel=0.1) for name in WARPS)
    for family in FAMILIES.values():
        each = [counts[name] for name in family]
        assert sum(each) == pytest.approx(0.6 * 3 / len(FAMILIES) * rounds, rel=0.1)
        assert min(each) > 0.7 * sum(each) / len(each)
    levels = [level for plan in plans for _, level in plan]
    assert 0.1 <= min(levels) < 0.105
    assert 0.495 < max(levels) <= 0.5
    order = [*WARPS, *DISTORTIONS]
    assert all(
        [order.index(name) for name, _ in plan] == sorted(order.index(name) for name, _ in plan)
        for plan in plans
    )


def test_does_what_was_asked() -> None:
    pixels = word()
    for seed in range(20):
        assert SceneAugment(strength=0).distort(pixels, default_rng(seed)) is pixels
        names = {
            name
            for name, _ in SceneAugment(operations=("fog", "curve", "jpeg")).plan(default_rng(seed))
        }
        assert names <= {"fog", "curve", "jpeg"}
        assert all(name in WARPS for name, _ in SceneAugment(families=0).plan(default_rng(seed)))


def test_same_seed_same_image() -> None:
    augment, image = SceneAugment(strength=1), Image.fromarray(word())
    copy = pickle.loads(pickle.dumps(augment))
    assert copy == augment
    before = str(np.random.get_state())
    first = [augment(image, default_rng(seed)).tobytes() for seed in range(40)]
    assert [copy(image, default_rng(seed)).tobytes() for seed in range(40)] == first
    assert str(np.random.get_state()) == before
    assert len(set(first)) > 35


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 1.1}, "strength must be 0 to 1, not 1.1"),
        ({"strength": float("nan")}, "strength must be 0 to 1, not nan"),
        ({"families": 8}, "families must be 0 to 7, not 8"),
        ({"operations": ("fog", "hail")}, "no operation 'hail'; known: crop, perspective"),
    ],
)
def test_refuses_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SceneAugment(**options)
