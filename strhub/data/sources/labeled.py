"""What words are read from: sources of images with their labels, by number.

`WordSource` is all that `strhub.data.sources.dataset.WordDataset` needs; those of strhub are
`LabeledWords`, whose labels are known before an image is opened.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from PIL.Image import Image

from strhub.data.sources.soft_labels import SoftLabel
from strhub.errors import DataError
from strhub.images.open import UnreadableImage

__all__ = ["LabeledSource", "LabeledWords", "UnreadableRecord", "WordSource"]


class UnreadableRecord(DataError):
    """A record whose image can't be used. The message says which file, which record and what is
    wrong.

    Attributes:
        label: the record's label, as the source would have returned it.
    """

    def __init__(self, message: str, label: str = "") -> None:
        super().__init__(message, label)
        self.label = label

    def __str__(self) -> str:
        return str(self.args[0])


class WordSource(Protocol):
    """Images of words with their labels, by number. Must be picklable if worker processes are
    spawned.
    """

    def __len__(self) -> int: ...

    def read(self, index: int) -> tuple[Image, str]:
        """Return the RGB image and label of a record, `0 <= index < len(self)`.

        Raises:
            UnreadableRecord: if there is such a record, but its image can't be used.
        """
        ...


class LabeledWords(ABC):
    """A `WordSource` whose labels are known before its images are opened.

    Attributes:
        dropped: how many records were left out, by reason. labels: of the records that were kept.
    """

    dropped: Counter[str]
    labels: Sequence[str]

    def __len__(self) -> int:
        """Return how many records were kept."""
        return len(self.labels)

    @abstractmethod
    def read(self, index: int) -> tuple[Image, str]:
        """See `WordSource`."""

    def soft_label(self, index: int) -> SoftLabel:
        """Return what a teacher reads in a record's image; () if its label is all there is."""
        return ()


class LabeledSource(LabeledWords):
    """The records of a file; their images are read when they are asked for.

    min_image_dim: images with a smaller side, in pixels, count as unreadable.
    """

    labels: list[str]

    def __init__(self, path: Path, min_image_dim: int) -> None:
        self.path = path
        self.min_image_dim = min_image_dim
        self.dropped = Counter()
        self.labels = []

    def read(self, index: int) -> tuple[Image, str]:
        """Return the RGB image and label of a record, `0 <= index < len(self)`.

        Raises:
            IndexError: if there is no such record.
            UnreadableRecord: if its image is missing, damaged, under `min_image_dim` or over 64
                megapixels.
        """
        if not 0 <= index < len(self):
            raise IndexError(
                f"no record {index} in {self.path}: it has {len(self)}, counted from 0"
            )
        try:
            image = self._open(index)
            if min(image.size) < self.min_image_dim:
                size = f"{image.width}x{image.height}"
                raise UnreadableImage(
                    f"{size} pixels are under the minimum side of {self.min_image_dim}"
                )
        except UnreadableImage as error:
            raise UnreadableRecord(f"{self._where(index)}: {error}", self.labels[index]) from error
        return image, self.labels[index]

    @abstractmethod
    def _open(self, index: int) -> Image:
        """Return the RGB image of a record. `UnreadableImage` says why it cannot be read."""

    @abstractmethod
    def _where(self, index: int) -> str:
        """Return which record of which file it is, for messages."""
