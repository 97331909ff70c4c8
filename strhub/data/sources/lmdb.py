"""Words in LMDB, in the record format of the field: reading, finding and writing.

In: folders as `strhub.data.sources.lmdb_format` describes them. Out: RGB images with their labels;
or such folders. Whoever has to do with LMDB imports it from here; nothing else of the package knows
its keys, its files or its library.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL.Image import Image

from strhub.data.sources.labeled import LabeledSource, UnreadableRecord
from strhub.data.sources.lmdb_format import (
    LABEL_PREFIX,
    MAX_SAMPLES,
    NUM_SAMPLES,
    SOFT_PREFIX,
    DamagedLmdb,
    LmdbFile,
    holds_lmdb,
    image_key,
    is_lmdb,
    label_key,
    soft_key,
    status_of,
)
from strhub.data.sources.lmdb_writing import LmdbWriter, replace_lmdb, write_lmdb
from strhub.data.sources.soft_labels import SoftLabel, load_soft_label
from strhub.images.open import UnreadableImage, open_bytes
from strhub.text.charset import DroppedLabel
from strhub.utils.files import PARTIAL_SUFFIX
from strhub.utils.folders import walk_folders
from strhub.utils.progress import progress

__all__ = [
    "MAX_SAMPLES",
    "NUM_SAMPLES",
    "DamagedLmdb",
    "LmdbFile",
    "LmdbWords",
    "LmdbWriter",
    "UnreadableRecord",
    "find_lmdbs",
    "holds_lmdb",
    "image_key",
    "is_lmdb",
    "label_key",
    "replace_lmdb",
    "soft_key",
    "status_of",
    "write_lmdb",
]

log = logging.getLogger(__name__)

AnyPath: TypeAlias = str | os.PathLike[str]


class LmdbWords(LabeledSource):
    """The words of one LMDB folder whose labels can be used.

    All labels are read once, here; images are read when asked for. Objects can be shared by
    threads, by forked processes and, being picklable, by spawned ones. Labels and images on damaged
    pages of the file are left out, as 'no label' and as unreadable records; what is wrong with the
    file or its `num-samples` is logged as a warning.

    Args:
        path: the folder that holds `data.mdb`.
        prepare_label: takes a label as stored, returns it as it is to be trained on or scored
            against, or raises `DroppedLabel`, and the record is left out. None is for images
            without labels: every record is kept, its label as stored, or '' where there is none or
                it isn't UTF-8.
        min_image_dim: images of less than this many pixels in width or height count as unreadable.

    Attributes:
        dropped: how many records were left out, by reason: those of `prepare_label`, 'no label',
            'undecodable label'.
        labels: the labels of the records that were kept, in the order of the file.

    Raises:
        ValueError: if there is no such folder, it isn't LMDB or is damaged, or its `num-samples` is
            of no use.
    """

    def __init__(
        self,
        path: AnyPath,
        *,
        prepare_label: Callable[[str], str] | None = None,
        min_image_dim: int = 0,
    ) -> None:
        super().__init__(Path(path), min_image_dim)
        self._numbers: np.ndarray[Any, np.dtype[np.int32]]  # of the records kept, counted from 1
        self._soft: dict[int, SoftLabel] = {}  # by record
        self._opened: LmdbFile | None = None
        file = self._file()
        count, remark = file.count()
        labels = progress(_stored_labels(file, count), f"labels of {self.path}", total=count)
        self._scan(labels, count, prepare_label)
        self._soft, damaged = _soft_labels(file, count, prepare_label or str)
        if file.damage:
            pages = f"{len(file.damage)} damaged places, such as {file.damage[0]}"
            remark = f"{remark}; {pages}" if remark else pages
        for problem in filter(None, (remark, damaged)):
            log.warning("%s: %s", file.file, problem)

    def _scan(
        self,
        stored: Iterator[tuple[int, bytes]],
        count: int,
        prepare: Callable[[str], str] | None,
    ) -> None:
        if prepare is None:
            self._numbers, self.labels = np.arange(1, count + 1, dtype=np.int32), [""] * count
            for number, value in stored:
                with suppress(UnicodeDecodeError):
                    self.labels[number - 1] = value.decode("utf-8")
            return
        numbers, found = [], 0
        for number, value in stored:
            found += 1
            try:
                self.labels.append(prepare(value.decode("utf-8")))
            except UnicodeDecodeError:
                self.dropped["undecodable label"] += 1
            except DroppedLabel as error:
                self.dropped[error.reason] += 1
            else:
                numbers.append(number)
        self.dropped += Counter(
            {"no label": count - found}
        )  # leaves out the zero that there mostly is
        self._numbers = np.array(numbers, dtype=np.int32)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def _open(self, index: int) -> Image:
        """Open as `LabeledSource` says; an error of Pillow's concerns only the one record."""
        file = self._file()  # outside of the try: a missing file does not concern one record only
        try:
            encoded = file.get(image_key(int(self._numbers[index])))
            if encoded is None:
                raise UnreadableImage("there is no such key")
            return open_bytes(encoded)
        except UnreadableImage:
            raise
        except (DamagedLmdb, OSError) as error:
            raise UnreadableImage(f"the file is damaged: {error}") from error
        except Exception as error:
            raise UnreadableImage(str(error) or type(error).__name__) from error

    def soft_label(self, index: int) -> SoftLabel:
        """Return the readings that are stored beside a label, as `prepare_label` has them, less
        those that it drops; none for most sets.
        """
        return self._soft.get(int(self._numbers[index]), ())

    def _where(self, index: int) -> str:
        return f"{self.path}: {image_key(int(self._numbers[index])).decode()}"

    def _file(self) -> LmdbFile:
        if self._opened is None:
            self._opened = LmdbFile(self.path)
        return self._opened


def find_lmdbs(root: AnyPath) -> list[Path]:
    """Return every folder at or below `root` that holds a `data.mdb`, sorted; none if there is no
    such folder.

    Links to folders are followed, but no folder is given twice. Unfinished ones of `write_lmdb` are
    left out.
    """
    folders = walk_folders(root, skip=lambda _, name: name.endswith(PARTIAL_SUFFIX))
    return sorted(Path(folder) for folder, _, files in folders if holds_lmdb(files))


def _stored_labels(file: LmdbFile, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield number and value of every label there is for the records 1 to `count`, in one pass
    along the keys.
    """
    for key, value in file.items(LABEL_PREFIX):
        number = _number(key, LABEL_PREFIX)
        if 1 <= number <= count:
            yield number, value


def _number(key: bytes, prefix: bytes) -> int:
    """Return the number of the record that a key with this prefix is about; 0 for another key."""
    digits = key[len(prefix) :]
    return int(digits) if len(digits) == 9 and digits.isdigit() else 0


def _soft_labels(
    file: LmdbFile, count: int, prepare: Callable[[str], str]
) -> tuple[dict[int, SoftLabel], str]:
    """Return the soft labels of the records 1 to `count`, by number, each reading as `prepare` has
    it; and which cannot be used and why, or ''.
    """
    found: dict[int, SoftLabel] = {}
    problems: list[str] = []
    for key, value in file.items(SOFT_PREFIX):
        number = _number(key, SOFT_PREFIX)
        if not 1 <= number <= count:
            continue
        prepared: list[tuple[str, float]] = []
        try:
            for text, probability in load_soft_label(value):
                with suppress(DroppedLabel):
                    prepared.append((prepare(text), probability))
        except ValueError as error:
            problems.append(f"{key.decode()}: {error}")
        else:
            found[number] = prepared
    if not problems:
        return found, ""
    return found, f"{len(problems)} soft labels are left out, such as {problems[0]}"
