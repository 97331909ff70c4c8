"""Some words of the training sets, held out for validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL.Image import Image

from strhub.data.sources.labeled import LabeledWords
from strhub.data.sources.soft_labels import SoftLabel

__all__ = ["Part", "split_sources"]


class Part(LabeledWords):
    """Some records of a source of words, by their indices; itself a source."""

    def __init__(
        self, source: LabeledWords, indices: npt.NDArray[np.int64], dropped: Counter[str]
    ) -> None:
        self.source, self.indices, self.dropped = source, indices, dropped

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> list[str]:  # type: ignore[override]  # made when asked for
        """Return the labels, in order."""
        return [self.source.labels[index] for index in self.indices]

    def read(self, index: int) -> tuple[Image, str]:
        """Return image and label of a record; the source's errors are raised."""
        image, label = self.source.read(int(self.indices[index]))
        return image, label

    def soft_label(self, index: int) -> SoftLabel:
        """Return the record's soft label, if the source has one."""
        return self.source.soft_label(int(self.indices[index]))


def split_sources(
    sources: Sequence[LabeledWords], fraction: float
) -> tuple[list[Part], list[Part]]:
    """Return the sources without, and with only, the words that are held out: that fraction of
    each.

    Which ones depends on a source's size alone, so that every run, device and seed holds the same
    ones out. Raises `ValueError` if there are too few words for that share.
    """
    training, held = [], []
    for source in sources:
        order = np.random.default_rng(0).permutation(len(source))
        count = round(fraction * len(source))
        held.append(Part(source, np.sort(order[:count]), Counter()))
        training.append(Part(source, np.sort(order[count:]), source.dropped))
    if not sum(map(len, held)) or not sum(map(len, training)):
        total = sum(map(len, sources))
        raise ValueError(
            f"data.val_fraction is {fraction}: of {total} training words that leaves none on one "
            "side"
        )
    return [part for part in training if len(part)], [part for part in held if len(part)]
