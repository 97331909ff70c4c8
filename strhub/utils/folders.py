"""Walk through folders of a user's, where links may lead round in a circle."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

__all__ = ["walk_folders"]

AnyPath: TypeAlias = str | os.PathLike[str]


def walk_folders(
    root: AnyPath, *, skip: Callable[[str, str], bool] | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield (folder, names of its folders, names of its files), each sorted, for a folder and all
    below it.

    Links to folders are followed, but no folder is entered twice, whichever way leads there, so
    that a link to a folder above ends nothing. skip: takes a folder and the name of one in it; true
    for those that are not to be entered. Like `os.walk`, what cannot be listed is left out.
    """
    visited: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(root, followlinks=True):
        # In place and sorted: which of two ways to a folder is taken must not depend on the file
        # system.
        subfolders[:] = sorted(
            name for name in subfolders if skip is None or not skip(folder, name)
        )
        identity = _identity(folder)
        if identity is None or identity in visited:
            subfolders.clear()
            continue
        visited.add(identity)
        yield folder, subfolders, sorted(names)


def _identity(folder: str) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
