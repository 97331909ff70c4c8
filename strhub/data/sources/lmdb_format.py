"""The keys under which an LMDB holds words, in the layout of the field.

`num-samples` (a decimal number), `image-000000001` (an encoded image) and `label-000000001`
(UTF-8), counted from 1. Ours alone is `soft-000000001`, which a record need not have: see
`strhub.data.sources.soft_labels`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from strhub.data.sources.lmdb_layout import DATA_FILE, DamagedLmdb
from strhub.data.sources.lmdb_pages import LmdbPages

__all__ = [
    "DATA_FILE",
    "LABEL_PREFIX",
    "MAX_SAMPLES",
    "NUM_SAMPLES",
    "SOFT_PREFIX",
    "DamagedLmdb",
    "LmdbFile",
    "holds_lmdb",
    "image_key",
    "is_lmdb",
    "label_key",
    "soft_key",
    "status_of",
]

NUM_SAMPLES: Final = b"num-samples"
LABEL_PREFIX: Final = b"label-"
SOFT_PREFIX: Final = b"soft-"
MAX_SAMPLES: Final = 999_999_999  # what nine digits can number
MISSING_RECORDS: Final = 1000  # at most this many more than there are entries are accepted


def image_key(number: int) -> bytes:
    """Return the key of a record's image; `number` counts from 1."""
    return b"image-%09d" % number


def label_key(number: int) -> bytes:
    """Return the key of a record's label; `number` counts from 1."""
    return LABEL_PREFIX + b"%09d" % number


def soft_key(number: int) -> bytes:
    """Return the key of a record's soft label; `number` counts from 1."""
    return SOFT_PREFIX + b"%09d" % number


def is_lmdb(folder: Path) -> bool:
    """Return whether a folder holds an LMDB."""
    return (folder / DATA_FILE).exists()


def status_of(folder: Path) -> tuple[int, int]:
    """Return size and time of change, in bytes and nanoseconds, of the LMDB in a folder."""
    found = (folder / DATA_FILE).stat()
    return found.st_size, found.st_mtime_ns


def holds_lmdb(names: Iterable[str]) -> bool:
    """Return whether a folder with files of these names holds an LMDB."""
    return DATA_FILE in names


class LmdbFile(LmdbPages):
    """One LMDB folder of words, open for reading; threads and forked processes may share it."""

    def count(self) -> tuple[int, str]:
        """Return how many records `num-samples` says there are, and what is wrong with that number,
        or ''.

        A number that the file is too small for is cut to what it can hold.

        If it is on a damaged page, the highest number of a label is taken.

        Raises:
            ValueError: if it is missing or no number.
        """
        try:
            value = self.get(NUM_SAMPLES)
        except (DamagedLmdb, OSError) as error:
            numbers = [
                int(key[len(LABEL_PREFIX) :])
                for key, _ in self.items(LABEL_PREFIX)
                if key[6:].isdigit()
            ]
            if not numbers:
                raise self.unusable(str(error)) from error
            return min(
                max(numbers), MAX_SAMPLES
            ), f"num-samples can't be read ({error}): the labels were counted"
        digits = b"" if value is None else value.rstrip(b" \r\n\0")
        if not digits.isdigit() or len(digits) >= 20 or int(digits) > MAX_SAMPLES:
            found = "there is no such key" if value is None else f"it is {value[:40]!r}"
            raise ValueError(
                f"{self.file}: num-samples must be a whole number from 0 to {MAX_SAMPLES}, but "
                f"{found}. If this is a "
                "data set of word images, make it again, for example with "
                "strhub.data.sources.lmdb.write_lmdb"
            )
        count, most = int(digits), max(self.entries, MISSING_RECORDS)
        if count > most:
            return (
                most,
                f"num-samples is {count}, but the file has only {self.entries} entries: no more "
                "are looked for",
            )
        if self._has_record(count + 1):
            remark = (
                f"num-samples is {count}, but the file holds more records, about "
                f"{self.entries // 2}"
            )
            return (
                count,
                f"{remark}: those behind number {count} are not read. Correct num-samples to use "
                "them",
            )
        return count, ""

    def _has_record(self, number: int) -> bool:
        try:
            return (
                self.get(image_key(number)) is not None or self.get(label_key(number)) is not None
            )
        except (DamagedLmdb, OSError):
            return False
