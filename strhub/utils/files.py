"""Files and folders that are there as a whole or not at all."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

__all__ = [
    "PARTIAL_SUFFIX",
    "move_over",
    "partial_of",
    "replacing",
    "replacing_folder",
    "write_whole",
]

PARTIAL_SUFFIX = ".partial"
"""Of hidden files and folders that are not finished."""


def write_whole(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Write a file, text as UTF-8; what was there before stays if that fails, such as on a full
    disk.

    What is no regular file, such as `/dev/stdout`, is written to as it is.

    Raises:
        OSError: if it cannot be written.
    """
    encoded = content.encode("utf-8") if isinstance(content, str) else content
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        path.write_bytes(encoded)
        return
    with replacing(path) as partial:
        partial.write_bytes(encoded)


@contextmanager
def replacing(path: str | os.PathLike[str], *, only_writer: bool = False) -> Iterator[Path]:
    """Yield a hidden name beside a file to write it to; on success, it replaces the file in one
    step.

    What is written reaches the disk before the file is replaced. If anything fails, the earlier
    file stays. only_writer: no two processes write this file at a time, so its hidden name is
    always the same one, and what a kill on any machine left there is written over.

    Raises:
        OSError: if it cannot be written; it names `path`.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}{PARTIAL_SUFFIX}") if only_writer else partial_of(path)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        move_over(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        # name the file that was asked for
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new hidden folder beside a place where there is nothing; on success, it gets the name
    `path`.

    If anything fails, nothing of it is left.
    """
    partial = partial_of(path)
    partial.mkdir()
    try:
        yield partial
        move_over(partial, path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def move_over(source: Path, target: Path) -> None:
    """Rename a file, over what there is by that name, or a folder; have the disk know of it."""
    os.replace(source, target)
    if os.name != "posix":
        return
    with suppress(OSError):  # not every file system can
        descriptor = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def partial_of(path: Path) -> Path:
    """Return an unused hidden name beside a file or folder, for what is to replace it.

    What processes of this machine that were killed have left under such names is removed.
    """
    machine = f"{zlib.crc32(platform.node().encode()):08x}"
    left_name = re.compile(
        rf"\.{re.escape(path.name)}\.{machine}-(\d+)-[0-9a-f]{{8}}{re.escape(PARTIAL_SUFFIX)}"
    )
    with suppress(OSError):
        for left in path.parent.glob(f".*{PARTIAL_SUFFIX}"):
            if (found := left_name.fullmatch(left.name)) and not _is_alive(int(found[1])):
                _remove(left)
    return path.with_name(f".{path.name}.{machine}-{os.getpid()}-{uuid4().hex[:8]}{PARTIAL_SUFFIX}")


def _is_alive(process: int) -> bool:
    """Return whether there is such a process, or one cannot know."""
    if sys.platform == "win32":  # where this signal would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
