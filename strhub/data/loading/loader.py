"""The order in which words are drawn in training, as a function of seed, epoch and batch alone.

A sampled word is a pair (index, seed): the second seeds its augmentation. So a run that was stopped
after any batch goes on exactly as it would have, whatever the number of worker processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler

from strhub.data.loading.restarting import RestartingLoader
from strhub.data.sources.dataset import Word

Key = tuple[int, int]


class Batch(NamedTuple):
    """Words of one step.

    images: (B, 3, H, W), normalized; labels: B texts; unreadable: records met that could not be
        read;
    lost_labels: labels of words whose image could not be read and was not replaced (evaluation
        only).
    """

    images: torch.Tensor
    labels: list[str]
    unreadable: int = 0
    lost_labels: tuple[str, ...] = ()


def collate(words: Sequence[Word]) -> Batch:
    """Stack the readable words."""
    readable = [word for word in words if word.image is not None]
    images = torch.stack([word.image for word in readable]) if readable else torch.empty(0)
    lost = tuple(word.label for word in words if word.image is None)
    return Batch(
        images, [word.label for word in readable], sum(word.unreadable for word in words), lost
    )


class SeededBatches(Sampler[list[Key]]):
    """Batches of one epoch, shuffled by (seed, epoch), dealt out to devices; it can start at any
    batch.

    The words that do not fill a batch on every device are left to other epochs, in which the order
    is another.
    """

    def __init__(
        self,
        size: int,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        devices: int = 1,
        shuffle: bool = True,
    ) -> None:
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.rank, self.devices, self.shuffle = rank, devices, shuffle
        self.epoch, self.start = 0, 0
        if size < devices:
            raise ValueError(f"{size} training words cannot be shared by {devices} devices")

    def __len__(self) -> int:
        return max(1, self.size // (self.batch_size * self.devices))

    def seek(self, epoch: int, batch: int) -> None:
        """Go to a batch of an epoch; iterating starts there."""
        self.epoch, self.start = epoch, batch

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of an epoch; if it is this one already, stay at its batch."""
        if epoch != self.epoch:
            self.seek(epoch, 0)

    @property
    def sampler(self) -> SeededBatches:
        """Itself: where Lightning looks for `set_epoch`."""
        return self

    def __iter__(self) -> Iterator[list[Key]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.size) if self.shuffle else np.arange(self.size)
        seed = int(rng.integers(2**62))
        per_batch = min(self.batch_size, self.size // self.devices)
        for batch in range(self.start, len(self)):
            first = (batch * self.devices + self.rank) * per_batch
            yield [(int(index), seed) for index in order[first : first + per_batch]]


class TrainLoader(RestartingLoader):
    """A loader over `SeededBatches`. Its place is part of the run's own progress, so it has no
    state to save.
    """

    def state_dict(self) -> dict[str, Any]:
        """Tell Lightning that this loader can resume in the middle of an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to do: `SceneTextDataModule.train_dataloader` seeks to the batch that the run has
        reached.
        """
