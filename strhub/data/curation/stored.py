"""Records as they are stored: in LMDB folders, in folders of labeled images, in tar shards.

In: a path. Out: records by their numbers, from 1; images as their files, labels as their bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from strhub.data.sources.annotations import Annotation, Annotations
from strhub.data.sources.lmdb import DamagedLmdb, LmdbFile, image_key, soft_key
from strhub.data.sources.lmdb import label_key as stored_label_key
from strhub.data.sources.shard_names import TAR
from strhub.data.sources.tar import TruncatedShard, read_words
from strhub.images.open import MAX_BYTES
from strhub.utils.regular_files import read_regular

__all__ = ["Store", "Stored", "StoredFolder", "StoredShard", "StoredWords", "open_stored"]

RECORDS_A_JOB: Final = 100


class Stored(NamedTuple):
    """A record as it is stored; None for what there is not."""

    number: int
    encoded: bytes | None
    label: bytes | None
    error: str = ""
    """Why the file could not be read at this place, if so."""
    soft: bytes | None = None
    """The soft label, see `strhub.data.sources.soft_labels`; of LMDB alone."""

    @property
    def text(self) -> str | None:
        """Return the label; '' if there is none, None if it is not UTF-8."""
        try:
            return (self.label or b"").decode("utf-8")
        except UnicodeDecodeError:
            return None


class StoredWords:
    """The records of one LMDB folder, numbered from 1.

    Attributes:
        count: how many there are. remark: what is wrong with the number that is stored for it, or
            ''.

    Raises:
        ValueError: if it can't be read as LMDB or its number of samples is of no use.
    """

    per_job = RECORDS_A_JOB

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = LmdbFile(self.path)
        self.count, self.remark = self._file.count()

    def records(self, numbers: Iterable[int], *, read_images: bool = True) -> Iterator[Stored]:
        """Yield the records of these numbers, in their order; if so asked without their images,
        which takes far less.
        """
        for number in numbers:
            try:
                label = self._file.get(stored_label_key(number))
                encoded = self._file.get(image_key(number)) if read_images else None
                soft = self._file.get(soft_key(number)) if read_images else None
            except (DamagedLmdb, OSError) as error:
                yield Stored(number, None, None, f"the LMDB file is damaged: {error}")
            else:
                yield Stored(number, encoded, label, soft=soft)


class Store(Protocol):
    """Records by number: see `StoredWords`. per_job: how many are best read in one go."""

    path: Path
    count: int
    remark: str

    @property
    def per_job(self) -> int: ...

    def records(self, numbers: Iterable[int], *, read_images: bool = True) -> Iterator[Stored]: ...


class StoredFolder:
    """The images that an annotation file names, numbered from 1 as it names them.

    Raises:
        ValueError: if it cannot be read.
    """

    per_job = RECORDS_A_JOB

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._annotations = Annotations(self.path)
        self._listed: list[Annotation] = list(self._annotations)
        self.count = len(self._listed)
        problems = self._annotations.problems
        self.remark = (
            f"{len(problems)} lines are left out, such as {problems[0]}" if problems else ""
        )

    def records(self, numbers: Iterable[int], *, read_images: bool = True) -> Iterator[Stored]:
        """Yield the records of these numbers, in their order."""
        for number in numbers:
            annotation = self._listed[number - 1]
            label = annotation.label.encode("utf-8", "surrogateescape")
            encoded, error = None, ""
            if read_images:
                try:
                    encoded = read_regular(self._annotations.path(annotation), max_bytes=MAX_BYTES)
                except (OSError, ValueError) as problem:
                    error = f"{annotation.image}: {getattr(problem, 'strerror', None) or problem}"
            yield Stored(number, encoded, label, error)


class StoredShard:
    """The samples of a tar, numbered from 1; each call reads it from its start, as tars are read.

    Raises:
        ValueError: if nothing of it can be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.count, self.remark = 0, ""
        try:
            for _ in read_words(str(self.path)):
                self.count += 1
        except TruncatedShard as error:
            if not self.count:
                raise
            self.remark = str(error)

    @property
    def per_job(self) -> int:
        """Return all of them: a part would have to be read from the start as well."""
        return max(1, self.count)

    def records(self, numbers: Iterable[int], *, read_images: bool = True) -> Iterator[Stored]:
        """Yield the records of these numbers, which must go up."""
        wanted = iter(numbers)
        number = next(wanted, None)
        words = enumerate(read_words(str(self.path)), 1)
        while number is not None:
            try:
                index, word = next(words)
            except (StopIteration, TruncatedShard):
                return
            if index == number:
                no_label = word.problem in ("no label", "undecodable label")
                label = None if no_label else word.label.encode("utf-8", "surrogateescape")
                encoded = word.encoded if read_images and word.encoded else None
                yield Stored(number, encoded, label, word.problem)
                number = next(wanted, None)


def open_stored(path: str | Path) -> Store:
    """Return the records at a path: an LMDB folder, a tar, or an annotation file.

    Raises:
        ValueError: if it cannot be read.
    """
    path = Path(path)
    return StoredWords(path) if path.is_dir() else _opened(path)


@lru_cache(maxsize=4)
def _opened(path: Path) -> Store:
    return StoredShard(path) if path.name.endswith(TAR) else StoredFolder(path)
