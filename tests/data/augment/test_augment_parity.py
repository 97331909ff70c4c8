"""The fast RandAugment is the plain one: operation by operation, image by image, and in
distribution.

Thresholds were set from what was measured on the images used here, which the seeds fix; most have a
factor of two to spare. That they are tight enough is tested too: with an operation left out or
doubled, the same checks fail.
"""

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import reference_augment as plain
import torch
from numpy.random import Generator, default_rng
from PIL import Image, ImageDraw, ImageFont

from strhub.data.augment import operations as augment
from strhub.data.augment.operations import OPERATIONS, RandAugment, to_pixels
from strhub.data.transforms import WordTransform
from strhub.images.preprocess import NORMALIZATIONS, image_to_resized_array

SIZE = (32, 128)
COUNT = 2500
Statistics = dict[str, np.ndarray]


def word(seed: int) -> Image.Image:
    """Letters on a ground with a gradient, of the sizes that words have, with some noise of the
    camera.
    """
    rng = default_rng([7, seed])
    height = int(rng.integers(20, 60))
    text = "".join(
        rng.choice(
            list("abcdefghijklmnopqrstuvwxyzABCDEFGHJKLM0123456789"), int(rng.integers(2, 11))
        )
    )
    font = ImageFont.load_default(height * 0.8)
    width = int(font.getlength(text)) + 4
    ground, ink = rng.uniform(20, 235, (2, 3))
    pixels = np.empty((height, width, 3))
    pixels[:] = ground + np.linspace(-20, 20, width)[:, None] * rng.uniform(-1, 1, 3)
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).text((2, height / 2), text, fill=255, font=font, anchor="lm")
    fraction = np.asarray(mask)[..., None] / 255
    pixels += (ink - pixels) * fraction + rng.normal(0, 2, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def words() -> list[Image.Image]:
    return [word(seed) for seed in range(500)]


def noise_ratio(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibels."""
    square = np.mean((first.astype(float) - second.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(square, 1e-9)))


# 48 dB is an error of one gray level. Blurring misses it, with its weights in 256ths and one pass
# for Pillow's three.
DECIBELS = dict.fromkeys(OPERATIONS, 48.0) | {"gaussian_blur": 42.0}


def check_operation(
    name: str, words: list[Image.Image], level: float, operations: dict[str, augment.Operation]
) -> None:
    for image in words:
        for signed in (level, -level):
            expected = np.asarray(plain.OPERATIONS[name](image, signed, default_rng(0)))
            found = operations[name](to_pixels(image), signed, default_rng(0))
            assert found.shape == expected.shape
            assert noise_ratio(found, expected) > DECIBELS[name]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "poisson_noise"])
@pytest.mark.parametrize("level", [0.5, 1.0])
def test_operations_are_the_plain_ones(name: str, level: float, words: list[Image.Image]) -> None:
    check_operation(name, words[:40], level, dict(OPERATIONS))


@pytest.mark.parametrize(
    "name",
    ["rotate", "posterize", "solarize_add", "color", "shear_x", "translate_y", "gaussian_blur"],
)
@pytest.mark.parametrize("change", [1.1, 0.0])
def test_that_a_tenth_more_or_nothing_would_be_noticed(
    name: str, change: float, words: list[Image.Image]
) -> None:
    changed = {name: lambda pixels, level, rng: OPERATIONS[name](pixels, level * change, rng)}
    # Levels of 1 and over don't tell in posterize, which is down to one bit by then.
    with pytest.raises(AssertionError):
        check_operation(name, words[:40], 0.7, changed)


def test_noise_has_the_plain_distribution() -> None:
    gray = Image.new("RGB", (400, 400), (128, 128, 128))
    found, expected = (
        np.sort(np.asarray(operation(original, 0.5, default_rng(seed)))[..., 0].ravel())
        for seed, operation, original in (
            (1, OPERATIONS["poisson_noise"], to_pixels(gray)),
            (2, plain.OPERATIONS["poisson_noise"], gray),
        )
    )
    assert (
        distance(found, expected) < 0.006
    )  # of two halves of the same distribution: 0.007 in one case of a thousand


def fast_batch(images: list[Image.Image], distort: RandAugment, seed: int) -> np.ndarray:
    transform = WordTransform(SIZE, augment=distort)
    rngs = [default_rng([seed, index]) for index in range(len(images))]
    return torch.cat(
        [
            transform.batch(images[at : at + 50], rngs[at : at + 50])
            for at in range(0, len(images), 50)
        ]
    ).numpy()


def plain_batch(
    images: list[Image.Image], distort: Callable[[Image.Image, int], Image.Image]
) -> np.ndarray:
    originals = (distort(image, index) for index, image in enumerate(images))
    return np.stack(
        [
            image_to_resized_array(original, SIZE, NORMALIZATIONS["default"])
            for original in originals
        ]
    )


@pytest.fixture(scope="module")
def followed(words: list[Image.Image]) -> dict[int, np.ndarray]:
    """What the plain operations make of the words by the fast one's plans, of those without
    noise.
    """
    found = {}
    for index, image in enumerate(words):
        plan = RandAugment().plan(default_rng([3, index]))
        if "poisson_noise" not in dict(plan):
            for name, level in plan:
                image = plain.OPERATIONS[name](image, level, default_rng(0))
            found[index] = image_to_resized_array(image, SIZE, NORMALIZATIONS["default"])
    return found


def check_followed(words: list[Image.Image], followed: dict[int, np.ndarray]) -> None:
    found = fast_batch(words, RandAugment(), 3)
    errors = [
        np.abs(found[index] - expected).mean() * 127.5 for index, expected in followed.items()
    ]  # gray levels
    assert np.median(errors) < 0.3
    assert (
        np.quantile(errors, 0.98) < 2
    )  # one level can be enough to be on the other side of a threshold
    assert len(errors) > 400


def test_images_are_the_plain_ones_under_the_same_plan(
    words: list[Image.Image], followed: dict[int, np.ndarray]
) -> None:
    """From the file's pixels to what the model is given, over all sequences of operations that come
    up.
    """
    check_followed(words, followed)


def nothing(pixels: np.ndarray, level: float, rng: Generator) -> np.ndarray:
    return pixels


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "poisson_noise"])
def test_that_any_operation_left_out_would_be_noticed(
    name: str,
    words: list[Image.Image],
    followed: dict[int, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(augment, "OPERATIONS", {**OPERATIONS, name: nothing})
    with pytest.raises(AssertionError):
        check_followed(words, followed)


def statistics(batch: np.ndarray, words: list[Image.Image]) -> Statistics:
    """What an image looks like in numbers, for each of (B, 3, H, W), made of the words over and
    over again.
    """
    gray = batch.mean(1)
    before = plain_batch(words, lambda image, index: image).mean(1)[
        np.arange(len(batch)) % len(words)
    ]
    centered, centered_before = (
        values - values.mean((1, 2), keepdims=True) for values in (gray, before)
    )
    product = (centered * centered_before).mean((1, 2))
    across, down = np.diff(gray, axis=2), np.diff(gray, axis=1)
    filled = (np.abs(batch) < 0.012).all(1)  # mid-gray, which images seldom are otherwise
    _, height, width = gray.shape
    corners = [
        filled[:, : height // 4, : width // 8],
        filled[:, -height // 4 :, -width // 8 :],
        filled[:, : height // 4, -width // 8 :],
        filled[:, -height // 4 :, : width // 8],
    ]
    return {
        "brightness": gray.mean((1, 2)),
        "contrast": gray.std((1, 2)),
        "color": batch.std(1).mean((1, 2)),
        "edges across": np.abs(across).mean((1, 2)),
        "edges down": np.abs(down).mean((1, 2)),
        "sharpness": np.abs(np.diff(across, axis=2)).mean((1, 2))
        / (np.abs(across).mean((1, 2)) + 1e-3),
        "darkest": gray.min((1, 2)),
        "brightest": gray.max((1, 2)),
        "fill": filled.mean((1, 2)),
        "likeness": product / (gray.std((1, 2)) * before.std((1, 2)) + 1e-3),
    } | {f"fill in corner {number}": corner.mean((1, 2)) for number, corner in enumerate(corners)}


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov and Smirnov's: the largest gap between the fractions of two samples below a
    value.
    """
    both = np.concatenate([first, second])
    fractions = [
        np.searchsorted(np.sort(sample), both, side="right") / len(sample)
        for sample in (first, second)
    ]
    return float(np.abs(fractions[0] - fractions[1]).max())


def farthest(first: Statistics, second: Statistics) -> float:
    return max(distance(first[name], second[name]) for name in first)


# Samples of the same distribution are farther apart than 1.95 * sqrt(2 / COUNT) = 0.055 in one case
# of a thousand.
LIMIT = 0.055


@pytest.fixture(scope="module")
def expected(words: list[Image.Image]) -> Statistics:
    reference = plain.RandAugment()
    images = [words[index % len(words)] for index in range(COUNT)]
    return statistics(
        plain_batch(images, lambda image, index: reference(image, default_rng([11, index]))), words
    )


def found_statistics(words: list[Image.Image], distort: RandAugment) -> Statistics:
    return statistics(
        fast_batch([words[index % len(words)] for index in range(COUNT)], distort, 12), words
    )


@pytest.mark.slow
def test_distribution_is_the_plain_one(words: list[Image.Image], expected: Statistics) -> None:
    found = found_statistics(words, RandAugment())
    gaps = {name: distance(found[name], expected[name]) for name in expected}
    assert max(gaps.values()) < LIMIT, gaps


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"magnitude": 10}, {"operations": 2}])
def test_that_other_settings_would_be_noticed(
    options: dict[str, int], words: list[Image.Image], expected: Statistics
) -> None:
    assert farthest(found_statistics(words, RandAugment(**options)), expected) > LIMIT


