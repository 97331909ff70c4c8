"""Use each prepared image several times, for a device that trains faster than words can be rendered
or decoded.

Data echoing (Choi et al. 2020, "Faster Neural Network Training with Data Echoing"): every fresh
batch is followed by others that are dealt anew from the last few. With distortions on the device no
image is seen twice as it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from strhub.data.loading.loader import Batch, SeededBatches, TrainingLoader

WINDOW = 8  # fresh batches that are dealt from


class EchoLoader:
    """The batches of a loader, each followed by `echo - 1` others of as many words from the last
    `WINDOW` batches.

    Like the loader's own they are a function of seed, epoch and batch alone: going on in the middle
    of an epoch, at batch `start`, prepares again what the window held. The window begins empty in
    every epoch.
    """

    def __init__(
        self, loader: TrainingLoader, batches: SeededBatches, *, echo: int, start: int = 0
    ) -> None:
        if echo < 1:
            raise ValueError(f"data.echo is {echo}: each image must be used at least once")
        self.loader, self.batches, self.echo = loader, batches, echo
        self._start = start
        batches.seek(batches.epoch, self._first_needed(start))

    def _first_needed(self, start: int) -> int:
        """Return the first fresh batch that is needed to go on at batch `start`."""
        return max(0, start // self.echo - WINDOW + 1)

    @property
    def sampler(self) -> EchoLoader:
        """Return the loader itself, where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of an epoch; if it is this one already, stay at its batch."""
        if epoch != self.batches.epoch:
            self._start = 0
            self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches) * self.echo

    def __iter__(self) -> Iterator[Batch]:
        window: deque[Batch] = deque(maxlen=WINDOW)
        first = self.batches.start
        for number, fresh in enumerate(self.loader, start=first):
            window.append(fresh)
            for repeat in range(self.echo):
                position = number * self.echo + repeat
                if position >= self._start:
                    yield (
                        fresh
                        if repeat == 0
                        else self._sample(list(window), position, len(fresh.labels))
                    )

    def _sample(self, window: list[Batch], position: int, count: int) -> Batch:
        """Draw `count` different words of the window at random."""
        rng = np.random.default_rng(
            [self.batches.seed, self.batches.epoch, position, self.batches.rank]
        )
        owners = np.repeat(np.arange(len(window)), [len(batch.labels) for batch in window])
        rows = np.concatenate([np.arange(len(batch.labels)) for batch in window])
        chosen = rng.choice(len(rows), size=count, replace=False)
        images = torch.stack([window[owners[index]].images[rows[index]] for index in chosen])
        if window[-1].images.is_pinned():
            images = images.pin_memory()
        return Batch(images, [window[owners[index]].labels[rows[index]] for index in chosen])

    def state_dict(self) -> dict[str, Any]:
        """Tell Lightning that this loader can resume in the middle of an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: the loader is made at the batch that the run has reached."""
