"""Distortions of whole batches."""

from collections.abc import Callable

import pytest
import torch

from strhub.data.augment.device_augment import BatchAugmentation

pytestmark = pytest.mark.numeric


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Smooth images (8, 3, 32, 128) with some structure, in [-1, 1]."""
    rows, columns = torch.meshgrid(
        torch.linspace(0, 6, 32), torch.linspace(0, 25, 128), indexing="ij"
    )
    phases = torch.arange(8.0)[:, None, None, None] + torch.arange(3.0)[None, :, None, None]
    return torch.sin(columns + phases) * torch.cos(rows)


def test_changes_some_images_and_keeps_size_and_range(images: torch.Tensor) -> None:
    before = images.clone()
    after = BatchAugmentation()(images, generator())
    assert torch.equal(images, before)
    assert after.shape == images.shape
    assert after.isfinite().all()
    assert after.abs().max() < 4
    different = [not torch.equal(a, b) for a, b in zip(after, images, strict=True)]
    assert sum(different) >= 5, "each of four ways has an even chance: 15 of 16 images change"


def test_the_seed_decides(images: torch.Tensor) -> None:
    augment = BatchAugmentation()
    assert torch.equal(augment(images, generator(1)), augment(images, generator(1)))
    assert not torch.equal(augment(images, generator(1)), augment(images, generator(2)))


@pytest.mark.parametrize("options", [{"strength": 0.0}, {"probability": 0.0}])
def test_nothing_asked_nothing_changed(images: torch.Tensor, options: dict[str, float]) -> None:
    torch.testing.assert_close(
        BatchAugmentation(**options)(images, generator()), images, atol=2e-5, rtol=0
    )


def test_more_strength_changes_more(images: torch.Tensor) -> None:
    def change(strength: float) -> float:
        return float(
            (BatchAugmentation(strength=strength)(images, generator()) - images).abs().mean()
        )

    assert 0 < change(0.2) < change(0.5) < change(1.0)


def test_what_a_image_becomes_depends_on_no_other(images: torch.Tensor) -> None:
    other = images.clone()
    other[1:] = 0
    augment = BatchAugmentation()
    assert torch.equal(augment(images, generator())[0], augment(other, generator())[0])


def test_half_precision_and_odd_numbers(images: torch.Tensor) -> None:
    augment = BatchAugmentation()
    assert augment(images.bfloat16(), generator()).dtype == torch.bfloat16
    assert augment(images[:1], generator()).shape == (1, 3, 32, 128)
    assert augment(images[:0], generator()).shape == (0, 3, 32, 128)


@pytest.mark.parametrize(
    "make", [lambda: BatchAugmentation(strength=1.5), lambda: BatchAugmentation(probability=-1)]
)
def test_what_is_out_of_range_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        make()
