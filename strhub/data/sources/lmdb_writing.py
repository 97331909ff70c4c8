"""LMDB folders of words, written: by LMDB's own library, which is needed for this alone.

In: images with their labels, or records by key. Out: folders as `strhub.data.sources.lmdb_format`
describes them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Final

from PIL.Image import Image

from strhub.data.sources.lmdb_format import (
    DATA_FILE,
    NUM_SAMPLES,
    image_key,
    label_key,
)
from strhub.utils.files import move_over, replacing_folder

__all__ = ["LmdbWriter", "replace_lmdb", "write_lmdb"]

WRITE_BATCH: Final = 2000  # keys held in memory and written in one transaction


class LmdbWriter:
    """An LMDB folder open for writing, without LMDB's own lock file; a context manager.

    map_size, map_growth: the bytes the file may take at first, and the factor over 1 for when that
        does not suffice. sync: flush each transaction to the disk.

    Raises:
        OSError: if it cannot be opened.
    """

    def __init__(
        self,
        folder: Path,
        *,
        map_size: int,
        map_growth: float = 2.0,
        create: bool = True,
        sync: bool = True,
    ) -> None:
        import lmdb

        self._growth, self._full = map_growth, lmdb.MapFullError
        with _as_os_errors():
            self._environment: Any = lmdb.open(
                os.fspath(folder), map_size=map_size, create=create, lock=False, sync=sync
            )

    def put(self, pairs: list[tuple[bytes, bytes]], *, delete: bytes | None = None) -> None:
        """Store (key, value) pairs in one transaction, and delete a key; the map grows until they
        fit.

        Raises:
            OSError: if there is no room on the disk, or the like.
        """
        with _as_os_errors():
            while True:
                try:
                    with self._environment.begin(write=True) as transaction:
                        transaction.cursor().putmulti(pairs)
                        if delete:
                            transaction.delete(delete)
                    return
                except self._full:
                    size = int(self._environment.info()["map_size"] * self._growth) + 1
                    self._environment.set_mapsize(size)

    def flush(self) -> int:
        """Bring what was stored to the disk; return how many keys there are."""
        with _as_os_errors():
            self._environment.sync(True)
            return int(self._environment.stat()["entries"])

    def close(self) -> None:
        """Let go of the file."""
        self._environment.close()

    def __enter__(self) -> LmdbWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_lmdb(
    path: str | os.PathLike[str],
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
        map_size, map_growth: see `LmdbWriter`.

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
    # No flushing while writing: nobody else uses this folder, and half of it is useless.
    options: dict[str, Any] = {"map_size": map_size, "map_growth": map_growth, "sync": False}
    with replacing_folder(path) as unfinished, LmdbWriter(unfinished, **options) as writer:
        pairs = _pairs(samples)
        while batch := list(islice(pairs, WRITE_BATCH)):
            writer.put(batch)
        return (writer.flush() - 1) // 2


def replace_lmdb(new: Path, target: Path) -> None:
    """Put a finished LMDB folder where there is none, or another one, or an empty folder."""
    if not target.exists():
        move_over(new, target)
        return
    # A folder that is not empty cannot be replaced in one step, but the file in it can.
    move_over(new / DATA_FILE, target / DATA_FILE)
    (target / "lock.mdb").unlink(missing_ok=True)  # of the old file, if others have read it
    shutil.rmtree(new)


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


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise errors of LMDB, which have no base of their own outside of it, as `OSError`."""
    import lmdb

    try:
        yield
    except lmdb.Error as error:
        raise OSError(str(error)) from error
