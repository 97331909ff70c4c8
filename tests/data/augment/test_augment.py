"""RandAugment: every operation does what it says, as strongly as it says, and nothing but the
generator decides.

That it is the same augmentation as one written plainly with Pillow is for `test_augment_parity.py`.
"""

import math
import pickle
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from PIL import Image

from strhub.data.augment.operations import FILL, OPERATIONS, RandAugment, to_pixels

RESIZING = {"rotate"}
SIGNED = [
    "rotate",
    "color",
    "contrast",
    "brightness",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
]


def original(width: int = 60, height: int = 20, *, low: int = 40, high: int = 200) -> Image.Image:
    """Colorful, of limited range and without symmetry, so that no operation leaves it as it is."""
    values = np.linspace(low, high, width * height * 3).reshape(height, width, 3)
    values[..., 1] = values[::-1, :, 1]
    values[: height // 2, : width // 3, 2] = high
    return Image.fromarray(values.astype(np.uint8))


def gray(width: int, height: int, value: int) -> Image.Image:
    return Image.new("RGB", (width, height), (value, value, value))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def apply(name: str, image: Image.Image, level: float, seed: int = 0) -> Image.Image:
    return Image.fromarray(OPERATIONS[name](to_pixels(image), level, default_rng(seed)))


def outcomes(name: str, image: Image.Image, level: float) -> list[np.ndarray]:
    """Both ways that an operation with a sign can go, the one with the smaller sum first."""
    found = [pixels(apply(name, image, signed)) for signed in (level, -level)]
    assert found[0].tobytes() != found[1].tobytes()
    return sorted(found, key=lambda result: int(result.sum()))


@pytest.mark.parametrize("name", OPERATIONS)
def test_changes_image_but_not_its_input(name: str) -> None:
    image = original()
    before = image.tobytes()
    result = apply(name, image, 0.5)
    assert image.tobytes() == before
    assert result.mode == "RGB"
    assert (result.size == image.size) == (name not in RESIZING)
    assert result.tobytes() != before


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_tiny_images(name: str, size: tuple[int, int], level: float) -> None:
    for seed in range(4):
        result = apply(name, original(*size), level, seed)
        assert result.mode == "RGB"
        assert min(result.size) >= 1


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name not in SIGNED])
def test_others_have_no_direction(name: str) -> None:
    image = original()
    assert apply(name, image, -0.5).tobytes() == apply(name, image, 0.5).tobytes()


@pytest.mark.parametrize(("level", "degrees"), [(1.0, 30), (0.5, 15)])
def test_rotation_expands_canvas(level: float, degrees: float) -> None:
    angle = math.radians(degrees)
    width, height = apply("rotate", original(200, 50), level).size
    assert abs(width - (200 * math.cos(angle) + 50 * math.sin(angle))) <= 2
    assert abs(height - (50 * math.cos(angle) + 200 * math.sin(angle))) <= 2


def test_rotation_fills_with_gray() -> None:
    result = apply("rotate", gray(100, 40, 0), 1.0)
    corners = [
        (0, 0),
        (result.width - 1, 0),
        (0, result.height - 1),
        (result.width - 1, result.height - 1),
    ]
    assert FILL in {result.getpixel(corner) for corner in corners}


@pytest.mark.parametrize(
    ("name", "axis", "full"),
    [("translate_x", 1, 0.10 * 200), ("translate_y", 0, 0.30 * 100)],
)
@pytest.mark.parametrize("level", [1.0, 0.5])
def test_translation_distance(name: str, axis: int, full: float, level: float) -> None:
    distance = int(full * level)
    image = pixels(original(200, 100))
    results = outcomes(name, original(200, 100), level)
    moved = {shift: np.roll(image, shift, axis) for shift in (distance, -distance)}
    for shift, expected in moved.items():
        kept = [slice(None)] * 3
        kept[axis] = slice(distance, None) if shift > 0 else slice(None, -distance)
        empty = [slice(None)] * 3
        empty[axis] = slice(None, distance) if shift > 0 else slice(-distance, None)
        matching = [
            result for result in results if (result[tuple(kept)] == expected[tuple(kept)]).all()
        ]
        assert len(matching) == 1
        assert (matching[0][tuple(empty)] == FILL).all()


