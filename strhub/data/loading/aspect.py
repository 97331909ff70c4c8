"""Images of words that keep their aspect: one height, each as wide as it needs to be (SVTRv2's
multi-size resizing).

In: images of any size. Out: tensors of one height, and batches of words of like widths, padded on
    the right with NaN.
NaN is no color: a network tells by it what is padding, and one that cannot handle padding does not
mistake it for an image. So nothing else has to be passed along with the images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from strhub.data.loading.loader import Batch, SeededBatches, collate
from strhub.data.loading.restarting import RestartingLoader
from strhub.data.sources.dataset import Word
from strhub.data.transforms import WordTransform
from strhub.images.padding import pad
from strhub.images.preprocess import COLUMN, image_to_kept_array

POOL = 16  # batches that are drawn together and sorted by width


def collate_kept(words: Sequence[Word]) -> Batch:
    """Return a batch of the readable words, padded to the widest."""
    readable = [word for word in words if word.image is not None]
    rest = collate([word._replace(image=None) for word in words])
    images = pad([word.image for word in readable]) if readable else torch.empty(0)
    lost = tuple(word.label for word in words if word.image is None)
    return Batch(images, [word.label for word in readable], rest.unreadable, lost)


class AspectTransform(WordTransform):
    """Image to tensor as `WordTransform` does it, but for the width, which the image has after its
    augmentation.

    img_size: [height, greatest width], multiples of 4.
    """

    def __init__(self, img_size: Sequence[int], **options: Any) -> None:
        super().__init__(img_size, **options)
        if (
            self.img_size[0] % COLUMN
            or self.img_size[1] % COLUMN
            or self.img_size[0] > self.img_size[1]
        ):
            raise ValueError(
                "img_size is [height, greatest width] when the aspect is kept, multiples of "
                f"{COLUMN} and not higher "
                f"than wide; not {list(self.img_size)}"
            )

    def __call__(self, source: Image.Image, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Map an image to (3, H, W). `rng` is what the augmentation draws from; by default fresh
        entropy.
        """
        source = self._upright(source)
        if self.augment is not None:
            source = self.augment(source, rng if rng is not None else np.random.default_rng())
        return torch.from_numpy(image_to_kept_array(source, self.img_size, self.normalize))

    def batch(
        self, sources: Sequence[Image.Image], rngs: Sequence[np.random.Generator]
    ) -> torch.Tensor:
        """Map B images with a generator each to (B, 3, H, W), padded to the widest."""
        return pad([self(source, rng) for source, rng in zip(sources, rngs, strict=True)])


class SortedPool:
    """Words of a pool to batches, from the narrowest to the widest. A class, so that spawned
    workers can have it.
    """

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def __call__(self, words: Sequence[Word]) -> list[Batch]:
        ordered = sorted(
            map(_by_itself, words),
            key=lambda word: 0 if word.image is None else int(word.image.shape[-1]),
        )
        return [
            collate_kept(ordered[at : at + self.batch_size])
            for at in range(0, len(words), self.batch_size)
        ]


class AspectLoader(RestartingLoader):
    """Batches of words of like widths.

    How wide a word is only shows once it is made, so workers make pools of some batches and sort
    them. A function of (seed, epoch, batch) alone, as the order of `SeededBatches`: a run can
    resume from any batch, for which the pool that it belongs to is made anew. On several devices,
    the batches of one step have about the same widths.
    """

    def __init__(
        self, dataset: Dataset[Any], *, batch_sampler: SeededBatches, **options: Any
    ) -> None:
        size = min(batch_sampler.batch_size, batch_sampler.size // batch_sampler.devices)
        if options.get("num_workers"):
            options = {"prefetch_factor": 1, **options}  # pools, not batches
        super().__init__(
            dataset,
            batch_sampler=batch_sampler,
            collate_fn=SortedPool(size),
            pool=batch_sampler.pool,
            **options,
        )
        self.seeded = batch_sampler

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        seed, (epoch, start) = self.seeded.seed, self.seeded.position
        for number, pool in enumerate(self._items(), start // self.pool):
            order = np.random.default_rng([seed, epoch, number]).permutation(len(pool))
            for position, chosen in enumerate(order, number * self.pool):
                if position >= start:
                    yield pool[chosen]


def _by_itself(word: Word) -> Word:
    """Return a word whose image is as wide as it is, without what pads it to those that were
    transformed with it.
    """
    if word.image is None:
        return word
    width = int((~word.image[0, 0].isnan()).sum())
    return word._replace(image=word.image[..., :width])
