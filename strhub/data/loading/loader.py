"""Batches, what a training loop may expect of them, and their order: a function of seed, epoch and
batch alone.

A sampled word is a pair (index, seed): the second seeds its augmentation. So a run that was stopped
after any batch goes on exactly as it would have, whatever the number of worker processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch.utils.data import Sampler

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


class Resumable(Protocol):
    """What gives the words of an epoch from any batch of it on: a sampler of batches, or a stream.

    What it gives depends on its options, the epoch and the batch alone.
    """

    @property
    def position(self) -> tuple[int, int]:
        """Return the epoch, and the batch of it, that iteration starts with."""
        ...

    def seek(self, epoch: int, batch: int) -> None:
        """Go to a batch of an epoch."""
        ...

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of an epoch; if it is this one already, stay at its batch."""
        ...


class TrainingLoader(Protocol):
    """What the training loop, Lightning's, takes from a data module: the batches of an epoch, from
    the one on that the run has reached.

    sampler: where Lightning looks for `set_epoch`, which it calls before each epoch. The state is
    empty: the place is part of the run's own progress, and having a state tells Lightning that the
    loader can resume in the middle of an epoch.
    """

    @property
    def sampler(self) -> Any: ...

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Batch]: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Batches(Sampler[Any]):
    """Batches of `size` words, dealt out to devices, that can start at any of them: `Resumable`."""

    def __init__(self, size: int, *, batch_size: int, rank: int, devices: int) -> None:
        self.size, self.batch_size = size, batch_size
        self.rank, self.devices = rank, devices
        self.epoch, self.start = 0, 0

    @property
    def position(self) -> tuple[int, int]:
        """Return the epoch, and the batch of it, that iteration starts with."""
        return self.epoch, self.start

    def seek(self, epoch: int, batch: int) -> None:
        """Go to a batch of an epoch; iterating starts there."""
        self.epoch, self.start = epoch, batch

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of an epoch; if it is this one already, stay at its batch."""
        if epoch != self.epoch:
            self.seek(epoch, 0)


class SeededBatches(Batches):
    """Batches of one epoch, shuffled by (seed, epoch), dealt out to devices; it can start at any
    batch.

    The words that do not fill a batch on every device are left to other epochs, in which the order
    is another. pool: so many batches come as one, from the multiple of it on that the start belongs
    to, for a loader that deals their words anew.
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
        pool: int = 1,
    ) -> None:
        super().__init__(size, batch_size=batch_size, rank=rank, devices=devices)
        self.seed, self.shuffle, self.pool = seed, shuffle, pool
        if size < devices:
            raise ValueError(f"{size} training words cannot be distributed over {devices} devices")

    def __len__(self) -> int:
        return max(1, self.size // (self.batch_size * self.devices))

    def __iter__(self) -> Iterator[list[Key]]:
        batches = self._from(self.start - self.start % self.pool)
        while pool := list(islice(batches, self.pool)):
            yield [key for batch in pool for key in batch]

    def _from(self, start: int) -> Iterator[list[Key]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.size) if self.shuffle else np.arange(self.size)
        seed = int(rng.integers(2**62))
        per_batch = min(self.batch_size, self.size // self.devices)
        for batch in range(start, len(self)):
            first = (batch * self.devices + self.rank) * per_batch
            yield [(int(index), seed) for index in order[first : first + per_batch]]