@pytest.mark.parametrize(("name", "full"), [("shear_x", 0.9), ("shear_y", 0.2)])
@pytest.mark.parametrize("level", [1.0, 0.5])
def test_shear_slope(name: str, full: float, level: float) -> None:
    image = gray(201, 201, 0)
    # A white line in the middle, across the direction of the shear, must come out with the slope
    # asked for.
    box = (99, 0, 102, 201) if name == "shear_x" else (0, 99, 201, 102)
    image.paste((255, 255, 255), box)
    for result in outcomes(name, image, level):
        rows = result[..., 0] if name == "shear_x" else result[..., 0].T
        found = [(row, int(line.argmax())) for row, line in enumerate(rows) if line.max() > 200]
        slope = np.polyfit(*zip(*found, strict=True), 1)[0]
        assert abs(slope) == pytest.approx(full * level, rel=0.02)


@pytest.mark.parametrize(("level", "fraction"), [(1.0, 0.9), (0.5, 0.45)])
def test_brightness_factors(level: float, fraction: float) -> None:
    darker, brighter = outcomes("brightness", gray(4, 4, 100), level)
    assert np.abs(darker - 100 * (1 - fraction)).max() <= 1
    assert np.abs(brighter - 100 * (1 + fraction)).max() <= 1


@pytest.mark.parametrize(("level", "fraction"), [(1.0, 0.9), (0.5, 0.45)])
@pytest.mark.parametrize("name", ["contrast", "color"])
def test_enhancement_scales_spread(name: str, level: float, fraction: float) -> None:
    values = np.full((2, 2, 3), 100, dtype=np.uint8)
    if name == "contrast":
        values[0] = 120  # spread over the image
    else:
        values[..., 0] = 120  # spread over the channels
    image = Image.fromarray(values)
    spreads = sorted(int(result.max() - result.min()) for result in outcomes(name, image, level))
    assert spreads == pytest.approx([20 * (1 - fraction), 20 * (1 + fraction)], abs=1)


@pytest.mark.parametrize(("level", "colors"), [(0.0, 16), (0.5, 4), (0.8, 2), (1.0, 2)])
def test_posterize_levels(level: float, colors: int) -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3))
    assert len(np.unique(pixels(apply("posterize", ramp, level)))) == colors


@pytest.mark.parametrize(("level", "threshold"), [(0.0, 256), (0.5, 128), (1.0, 0)])
def test_solarize_threshold(level: float, threshold: int) -> None:
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    result = pixels(apply("solarize", Image.fromarray(ramp), level))
    assert (result == np.where(ramp < threshold, ramp, 255 - ramp)).all()


@pytest.mark.parametrize(("level", "addition"), [(0.0, 0), (0.5, 55), (1.0, 110)])
def test_solarize_add(level: float, addition: int) -> None:
    ramp = np.arange(256).repeat(3).reshape(1, 256, 3)
    image = Image.fromarray(ramp.astype(np.uint8))
    result = pixels(apply("solarize_add", image, level))
    assert (result == np.where(ramp < 128, ramp + addition, ramp)).all()


def test_contrast_invert_and_equalize() -> None:
    image = original()
    assert (pixels(apply("invert", image, 0.5)) == 255 - pixels(image)).all()
    stretched = pixels(apply("auto_contrast", image, 0.5))
    assert (stretched.min((0, 1)) == 0).all()
    assert (stretched.max((0, 1)) == 255).all()
    dark = original(low=0, high=60)
    assert pixels(apply("equalize", dark, 0.5)).std() > 3 * pixels(dark).std()


@pytest.mark.parametrize(("level", "radius"), [(0.5, 2.0), (1.0, 4.0)])
def test_blur_radius(level: float, radius: float) -> None:
    image = gray(81, 81, 0)
    image.paste((255, 255, 255), (36, 0, 45, 81))  # 9 pixels wide: a variance of (81 - 1) / 12
    row = pixels(apply("gaussian_blur", image, level))[40, :, 0]
    positions = np.arange(81)
    mean = np.average(positions, weights=row)
    variance = np.average((positions - mean) ** 2, weights=row)
    assert math.sqrt(variance - 80 / 12) == pytest.approx(radius, rel=0.15)


