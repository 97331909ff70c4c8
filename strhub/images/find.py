"""Names on a command line to the images that they stand for: files, folders and globs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from strhub.utils.folders import walk_folders
from strhub.utils.regular_files import open_regular

__all__ = ["SUFFIXES", "expand", "find_images", "is_leftover"]

SUFFIXES: Final = frozenset(
    {
        ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".tif", ".tiff",
            ".webp",
        ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpx", ".jpf", ".avif",
    }
)  # fmt: skip
# prefix of the files that macOS puts beside others: ._x.png beside x.png
_LEFTOVER: Final = b"\0\5\x16\7"


def find_images(patterns: Iterable[str], *, also: Collection[str] = ()) -> list[Path]:
    """Return the paths of files, folders (their images, at any depth) and globs, sorted within
    each, none twice.

    Links to folders are followed, each folder once. What macOS leaves beside a file, `._x.png`, is
    passed over in folders and globs. A name that matches nothing stays as it is, to be reported
    when it is read. also: suffixes that are taken for images in folders, such as `.pdf`.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        for match in expand(pattern):
            found.update(dict.fromkeys(_images_of(match, also)))
    return list(found)


def expand(pattern: str) -> list[Path]:
    """Return what a glob matches, sorted; a name that is there, or is no glob, as it is."""
    path = Path(pattern)
    if os.path.exists(path) or not any(sign in pattern for sign in "*?["):
        return [path]
    matches = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    return sorted(match for match in matches if not is_leftover(match))


def is_leftover(path: str | os.PathLike[str], content: bytes | None = None) -> bool:
    """Return whether a file is what macOS keeps beside another one on other systems' disks: no
    image.

    content: what is in it; None to look, if it has such a name.
    """
    if not os.path.basename(path).startswith("._"):
        return False
    if content is not None:
        return content.startswith(_LEFTOVER)
    try:
        with open_regular(path) as file:
            return file.read(len(_LEFTOVER)) == _LEFTOVER
    except (OSError, ValueError):
        return False


def _images_of(path: Path, also: Collection[str]) -> list[Path]:
    """Return those of a folder, at any depth, or the path itself. By `os.path`: it says no where a
    name cannot be.
    """
    if not os.path.isdir(path):
        return [path]
    return sorted(_below(path, {*SUFFIXES, *also}))


def _below(root: Path, suffixes: Collection[str]) -> Iterator[Path]:
    for folder, _, names in walk_folders(root):
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() in suffixes and path.is_file() and not is_leftover(path):
                yield path
