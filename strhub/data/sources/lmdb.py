"""Words in LMDB, in the record format of the field: reading, finding and writing.

A data set is a folder with a `data.mdb`. Its keys are `num-samples` (a decimal number), `image-000000001` (an encoded
picture) and `label-000000001` (UTF-8), counted from 1. In: such folders. Out: RGB pictures with their labels.

LMDB maps the file into memory, and nothing protects against a file that changes meanwhile: don't write to one in use.
"""

import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeAlias, cast
from uuid import uuid4
from weakref import WeakValueDictionary

import lmdb
import numpy as np
from PIL.Image import Image

from strhub.data.sources.dataset import UnreadableRecord
from strhub.images.open import open_bytes
from strhub.text.charset import DroppedLabel

__all__ = ["LmdbWords", "UnreadableRecord", "find_lmdbs", "write_lmdb"]

AnyPath: TypeAlias = str | os.PathLike[str]
MAX_SAMPLES: Final = 999_999_999  # what nine digits can number
LABEL_PREFIX: Final = b"label-"
PARTIAL_SUFFIX: Final = ".partial"
WRITE_BATCH: Final = 2000  # keys held in memory and written in one transaction


class LmdbWords:
    """The words of one LMDB folder whose labels can be used.

    All labels are gone through once, here; pictures are read when asked for. Objects can be shared by threads, by
    forked processes and, being picklable, by spawned ones: each process opens the file for itself, once.

    Args:
        path: the folder that holds `data.mdb`.
        prepare_label: takes a label as stored, returns it as it is to be trained on or scored against, or raises
            `DroppedLabel`, and the record is left out. None is for pictures without labels: every record is kept, its
            label as stored, or '' where there is none or it isn't UTF-8.
        min_image_dim: pictures of less than this many pixels in width or height count as unreadable.

    Attributes:
        dropped: how many records were left out, by reason: those of `prepare_label`, 'no label', 'undecodable label'.
        labels: the labels of the records that were kept, in the order of the file.

    Raises:
        ValueError: if there is no such folder, it isn't LMDB or is damaged, or its `num-samples` is of no use.
    """

    def __init__(
        self, path: AnyPath, *, prepare_label: Callable[[str], str] | None = None, min_image_dim: int = 0
    ) -> None:
        self.path = Path(path)
        self.min_image_dim = min_image_dim
        self.dropped: Counter[str] = Counter()
        self.labels: list[str] = []
        self._numbers: np.ndarray[Any, np.dtype[np.int32]]  # of the records kept, counted from 1
        self._opened: tuple[int, lmdb.Environment] | None = None  # the process that opened it, and what it opened
        try:
            with self._environment().begin() as transaction:
                count = sample_count(transaction, self.path)
                self._scan(_stored_labels(transaction, count), count, prepare_label)
        except lmdb.Error as error:
            raise _damaged(self.path, str(error)) from error

    def _scan(self, stored: Iterator[tuple[int, bytes]], count: int, prepare: Callable[[str], str] | None) -> None:
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
        self.dropped += Counter({"no label": count - found})  # leaves out the zero that there mostly is
        self._numbers = np.array(numbers, dtype=np.int32)

    def __len__(self) -> int:
        """How many records were kept."""
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def read(self, index: int) -> tuple[Image, str]:
        """The RGB picture and label of a record, `0 <= index < len(self)`.

        Raises:
            IndexError: if there is no such record.
            UnreadableRecord: if its picture is missing, damaged, under `min_image_dim` or over 64 megapixels.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"no record {index} in {self.path}: it has {len(self)}, counted from 0")
        label, key = self.labels[index], f"image-{self._numbers[index]:09d}"
        environment = self._environment()  # outside of the try: a file that has gone is no matter of one record
        try:
            with environment.begin() as transaction:
                encoded = transaction.get(key.encode())
            return _decode(encoded, min_dim=self.min_image_dim), label
        except Exception as error:  # Pillow raises whatever its decoders stumble over
            raise UnreadableRecord(f"{self.path}: {key}: {str(error) or type(error).__name__}", label) from error

    def _environment(self) -> lmdb.Environment:
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = os.getpid(), open_shared(self.path)
        return self._opened[1]


def find_lmdbs(root: AnyPath) -> list[Path]:
    """Every folder at or below `root` that holds a `data.mdb`, sorted; none if there is no such folder.

    Links to folders are followed, but no folder is given twice. Unfinished ones of `write_lmdb` are left out.
    """
    found, visited = [], set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        # In place and sorted: which of two ways to a folder is taken must not depend on the file system.
        subfolders[:] = sorted(name for name in subfolders if not name.endswith(PARTIAL_SUFFIX))
        real = os.path.realpath(folder)
        if real in visited:
            subfolders.clear()
        elif "data.mdb" in files:
            found.append(Path(folder))
        visited.add(real)
    return sorted(found)


def write_lmdb(
    path: AnyPath, samples: Iterable[tuple[bytes | Image, str]], *, map_size: int = 1 << 26, map_growth: float = 2.0
) -> int:
    """Write words to a new LMDB folder.

    The folder appears under its name once it is complete; if anything fails, no part of it is left behind. Returns how
    many words were written.

    Args:
        path: the folder to make, with those above it.
        samples: pictures with their labels. Encoded pictures are stored as they are, others as PNG.
        map_size, map_growth: the bytes the file may take at first, and the factor over 1 for when that doesn't suffice.

    Raises:
        ValueError: if there already is something at `path`, or `map_growth` isn't over 1.
    """
    path = Path(path)
    if path.exists() or path.is_symlink():
        raise ValueError(f"{path} already exists and won't be overwritten: remove it or choose another name")
    if map_growth <= 1:
        raise ValueError(f"write_lmdb: map_growth must be over 1, not {map_growth}")
    unfinished = path.parent / f".{path.name}.{uuid4().hex}{PARTIAL_SUFFIX}"
    unfinished.mkdir(parents=True)
    try:
        # No lock file and no flushing as it goes: nobody else knows of this folder, and half of it is of no use.
        with lmdb.open(os.fspath(unfinished), map_size=map_size, lock=False, sync=False) as environment:
            pairs = _pairs(samples)
            while batch := list(islice(pairs, WRITE_BATCH)):
                put(environment, batch, map_growth=map_growth)
            environment.sync(True)
            count = (environment.stat()["entries"] - 1) // 2
        unfinished.rename(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return count


class _OpenFiles:
    """The files that a process has open, shared because LMDB refuses to open one twice. Closed with its last user."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.environments: WeakValueDictionary[tuple[int, int] | str, lmdb.Environment] = WeakValueDictionary()