@pytest.mark.parametrize(("level", "size"), [(0.5, 20), (1.0, 40)])
def test_noise_size(level: float, size: float) -> None:
    noise = pixels(apply("poisson_noise", gray(100, 100, 128), level)) - 128
    assert (noise[..., 0] == noise[..., 1]).all()
    assert (noise[..., 0] == noise[..., 2]).all()
    assert np.abs(noise).mean() == pytest.approx(size, rel=0.03)
    assert np.abs(noise[..., 0]).var() == pytest.approx(
        size, rel=0.1
    )  # a Poisson variable's variance is its mean
    assert abs(noise.mean()) < 0.05 * size


def test_noise_does_not_wrap_around() -> None:
    for value in (0, 255):
        result = pixels(apply("poisson_noise", gray(50, 50, value), 1.0))
        assert np.abs(result - value).max() < 100


@pytest.mark.parametrize("operations", [0, 1, 3, len(OPERATIONS)])
def test_picks_without_replacement(operations: int) -> None:
    augment, rng = RandAugment(operations=operations), default_rng(0)
    for _ in range(50):
        names = [name for name, _ in augment.plan(rng)]
        assert len(names) == len(set(names)) <= operations
        assert set(names) <= set(OPERATIONS)


def test_plans_evenly() -> None:
    augment, rng, rounds = RandAugment(), default_rng(0), 16000
    plans = [augment.plan(rng) for _ in range(rounds)]
    single = Counter(name for plan in plans for name, _ in plan)
    expected = rounds * 3 / 16 / 2
    assert all(abs(single[name] - expected) < 5 * math.sqrt(expected) for name in OPERATIONS)
    pairs = Counter(
        frozenset(pair) for plan in plans for pair in combinations([name for name, _ in plan], 2)
    )
    expected = rounds * 3 / math.comb(16, 2) / 4
    assert len(pairs) == math.comb(16, 2)
    assert all(abs(count - expected) < 5 * math.sqrt(expected) for count in pairs.values())
    first = Counter(plan[0][0] for plan in plans if plan)
    assert min(first.values()) > 0.7 * sum(first.values()) / 16
    upwards = sum(level > 0 for plan in plans for _, level in plan)
    assert upwards == pytest.approx(sum(single.values()) / 2, rel=0.05)


def test_applies_half_of_what_it_picks() -> None:
    augment, rng = RandAugment(operations=4, magnitude=7), default_rng(0)
    levels = [level for _ in range(1000) for _, level in augment.plan(rng)]
    assert 1850 < len(levels) < 2150
    assert {abs(level) for level in levels} == {0.7}


def test_does_what_it_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def record(pixels: np.ndarray, level: float, rng: Generator) -> np.ndarray:
        calls.append(level)
        return pixels

    monkeypatch.setattr(
        "strhub.data.augment.operations.OPERATIONS", dict.fromkeys(OPERATIONS, record)
    )
    augment = RandAugment()
    for seed in range(20):
        augment(original(), default_rng(seed))
        assert calls == [level for _, level in augment.plan(default_rng(seed))]
        calls.clear()


def test_same_seed_same_image() -> None:
    augment, image = RandAugment(), original()
    np.random.seed(1)
    first = [augment(image, default_rng(seed)).tobytes() for seed in range(30)]
    np.random.seed(2)  # the global generator has no say
    before = str(np.random.get_state())
    assert [augment(image, default_rng(seed)).tobytes() for seed in range(30)] == first
    assert str(np.random.get_state()) == before  # and isn't drawn from
    assert len(set(first)) > 15


def test_picklable() -> None:
    augment = RandAugment(operations=2, magnitude=9)
    copy = pickle.loads(pickle.dumps(augment))
    assert copy == augment
    assert (
        copy(original(), default_rng(5)).tobytes() == augment(original(), default_rng(5)).tobytes()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operations": 17}, "operations must be 0 to 16, not 17"),
        ({"operations": -1}, "operations must be 0 to 16, not -1"),
        ({"magnitude": 11}, "magnitude must be 0 to 10, not 11"),
        ({"magnitude": -1}, "magnitude must be 0 to 10, not -1"),
    ],
)
def test_refuses_bad_options(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandAugment(**options)


def test_refuses_other_modes() -> None:
    with pytest.raises(ValueError, match="takes RGB images, not L"):
        RandAugment()(Image.new("L", (4, 4)), default_rng(0))
