"""Several training sets in fixed shares: each word comes from one of them, by chance.

In: data sets whose items are pure functions of (index, seed), with weights. Out: one such data set.
A small set can be seen more often, or a large one less often, than its size says; photographs and
rendered words mix this way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from torch.utils.data import Dataset

from strhub.data.sources.dataset import Word


class SeededDataset(Protocol):
    """A data set whose items are pure functions of (index, seed)."""

    def __len__(self) -> int: ...

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Word]: ...


class Mixture(Dataset[Word]):
    """`size` words an epoch, others in every epoch.

    sets: by name; shares: how often each is drawn from, by the same names, at least 0, in any unit.
    """

    def __init__(
        self, sets: Mapping[str, SeededDataset], fractions: Mapping[str, float], *, size: int
    ) -> None:
        if set(sets) != set(fractions):
            raise ValueError(
                f"mixture: there are the sets {sorted(sets)}, but fractions of {sorted(fractions)}"
            )
        weights = np.array([fractions[name] for name in sets], dtype=np.float64)
        if (
            not len(weights)
            or not np.isfinite(weights).all()
            or weights.min() < 0
            or weights.sum() == 0
        ):
            raise ValueError(
                f"mixture: fractions must be at least 0 and not all 0, not {dict(fractions)}"
            )
        if size < 1:
            raise ValueError(f"mixture: an epoch must have at least 1 word, not {size}")
        self.sets = list(sets.values())
        self.size = size
        self._ends = np.cumsum(weights / weights.sum())

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> Word:
        """Return the word for a key, as `SeededBatches` gives it: (index, seed)."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Word]:
        """Return the words for many keys: each set is asked once, for all of its own."""
        asked: dict[int, list[tuple[int, tuple[int, int]]]] = {}  # by set: place here, key there
        for position, (index, seed) in enumerate(keys):
            rng = np.random.default_rng([seed, index])
            chosen = min(
                int(np.searchsorted(self._ends, rng.random(), side="right")), len(self.sets) - 1
            )
            key = int(rng.integers(len(self.sets[chosen]))), int(rng.integers(2**62))
            asked.setdefault(chosen, []).append((position, key))
        words: dict[int, Word] = {}
        for chosen, positions in asked.items():
            found = self.sets[chosen].__getitems__([key for _, key in positions])
            words |= {position: word for (position, _), word in zip(positions, found, strict=True)}
        return [words[position] for position in range(len(keys))]
