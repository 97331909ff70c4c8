"""Words in LMDB, in the record format of the field: reading, finding and writing.

In: folders as `strhub.data.sources.lmdb_format` describes them. Out: RGB images with their labels;
or such folders. LMDB's own library is needed for writing alone, and imported here only.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from PIL.Image import Image

from strhub.data.sources.dataset import UnreadableRecord
from strhub.data.sources.lmdb_format import (
    LABEL_PREFIX,
    NUM_SAMPLES,
    DamagedLmdb,
    LmdbFile,
    image_key,
    label_key,
)
from strhub.images.open import open_bytes
from strhub.text.charset import DroppedLabel
from strhub.utils.files import PARTIAL_SUFFIX, partial_of
from strhub.utils.folders import walk_folders

if TYPE_CHECKING:
    import lmdb

__all__ = ["LmdbWords", "UnreadableRecord", "find_lmdbs", "open_for_writing", "put", "write_lmdb"]

log = logging.getLogger(__name__)

AnyPath: TypeAlias = str | os.PathLike[str]
WRITE_BATCH: Final = 2000  # keys held in memory and written in one transaction


class LmdbWords:
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
        self.path = Path(path)
        self.min_image_dim = min_image_dim
        self.dropped: Counter[str] = Counter()
        self.labels: list[str] = []
        self._numbers: np.ndarray[Any, np.dtype[np.int32]]  # of the records kept, counted from 1
        self._opened: LmdbFile | None = None
        file = self._file()
        count, remark = file.count()
        self._scan(_stored_labels(file, count), count, prepare_label)
        if file.damage:
            pages = f"{len(file.damage)} damaged places, such as {file.damage[0]}"
            remark = f"{remark}; {pages}" if remark else pages
        if remark:
            log.warning("%s: %s", file.file, remark)

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

    def __len__(self) -> int:
        """How many records were kept."""
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def read(self, index: int) -> tuple[Image, str]:
        """The RGB image and label of a record, `0 <= index < len(self)`.

        Raises:
            IndexError: if there is no such record.
            UnreadableRecord: if its image is missing, damaged, under `min_image_dim` or over 64
                megapixels.
        """
        if not 0 <= index < len(self):
            raise IndexError(
                f"no record {index} in {self.path}: it has {len(self)}, counted from 0"
            )
        label, number = self.labels[index], int(self._numbers[index])
        file = self._file()  # outside of the try: a file that has gone is no matter of one record
        try:
            return _decode(file.get(image_key(number)), min_dim=self.min_image_dim), label
        except (DamagedLmdb, OSError) as error:
            what = f"the file is damaged: {error}"
        except Exception as error:  # Pillow raises whatever its decoders stumble over
            what = str(error) or type(error).__name__
        raise UnreadableRecord(f"{self.path}: {image_key(number).decode()}: {what}", label)

    def _file(self) -> LmdbFile:
        if self._opened is None:
            self._opened = LmdbFile(self.path)
        return self._opened


def find_lmdbs(root: AnyPath) -> list[Path]:
    """Every folder at or below `root` that holds a `data.mdb`, sorted; none if there is no such
    folder.

    Links to folders are followed, but no folder is given twice. Unfinished ones of `write_lmdb` are
    left out.
    """
    folders = walk_folders(root, skip=lambda _, name: name.endswith(PARTIAL_SUFFIX))
    return sorted(Path(folder) for folder, _, files in folders if "data.mdb" in files)


def write_lmdb(
    path: AnyPath,
    samples: Iterable[tuple[bytes | Image, str]],
    *,
    map_size: int = 1 << 26,
    map_growth: float = 2.0,
) -> int:
    """Write words to a new LMDB folder.

    The folder appears under its name once it is complete; if anything fails, no part of it is left
    behind. Returns how many words were written.

    Args:
        path: the folder to make, with those above it.
        samples: images with their labels. Encoded images are stored as they are, others as PNG.
        map_size, map_growth: the bytes the file may take at first, and the factor over 1 for when
            that doesn't suffice.

    Raises:
        ValueError: if there already is something at `path`, or `map_growth` isn't over 1.
    """
    path = Path(path)
    if path.exists() or path.is_symlink():
        raise ValueError(
            f"{path} already exists and won't be overwritten: remove it or choose another name"
        )
    if map_growth <= 1:
        raise ValueError(f"write_lmdb: map_growth must be over 1, not {map_growth}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = partial_of(path)
    unfinished.mkdir()
    try:
        # No flushing as it goes: nobody else knows of this folder, and half of it is of no use.
        with (
            _as_os_errors(),
            open_for_writing(unfinished, map_size=map_size, sync=False) as environment,
        ):
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


def open_for_writing(
    path: Path, *, map_size: int, create: bool = True, sync: bool = True
) -> lmdb.Environment:
    """Open a folder for `put`, without LMDB's own lock file; `OSError` if it cannot be."""
    import lmdb

    with _as_os_errors():
        return lmdb.open(os.fspath(path), map_size=map_size, create=create, lock=False, sync=sync)


def _stored_labels(file: LmdbFile, count: int) -> Iterator[tuple[int, bytes]]:
    """Yield number and value of every label there is for the records 1 to `count`, in one pass
    along the keys.
    """
    for key, value in file.items(LABEL_PREFIX):
        digits = key[len(LABEL_PREFIX) :]
        if len(digits) == 9 and digits.isdigit() and 1 <= int(digits) <= count:
            yield int(digits), value


def _decode(encoded: bytes | None, *, min_dim: int) -> Image:
    if encoded is None:
        raise ValueError("there is no such key")
    image = open_bytes(encoded)
    if min(image.size) < min_dim:
        raise ValueError(
            f"{image.width}x{image.height} pixels are under the minimum side of {min_dim}"
        )
    return image


def _pairs(samples: Iterable[tuple[bytes | Image, str]]) -> Iterator[tuple[bytes, bytes]]:
    number = 0
    for number, (image, label) in enumerate(samples, 1):
        yield image_key(number), image if isinstance(image, bytes) else _encode(image)
        yield label_key(number), label.encode("utf-8")
    yield NUM_SAMPLES, b"%d" % number


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
    """Store (key, value) pairs in one transaction, and delete a key; the map grows by the factor
    until they fit.

    Raises:
        OSError: if there is no room on the disk, or the like.
    """
    import lmdb

    with _as_os_errors():
        while True:
            try:
                with environment.begin(write=True) as transaction:
                    transaction.cursor().putmulti(pairs)
                    if delete:
                        transaction.delete(delete)
                return
            except lmdb.MapFullError:
                environment.set_mapsize(int(environment.info()["map_size"] * map_growth) + 1)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise errors of LMDB, which have no base of their own outside of it, as `OSError`."""
    import lmdb

    try:
        yield
    except lmdb.Error as error:
        raise OSError(str(error)) from error
