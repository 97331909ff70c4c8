"""Transforms: which augmentation a name means, and that images come out alike one by one and many
at once.
"""

import warnings

import numpy as np
import pytest
import torch
from numpy.random import Generator, default_rng
from PIL import Image

from strhub.data.augment.operations import RandAugment
from strhub.data.augment.scene import SceneAugment
from strhub.data.transforms import WordTransform, augmentation
from strhub.images.preprocess import NORMALIZATIONS, image_to_resized_array


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def flip(image: Image.Image, rng: Generator) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_180)


def test_names_of_augmentations() -> None:
    assert augmentation(None) is augmentation(False) is None
    assert augmentation(True) == augmentation("default") == RandAugment()
    assert augmentation("strong") == SceneAugment()
    assert augmentation(flip) is flip
    with pytest.raises(
        ValueError, match=r"no augmentation 'weak'; known: true or default, strong, false"
    ):
        augmentation("weak")


@pytest.mark.parametrize("augment", [None, "default", "strong", flip])
@pytest.mark.parametrize("normalize", list(NORMALIZATIONS))
@pytest.mark.parametrize("rotation", [0, 90])
def test_many_at_once_are_what_each_is_alone(
    augment: object, normalize: str, rotation: int
) -> None:
    transform = WordTransform((16, 40), augment=augment, normalize=normalize, rotation=rotation)
    originals = [noise(10 + 9 * seed, 8 + 5 * seed, seed) for seed in range(12)]
    alone = [transform(original, default_rng(seed)) for seed, original in enumerate(originals)]
    together = transform.batch(originals, [default_rng(seed) for seed in range(12)])
    assert together.shape == (12, 3, 16, 40)
    assert together.dtype == torch.float32
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("normalize", list(NORMALIZATIONS))
def test_fast_resizing_is_the_readers_but_for_rounding(normalize: str) -> None:
    plain = WordTransform((32, 128), normalize=normalize)
    fast = WordTransform((32, 128), normalize=normalize, augment=RandAugment(operations=0))
    for width, height in ((13, 24), (128, 32), (300, 64), (90, 20), (1, 1)):
        # Not noise: words are smooth in comparison.
        original = noise(max(1, width // 6), max(1, height // 6)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        gap = (plain(original) - fast(original)).abs() * min(NORMALIZATIONS[normalize].std) * 255
        assert gap.mean() < 0.2  # gray levels
        assert gap.quantile(0.99) < 1.5


def test_reading_gives_the_recorded_floats() -> None:
    """A product and a difference in single precision, to the last bit: recorded numbers elsewhere
    depend on it.
    """
    original, normalize = noise(50, 20), NORMALIZATIONS["clip"]
    resized = np.asarray(original.resize((128, 32), Image.Resampling.BICUBIC), dtype=np.float32)
    mean, std = (np.asarray(values, dtype=np.float32) for values in normalize)
    expected = (resized * (np.float32(1 / 255) / std) - mean / std).transpose(2, 0, 1)
    found = image_to_resized_array(original, (32, 128), normalize)
    assert found.flags.c_contiguous
    assert found.dtype == np.float32
    assert (found == expected).all()


def test_without_generator_differs_each_time() -> None:
    transform, original = WordTransform((8, 16), augment="strong"), noise(30, 12)
    assert len({transform(original).numpy().tobytes() for _ in range(20)}) > 5


def test_image_is_left_as_it_is_and_torch_does_not_warn() -> None:
    original = noise(30, 12)
    before = original.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("default", "strong"):
            for seed in range(30):
                WordTransform((8, 16), augment=name)(original, default_rng(seed))
    assert original.tobytes() == before
