"""One data set out of many sources of words, with damaged records replaced or reported.

In: sources (anything with `len()` and `read(index)`, such as `strhub.data.sources.lmdb.LmdbWords`)
    and a transform.
Out: a map-style data set whose items are `Word`s; torch's `DataLoader` takes it as it is, though
nothing here needs torch.

An item is a pure function of its key, `index` or `(index, seed)`: the number of worker processes
and how they are started change nothing. Let the sampler give a new seed each epoch for augmentation
to differ between epochs.
"""

import logging
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from operator import index as as_int
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from numpy.random import Generator, default_rng
from PIL.Image import Image

from strhub.data.sources.labeled import LabeledWords, UnreadableRecord, WordSource
from strhub.data.sources.soft_labels import draw

__all__ = ["UnreadableRecord", "Word", "WordDataset", "WordSource"]

logger = logging.getLogger(__name__)

MAX_WARNINGS: Final = 20
CHUNK: Final = 32  # images held at full size at a time


class Word(NamedTuple):
    """One item of a `WordDataset`."""

    image: Any
    """What the transform returned; None if the record was unreadable and is not to be replaced."""
    label: str
    unreadable: int
    """How many unreadable records were met for this item. Summed over a loader's items, this counts
    exactly, however many worker processes there were."""


class Found(NamedTuple):
    """A word before its transform: `Word`, with the image (None if unreadable) and the generator to
    transform it.
    """

    image: Image | None
    label: str
    unreadable: int
    rng: Generator


class Transform(Protocol):
    """What makes of an RGB image what is trained on; its randomness comes from the generator."""

    def __call__(self, image: Image, rng: Generator, /) -> Any: ...


@runtime_checkable
class TransformsMany(Transform, Protocol):
    """A transform that takes several images at a time, such as `WordTransform`."""

    def batch(self, sources: Sequence[Image], rngs: Sequence[Generator], /) -> Iterable[Any]:
        """Return the images, transformed, with a generator each."""
        ...


def transform_words(found: Sequence[Found], transform: Transform) -> list[Word]:
    """Return the words, transformed together if the transform has a `batch`, else one by one."""
    sources = [(word.image, word.rng) for word in found if word.image is not None]
    if isinstance(transform, TransformsMany) and sources:
        pixels, rngs = zip(*sources, strict=True)
        images = iter(transform.batch(pixels, rngs))
    else:
        images = (transform(image, rng) for image, rng in sources)
    return [
        Word(None if word.image is None else next(images), word.label, word.unreadable)
        for word in found
    ]


class WordDataset:
    """The words of several sources, one after the other.

    Args:
        sources: where the words come from.
        transform: `(image, rng) -> anything`, called with the RGB image; its randomness must come
            from `rng`.
        attempts: how many records are tried for one item, the one asked for included, before the
            data set is given up as damaged.
        replace: for training, an unreadable record is replaced by another, drawn evenly from the
            whole data set. With False, for evaluation, it comes back as `Word(None, label, 1)`:
            swapping it for another word would change what is measured. The caller counts it as a
            wrong reading.
        refuse: words (image, label) that are not wanted, replaced by others like unreadable ones
            but not counted; only where those are replaced.

    Where records are replaced and a label is a soft one (see `strhub.data.sources.soft_labels`), an
    item's label is one of its readings, drawn from the item's own generator.

    An unreadable record is logged as a warning, once per process and data set, and the first 20 of
    them only.

    Raises:
        ValueError: if `attempts` is under 1.
    """

    def __init__(
        self,
        sources: Sequence[WordSource],
        *,
        transform: Transform,
        attempts: int = 100,
        replace: bool = True,
        refuse: Callable[[Image, str], bool] | None = None,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"WordDataset: attempts must be at least 1, not {attempts}")
        self.sources = tuple(sources)
        self.transform = transform
        self.attempts = attempts
        self.replace = replace
        self.refuse = refuse if replace else None
        self._ends = list(accumulate(len(source) for source in self.sources))
        self._warned: set[int] = set()
        self._silent = False

    def __len__(self) -> int:
        """Return how many words all sources have together."""
        return self._ends[-1] if self._ends else 0

    @property
    def dropped(self) -> Counter[str]:
        """Return how many labels the sources left out, by reason; only `LabeledWords` leave any
        out.
        """
        total: Counter[str] = Counter()
        for source in self.sources:
            if isinstance(source, LabeledWords):
                total.update(source.dropped)
        return total

    def __getitem__(self, key: int | tuple[int, int]) -> Word:
        """Return the word for a key, `index` or `(index, seed)`; the former is the latter with a
        seed of 0.

        Args:
            key: `index` is at least 0 and less than `len(self)`, `seed` any number from 0. Together
                they seed the generator for the transform and for the choice of replacements.

        Raises:
            IndexError: if there is no such word.
            ValueError: if `attempts` records in a row were unreadable.
        """
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[int | tuple[int, int]]) -> list[Word]:
        """Return the words for many keys, each as `__getitem__` gives it; torch's loaders ask for a
        batch in this way.

        A transform with a `batch(images, rngs)`, such as `WordTransform`, gets some tens of images
        at a time.
        """
        words: list[Word] = []
        for start in range(0, len(keys), CHUNK):
            found = [self._find(key) for key in keys[start : start + CHUNK]]
            words.extend(transform_words(found, self.transform))
        return words

    def _find(self, key: int | tuple[int, int]) -> Found:
        index, seed = (as_int(part) for part in (key if isinstance(key, tuple) else (key, 0)))
        if not 0 <= index < len(self):
            raise IndexError(f"no word {index}: the data set has {len(self)}, counted from 0")
        rng = default_rng([seed, index])
        unreadable = 0
        last_error: UnreadableRecord | None = None
        for _ in range(self.attempts):
            try:
                image, label = self._read(index)
            except UnreadableRecord as error:
                self._warn(index, error)
                if not self.replace:
                    return Found(None, error.label, 1, rng)
                last_error, unreadable = error, unreadable + 1
            else:
                if self.refuse is None or not self.refuse(image, label):
                    return Found(image, self._drawn(index, label, rng), unreadable, rng)
            index = int(rng.integers(len(self)))
        raise ValueError(
            f"the data set seems damaged: {self.attempts} records in a row were unreadable, the "
            "last one being "
            f"{last_error}. Check its files, or make them again"
            if last_error
            else f"no word of the data set is wanted: {self.attempts} in a row stand on end; set "
            "data.drop_tall=false"
        ) from last_error

    def _read(self, index: int) -> tuple[Image, str]:
        source, own_index = self._located(index)
        return source.read(own_index)

    def _drawn(self, index: int, label: str, rng: Generator) -> str:
        """Return a record's label, or one of the readings that stand for it."""
        source, own_index = self._located(index)
        if not self.replace or not isinstance(source, LabeledWords):
            return label
        readings = source.soft_label(own_index)
        return draw(readings, rng) if readings else label

    def _located(self, index: int) -> tuple[WordSource, int]:
        """Return the source of a record, and its number there."""
        number = bisect_right(self._ends, index)
        start = self._ends[number - 1] if number else 0
        return self.sources[number], index - start

    def _warn(self, index: int, error: UnreadableRecord) -> None:
        if self._silent or index in self._warned:
            return
        if len(self._warned) < MAX_WARNINGS:
            self._warned.add(index)
            logger.warning("unreadable record: %s", error)
        else:
            self._silent = True
            logger.warning(
                "%d unreadable records so far; further ones are counted only", MAX_WARNINGS
            )