_open_files = _OpenFiles()


def open_shared(path: Path) -> lmdb.Environment:
    global _open_files
    if _open_files.pid != os.getpid():
        # After a fork. Unless what was inherited is closed, LMDB refuses to open it; the parent's stays open. The lock
        # is replaced because a thread that is only the parent's may have held it.
        inherited, _open_files = _open_files, _OpenFiles()
        for environment in inherited.environments.values():
            environment.close()
    try:
        status = os.stat(path / "data.mdb")
    except OSError as error:
        where = f"no data.mdb in {path.absolute()} ({error.strerror})"
        raise ValueError(f"{where}: give the folder of an LMDB data set, the one that holds data.mdb itself") from error
    # One file has many paths, so its identity is asked for, though not all file systems have it.
    key = (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
    with _open_files.lock:
        _open_files.environments[key] = environment = _open_files.environments.get(key) or _open(path)
        return environment


def _open(path: Path) -> lmdb.Environment:
    try:
        # Without locks there is no table of readers either, so any number of processes may read. No read-ahead, because
        # shuffled records are nowhere near each other.
        environment = lmdb.open(
            os.fspath(path), readonly=True, create=False, lock=False, readahead=False, meminit=False
        )
    except lmdb.Error as error:
        raise _damaged(path, str(error)) from error
    # Reading a page that the file is too short to hold would not raise but kill the process (SIGBUS).
    expected = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
    if (size := (path / "data.mdb").stat().st_size) < expected:
        environment.close()
        raise _damaged(path, f"it has {size} bytes of {expected}, so it was cut short")
    return environment


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path.absolute() / 'data.mdb'} can't be read as LMDB: {what}. Copy, download or make it again")


def sample_count(transaction: lmdb.Transaction, path: Path) -> int:
    value = transaction.get(b"num-samples")
    digits = b"" if value is None else bytes(value)
    if digits.isdigit() and len(digits) < 20 and int(digits) <= MAX_SAMPLES:
        return int(digits)
    found = "there is no such key" if value is None else f"it is {digits[:40]!r}"
    raise ValueError(
        f"{path.absolute() / 'data.mdb'}: num-samples must be a whole number from 0 to {MAX_SAMPLES}, but {found}. "
        "If this is a data set of word pictures, make it again, for example with strhub.data.sources.lmdb.write_lmdb"
    )


def _stored_labels(transaction: lmdb.Transaction, count: int) -> Iterator[tuple[int, bytes]]:
    """Number and value of every label there is for the records 1 to `count`, in one pass along the sorted keys."""
    cursor = transaction.cursor()
    if not cursor.set_range(LABEL_PREFIX):
        return
    for key, value in cast("Iterator[tuple[bytes, bytes]]", cursor):
        if not key.startswith(LABEL_PREFIX):
            return
        digits = key[len(LABEL_PREFIX) :]
        if len(digits) == 9 and digits.isdigit() and 1 <= int(digits) <= count:
            yield int(digits), value


def _decode(encoded: bytes | memoryview | None, *, min_dim: int) -> Image:
    if encoded is None:
        raise ValueError("there is no such key")
    image = open_bytes(encoded)
    if min(image.size) < min_dim:
        raise ValueError(f"{image.width}x{image.height} pixels are under the minimum side of {min_dim}")
    return image


def _pairs(samples: Iterable[tuple[bytes | Image, str]]) -> Iterator[tuple[bytes, bytes]]:
    number = 0
    for number, (image, label) in enumerate(samples, 1):
        yield b"image-%09d" % number, image if isinstance(image, bytes) else _encode(image)
        yield LABEL_PREFIX + b"%09d" % number, label.encode("utf-8")
    yield b"num-samples", b"%d" % number


def _encode(image: Image) -> bytes:
    buffer = BytesIO()
    (image if image.mode in ("L", "RGB") else image.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


def put(
    environment: lmdb.Environment,
    pairs: list[tuple[bytes, bytes]],
    *,
    map_growth: float = 2.0,
    delete: bytes | None = None,
) -> None:
    """Store (key, value) pairs in one transaction, and delete a key; the map grows by the factor until they fit."""
    while True:
        try:
            with environment.begin(write=True) as transaction:
                transaction.cursor().putmulti(pairs)
                if delete:
                    transaction.delete(delete)
            return
        except lmdb.MapFullError:
            environment.set_mapsize(int(environment.info()["map_size"] * map_growth) + 1)
