"""Font files: finding them, telling sound from broken ones, and reading which characters they hold.

In: files, folders, `"bundled"` or `"system"`. Out: font names, which are paths, with `#` and a
number behind them for the named instances of a variable font (`Inter.ttf#3` is its third weight or
width), and `Characters`, the code points that a file maps. The tables are read here, for Pillow
can't tell a character that a font lacks from one that it has.
"""

from __future__ import annotations

import bisect
import os
import struct
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ImageFont

from strhub.utils.regular_files import open_regular

__all__ = [
    "BUNDLED_FONTS",
    "PROBE_SIZE",
    "Characters",
    "characters_of",
    "check_extent",
    "find_fonts",
    "split_name",
]

BUNDLED_FONTS = Path(__file__).with_name("fonts")
PROBE_SIZE = 32
_SUFFIXES = (".ttf", ".otf", ".ttc", ".otc")
_MOST_EMS = 16  # that a character may be wide or high; the widest ligatures have about ten
# More instances of one variable font look too much alike to be worth a file handle each.
_MOST_INSTANCES = 5
# (platform, encoding) of the tables that map Unicode, the widest first.
_UNICODE_TABLES = ((3, 10), (0, 6), (0, 4), (0, 3), (3, 1), (0, 2), (0, 1), (0, 0))


@dataclass(frozen=True)
class Characters:
    """The code points of a font as ranges: `starts` and `ends` (included), ascending."""

    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def __contains__(self, char: str) -> bool:
        offset = bisect.bisect_right(self.starts, ord(char)) - 1
        return offset >= 0 and ord(char) <= self.ends[offset]


def split_name(name: str) -> tuple[str, int]:
    """Return the path in a font name and the number of the named instance, 0 for the font as it
    is.
    """
    path, mark, instance = name.rpartition("#")
    return (path, int(instance)) if mark and instance.isdecimal() else (name, 0)


def find_fonts(fonts: Sequence[str | Path] | None) -> tuple[str, ...]:
    """Return the names of the usable fonts among `fonts`, those of a folder sorted and its
    sub-folders included.

    Args:
        fonts: files, folders, `"bundled"` for the fonts of the package or `"system"` for those
            installed here (a folder of that name is `"./system"`); None means `"bundled"`. A broken
            file is left out with a warning.

    Raises:
        ValueError: for a path that does not exist, a folder without fonts, or if no usable font is
            left.
    """
    files = [
        file for source in (["bundled"] if fonts is None else fonts) for file in _files_of(source)
    ]
    names: list[str] = []
    for file in dict.fromkeys(files):
        try:
            names.extend(_instances(file))
        except (OSError, ValueError, struct.error, IndexError) as error:
            warnings.warn(f"font file {file} can't be used ({error}); it is left out", stacklevel=3)
    if not names:
        raise ValueError(
            "fonts holds no usable font; pass at least one font file, or None for the fonts of the "
            "package"
        )
    return tuple(names)


def _files_of(source: str | Path) -> list[Path]:
    if source == "system":
        found = sorted(file for folder in _system_folders() for file in _fonts_below(folder))
        if not found:
            raise ValueError(
                f"no fonts found in {', '.join(map(str, _system_folders()))}; pass a folder of "
                "fonts instead"
            )
        return found
    path = BUNDLED_FONTS if source == "bundled" else Path(source)
    if path.is_dir():
        found = sorted(_fonts_below(path))
        if not found:
            raise ValueError(
                f"font folder {path} holds no {', '.join(_SUFFIXES)} file; put fonts into it"
            )
        return found
    if not path.is_file():
        raise ValueError(f"font file {path} does not exist; check the path or leave fonts=None")
    return [path]


def _fonts_below(folder: Path) -> Iterator[Path]:
    # Unlike rglob, walking skips folders that may not be read.
    for offset, _, files in os.walk(folder):
        yield from (Path(offset, file) for file in files if file.lower().endswith(_SUFFIXES))


def _system_folders() -> list[Path]:
    """Return where fonts are installed on Windows, macOS and Linux."""
    home = Path.home()
    if sys.platform == "win32":
        windows = Path(os.environ.get("WINDIR", "C:/Windows"))
        local = Path(os.environ.get("LOCALAPPDATA", home / "AppData/Local"))
        return [windows / "Fonts", local / "Microsoft/Windows/Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    return [
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        data / "fonts",
        home / ".fonts",
    ]


