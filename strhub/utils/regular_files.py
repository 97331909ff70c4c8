"""Open files that a stranger may have put there: regular files only, without waiting, and no more
bytes than asked for.

A fifo waits for a writer that may never come and a device may have no end, so neither is opened,
nor a link to one. Every file that a user names, or that is found in a folder of theirs, is opened
here.
"""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader, FileIO
from typing import Final, TypeAlias

__all__ = ["MAX_LIST_BYTES", "check_regular", "open_regular", "read_regular", "read_regular_text"]

AnyPath: TypeAlias = str | os.PathLike[str]

MAX_LIST_BYTES: Final = 256 << 20  # bytes of a list of words, far more than any has
_BLOCK: Final = 1 << 16
# Flags that a system lacks are not needed there.
_FLAGS: Final = sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY")
)
_KINDS: Final = (
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def open_regular(path: AnyPath) -> BufferedReader:
    """Open a regular file, or a link to one, to read bytes from it.

    Raises:
        OSError: if it cannot be opened; if it is a folder, fifo, device or socket, which its
            `strerror` says.
        ValueError: if no file can have such a name.
    """
    return BufferedReader(_open(path))


def check_regular(path: AnyPath) -> None:
    """Raise as `open_regular` does for what is there but is no regular file, for libraries that
    open by name.
    """
    _check_mode(os.stat(path).st_mode, path)


def read_regular(path: AnyPath, *, max_bytes: int) -> bytes:
    """Return what is in a regular file; an `OSError` (EFBIG), as well as those of `open_regular`,
    if it is longer.
    """
    with _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise _too_long(path, max_bytes)
        blocks = [file.read(size + 1)]
        total = len(blocks[0])
        # Some, as below /proc, do not say how long they are, and others grow.
        while blocks[-1] and total <= max_bytes:
            blocks.append(file.read(_BLOCK))
            total += len(blocks[-1])
    if total > max_bytes:
        raise _too_long(path, max_bytes)
    return blocks[0] if len(blocks) == 2 else b"".join(blocks)


def read_regular_text(path: AnyPath, *, max_bytes: int = MAX_LIST_BYTES) -> str:
    """Return the text of a regular UTF-8 file, without a byte order mark.

    Raises:
        OSError: see `read_regular`. UnicodeDecodeError: if it is not UTF-8.
    """
    return read_regular(path, max_bytes=max_bytes).decode("utf-8-sig")


def _open(path: AnyPath) -> FileIO:
    check_regular(path)  # opening a device may already do something
    descriptor = os.open(path, os.O_RDONLY | _FLAGS)
    try:
        _check_mode(os.fstat(descriptor).st_mode, path)  # it may be another one by now
        return FileIO(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _check_mode(mode: int, path: AnyPath) -> None:
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    kind = next((name for test, name in _KINDS if test(mode)), "something else")
    raise OSError(errno.EINVAL, f"not a regular file but {kind}", os.fspath(path))


def _too_long(path: AnyPath, max_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"the file is over {max_bytes >> 20} MiB", os.fspath(path))
