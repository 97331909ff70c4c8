"""Duplicates: changed copies are found, other images are not, and what is found doesn't depend on
the order.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from strhub.data.curation.duplicates import (
    MAX_DISTANCE,
    MIN_SIMILARITY,
    PAIR,
    PRINTS_SHAPE,
    distance,
    first_with_same,
    image_prints,
    label_key,
    near_pairs,
    pixel_hash,
    repeats_to_drop,
    similarity,
)
from strhub.data.synth import RenderedWords
from strhub.text import CHARSET_94

Change = Callable[[Image.Image], Image.Image]


def as_jpeg(image: Image.Image, quality: int = 60) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def resized(factor: float) -> Change:
    return lambda image: image.resize((round(image.width * factor), round(image.height * factor)))


def brighter(factor: float) -> Change:
    return lambda image: image.point(lambda value: min(255, round(value * factor)))


def cropped(left: int, top: int, right: int, bottom: int) -> Change:
    return lambda image: image.crop((left, top, image.width - right, image.height - bottom))


CHANGES: dict[str, Change] = {
    "jpeg": as_jpeg,
    "smaller": resized(0.8),
    "larger": resized(1.2),
    "darker": brighter(0.9),
    "brighter": brighter(1.1),
    "crop all": cropped(2, 2, 2, 2),
    "crop left top": cropped(2, 2, 0, 0),
    "crop right bottom": cropped(0, 0, 2, 2),
    "crop left": cropped(2, 0, 0, 0),
    "crop top": cropped(0, 2, 0, 0),
}


@pytest.fixture(scope="module")
def rendered() -> list[tuple[Image.Image, str]]:
    words = RenderedWords(charset=CHARSET_94, max_length=12, seed=11)
    return [(at_least_high(image, 30), label) for image, label in map(words.render, range(200))]


def at_least_high(image: Image.Image, height: int) -> Image.Image:
    """Larger if need be: of an image 15 pixels high, a crop of 2 pixels a side takes a quarter."""
    factor = max(1, height / image.height)
    return image.resize((round(image.width * factor), round(image.height * factor)))


def keys_of(labels: list[str]) -> np.ndarray:
    return np.array([label_key(label) for label in labels], dtype=np.uint64)


@pytest.mark.parametrize("name", CHANGES)
def test_changed_copies_are_found(rendered: list[tuple[Image.Image, str]], name: str) -> None:
    originals = [image for image, _ in rendered[:60]]
    copies = [CHANGES[name](image) for image in originals]
    prints = np.array([image_prints(image) for image in [*originals, *copies]])
    keys = np.tile(np.arange(60, dtype=np.uint64), 2)
    found = {(first, second) for first, second, _ in near_pairs(prints, keys).tolist()}
    alike = [similarity(original, copy) for original, copy in zip(originals, copies, strict=True)]
    assert (
        len(found & {(spot, spot + 60) for spot in range(60)}) >= 58
    )  # small ones with noise may be missed
    assert sum(value >= MIN_SIMILARITY for value in alike) >= 58


def test_other_words_are_not_near_even_without_their_labels(
    rendered: list[tuple[Image.Image, str]],
) -> None:
    prints = np.array([image_prints(image) for image, _ in rendered])
    bits = distance(prints[:, None, :1], prints[None]).min(axis=2)  # whole images with all crops
    keys = keys_of([label for _, label in rendered])
    different = keys[:, None] != keys[None]
    assert different.sum() > 39_000
    close = np.argwhere(different & (bits <= MAX_DISTANCE))
    assert len(close) < 40
    assert all(
        similarity(rendered[first][0], rendered[second][0]) < MIN_SIMILARITY
        for first, second in close
    )


def test_the_same_word_drawn_anew_is_another_image(rendered: list[tuple[Image.Image, str]]) -> None:
    renderer = RenderedWords(charset=CHARSET_94, max_length=12, seed=11).renderer
    again = [
        at_least_high(renderer(label, np.random.default_rng([1, spot])), 30)
        for spot, (_, label) in enumerate(rendered)
    ]
    prints = np.array(
        [image_prints(image) for image in [*(image for image, _ in rendered), *again]]
    )
    pairs = near_pairs(prints, np.tile(keys_of([label for _, label in rendered]), 2))
    images = [*(image for image, _ in rendered), *again]
    taken_for_one = [
        pair
        for pair in pairs.tolist()
        if similarity(images[pair[0]], images[pair[1]]) >= MIN_SIMILARITY
    ]
    assert len(taken_for_one) <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (4, 4), (300, 2), (5, 3)])
def test_tiny_images_have_prints(size: tuple[int, int]) -> None:
    image = Image.effect_noise(size, 60).convert("RGB")
    prints = image_prints(image)
    assert (prints.shape, prints.dtype) == (PRINTS_SHAPE, np.dtype(np.uint64))
    assert similarity(image, image) == (pytest.approx(1) if np.ptp(np.asarray(image)) else 0)


def test_flat_images_have_no_pattern() -> None:
    prints = {
        image_prints(Image.new("RGB", (50, 20), (gray,) * 3)).tobytes() for gray in (0, 77, 255)
    }
    assert prints == {bytes(np.zeros(PRINTS_SHAPE, dtype=np.uint64).tobytes())}


def test_labels_agree_but_for_case_accents_and_punctuation() -> None:
    assert label_key("Café!") == label_key("CAFE") == label_key("cafe\u0301")
    assert label_key("cafe") != label_key("cafes")
    assert label_key("$") != label_key("%")  # of signs alone nothing may be left out
    assert label_key("") == label_key("")
    assert label_key("日本") != label_key("日木")


def test_pixel_hash_tells_sizes_apart() -> None:
    assert pixel_hash(Image.new("RGB", (6, 2))) != pixel_hash(Image.new("RGB", (2, 6)))
    assert pixel_hash(Image.new("RGB", (6, 2))) == pixel_hash(Image.new("RGB", (6, 2)))


def flip(prints: np.ndarray, bits: list[int]) -> np.ndarray:
    """Of every print of an image the same bits."""
    mask = np.zeros(2, dtype=np.uint64)
    for bit in bits:
        mask[bit // 64] |= np.uint64(1 << (63 - bit % 64))
    return prints ^ mask


def test_distance_counts_bits() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2**64, (2, 500, 2), dtype=np.uint64)
    expected = [
        sum(bin(int(x) ^ int(y)).count("1") for x, y in zip(*pair, strict=True))
        for pair in zip(first, second, strict=True)
    ]
    assert distance(first, second).tolist() == expected
    zero = np.zeros(2, dtype=np.uint64)
    assert int(distance(zero, flip(zero, [0, 63, 64, 127]))) == 4


@pytest.mark.parametrize("seed", range(3))
def test_small_groups_are_searched_completely(seed: int) -> None:
    """As comparing all with all: three images a label, with differences spread over all bits."""
    rng = np.random.default_rng(seed)
    prints, keys = [], []
    for group in range(100):
        base = rng.integers(0, 2**64, PRINTS_SHAPE, dtype=np.uint64)
        for _ in range(3):
            prints.append(flip(base, rng.choice(128, rng.integers(0, 30), replace=False).tolist()))
            keys.append(group)
    order = rng.permutation(300)
    shuffled, labels = np.array(prints)[order], np.array(keys, dtype=np.uint64)[order]
    expected = {}
    for first in range(300):
        for second in range(first + 1, 300):
            if labels[first] == labels[second]:
                bits = min(
                    int(distance(shuffled[first, :1], shuffled[second]).min()),
                    int(distance(shuffled[second, :1], shuffled[first]).min()),
                )
                if bits <= MAX_DISTANCE:
                    expected[first, second] = bits
    found = {(first, second): bits for first, second, bits in near_pairs(shuffled, labels).tolist()}
    assert 30 < len(expected) < 300
    assert found == expected


def test_planted_pair_is_found_in_a_large_group() -> None:
    rng = np.random.default_rng(5)
    prints = rng.integers(0, 2**64, (20_000, *PRINTS_SHAPE), dtype=np.uint64)
    for spot in range(50):
        prints[10_000 + spot] = flip(prints[spot], rng.choice(128, 4, replace=False).tolist())
    pairs = near_pairs(prints, np.zeros(20_000, dtype=np.uint64))
    assert [tuple(pair[:2]) for pair in pairs.tolist()] == [
        (spot, 10_000 + spot) for spot in range(50)
    ]


def test_only_pairs_across_sides_are_wanted() -> None:
    prints = np.zeros((4, *PRINTS_SHAPE), dtype=np.uint64)
    keys, sides = np.array([1, 1, 1, 2], dtype=np.uint64), np.array([False, False, True, True])
    assert near_pairs(prints, keys, sides=sides)[:, :2].tolist() == [[0, 2], [1, 2]]
    assert near_pairs(prints, keys)[:, :2].tolist() == [[0, 1], [0, 2], [1, 2]]
    assert near_pairs(prints[:0], keys[:0]).shape == (0, 3)


def test_first_with_same() -> None:
    assert first_with_same(np.array([5, 3, 5, 3, 9])).tolist() == [0, 1, 0, 1, 4]


def test_the_first_copy_stays_and_a_chain_is_not_dropped_as_a_whole() -> None:
    pixels = np.array([7, 8, 9, 7, 0, 0], dtype=np.uint64)
    chain = np.array([(0, 1, 0.99), (1, 2, 0.99)], dtype=PAIR)  # 2 is near 1 only, which goes
    assert repeats_to_drop(pixels, chain).tolist() == [False, True, False, True, False, False]