def _instances(file: Path) -> list[str]:
    """Return the font names in `file`, having opened it and drawn with it once.

    Raises:
        OSError, ValueError, struct.error, IndexError: if it is broken, has no Unicode table or no
        outlines to scale.
    """
    characters_of(str(file))
    font = ImageFont.truetype(str(file), PROBE_SIZE, layout_engine=ImageFont.Layout.BASIC)
    check_extent(font, "A")
    font.getmask("A")
    try:
        count = len(font.get_variation_names())
    except (OSError, NotImplementedError):
        return [str(file)]  # not a variable font, or a FreeType that can't vary any
    folders = (
        np.unique(np.linspace(1, count, min(count, _MOST_INSTANCES)).round().astype(int)).tolist()
        if count
        else [0]
    )
    return [f"{file}#{offset}" if offset else str(file) for offset in folders]


def check_extent(font: ImageFont.FreeTypeFont, char: str) -> None:
    """Raise `ValueError` for a character so large that its image would take a gigabyte."""
    left, top, right, bottom = font.getbbox(char)
    if max(right - left, bottom - top) > _MOST_EMS * font.size:
        raise ValueError(f"a character is over {_MOST_EMS} times as large as the font")


@lru_cache(maxsize=4096)
def characters_of(path: str) -> Characters:
    """Return the characters that the font file at `path` maps, the first font's where it holds
    several.

    Raises:
        OSError: if the file can't be read.
        ValueError, struct.error: if it is no font or has no table for Unicode.
    """
    with open_regular(path) as file:
        ranges = sorted(_unicode_ranges(file))
    if not ranges:
        raise ValueError("it has no table for Unicode characters")
    starts, ends = zip(*ranges, strict=True)
    return Characters(starts, ends)


def _at(file: BinaryIO, offset: int, form: str) -> tuple[int, ...]:
    """Return the big-endian numbers of `form` (see `struct`) at `offset`; `ValueError` if the file
    ends before.
    """
    size = struct.calcsize(">" + form)
    if offset + size > file.seek(0, os.SEEK_END):  # before memory is taken for what is not there
        raise ValueError("it is cut short")
    file.seek(offset)
    return struct.unpack(">" + form, file.read(size))


def _tag_at(file: BinaryIO, offset: int) -> bytes:
    file.seek(offset)
    return file.read(4)


def _unicode_ranges(file: BinaryIO) -> Iterable[tuple[int, int]]:
    """Read the widest Unicode mapping: OpenType's table `cmap` in the formats 4, 6, 12 and 13."""
    (first,) = _at(file, 12, "I") if _tag_at(file, 0) == b"ttcf" else (0,)
    (count,) = _at(file, first + 4, "H")
    entries = [first + 12 + 16 * number for number in range(count)]
    tables = {_tag_at(file, entry): _at(file, entry + 8, "II") for entry in entries}
    size = file.seek(0, os.SEEK_END)
    if any(offset + length > size for offset, length in tables.values()):
        raise ValueError("it is cut short")
    if b"cmap" not in tables:
        return []
    base = tables[b"cmap"][0]
    records = [
        _at(file, base + 4 + 8 * number, "HHI") for number in range(_at(file, base + 2, "H")[0])
    ]
    offsets = {(platform, encoding): base + offset for platform, encoding, offset in records}
    for kind in _UNICODE_TABLES:
        ranges = _ranges_at(file, offsets[kind]) if kind in offsets else []
        if ranges:
            return ranges
    return []


def _ranges_at(file: BinaryIO, offset: int) -> list[tuple[int, int]]:
    (form,) = _at(file, offset, "H")
    if form == 4:
        doubled, *_ = _at(file, offset + 6, "H")
        ends = _at(file, offset + 14, f"{doubled // 2}H")
        starts = _at(file, offset + 16 + doubled, f"{doubled // 2}H")
        # The last segment maps 0xFFFF to nothing.
        return [
            (start, end)
            for start, end in zip(starts, ends, strict=True)
            if start <= end and start != 0xFFFF
        ]
    if form == 6:
        start, count = _at(file, offset + 6, "HH")
        return [(start, start + count - 1)] if count else []
    if form in (12, 13):
        (count,) = _at(file, offset + 12, "I")
        numbers = _at(file, offset + 16, f"{3 * count}I")
        return list(zip(numbers[0::3], numbers[1::3], strict=True))
    return []
