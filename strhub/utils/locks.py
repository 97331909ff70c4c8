"""A lock that keeps other processes from writing the same thing, and that the system lets go of
when its owner dies.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path`, a file that is made for it and removed again.

    Raises `BlockingIOError` at once if another holds it, and `OSError` if the file system has no
    locks.
    """
    descriptor = _acquire(path)
    try:
        yield
    finally:
        # where a file that is open, here or elsewhere, can't be removed
        if sys.platform == "win32":
            os.close(descriptor)
        with suppress(OSError):
            path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)


def _acquire(path: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            _lock(descriptor)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass
        except OSError as error:
            os.close(descriptor)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise BlockingIOError(
                    error.errno, "another process holds the lock", os.fspath(path)
                ) from error
            raise
        # Its last owner has removed the file after it was opened here, so that this lock would keep
        # nobody away.
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