# Of 16 operations these are 11; a missing auto_contrast, posterize, color, contrast or brightness
# is within the scatter of so many samples, and is noticed above.
SLOW = [
    "rotate",
    "poisson_noise",
    "gaussian_blur",
    "equalize",
    "solarize",
    "solarize_add",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
]


@pytest.mark.parametrize(
    "name", ["invert", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_that_the_distribution_would_show_an_operation_left_out(
    name: str, words: list[Image.Image], expected: Statistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augment, "OPERATIONS", {**OPERATIONS, name: nothing})
    assert farthest(found_statistics(words, RandAugment()), expected) > LIMIT


def test_operations_are_as_frequent_as_the_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[tuple[str, bool]] = Counter()

    def counting(name: str) -> plain.Operation:
        def record(image: Image.Image, level: float, rng: Generator) -> Image.Image:
            counts[name, level > 0] += 1
            return image

        return record

    rounds, image = 10000, Image.new("RGB", (2, 2))
    monkeypatch.setattr(plain, "OPERATIONS", {name: counting(name) for name in plain.OPERATIONS})
    for seed in range(rounds):
        plain.RandAugment()(image, default_rng([1, seed]))
    found = Counter(
        (name, level > 0)
        for seed in range(rounds)
        for name, level in RandAugment().plan(default_rng([2, seed]))
    )
    assert set(found) == set(counts)
    assert len(found) == 2 * len(OPERATIONS)
    # Chi-squared of 32 pairs of counts: over 62.5 in one case of a thousand. A count that is gone
    # would add hundreds.
    assert (
        sum((found[key] - counts[key]) ** 2 / (found[key] + counts[key]) for key in counts) < 62.5
    )
