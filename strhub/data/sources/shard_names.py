"""Which tar files are meant, and how many words they hold.

In: paths, globs and addresses, with braces. Out: paths and addresses one by one; a number, where
    `sizes.json` has it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import Any, Final

from strhub.data.sources.tar import SIZES, is_remote
from strhub.errors import DataError
from strhub.utils.json_text import load_json
from strhub.utils.regular_files import read_regular_text

__all__ = ["TAR", "find_shards", "known_size"]

TAR: Final = (".tar", ".tar.gz", ".tgz")
"""How the names of shards end."""

MIN_SAMPLE: Final = 3 * BLOCKSIZE  # bytes: an image with its header, and a label's header
BRACES: Final = re.compile(r"\{([^{}]*)\}")


def find_shards(patterns: str | Sequence[str]) -> list[str]:
    """Return paths and addresses of shards: braces are expanded, then globs matched; in order, none
    twice.

    Raises:
        ValueError: if a path isn't there or a glob matches nothing.
    """
    found: dict[str, None] = {}
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for name in _expanded(pattern):
            matches = sorted(glob(name)) if has_magic(name) and not is_remote(name) else [name]
            if not matches or not (is_remote(matches[0]) or Path(matches[0]).is_file()):
                raise ValueError(
                    f"no shard {name}: give tar files, such as data/words-{{000000..000099}}.tar "
                    "or data/*.tar"
                )
            found.update(dict.fromkeys(matches))
    if not found:
        raise ValueError(
            "no shards: give tar files, such as data/words-{000000..000099}.tar or data/*.tar"
        )
    return list(found)


def _expanded(pattern: str) -> list[str]:
    """Expand `{07..12}` to numbers of that width, `{a,b}` to either; the last pair of braces varies
    fastest.
    """
    braces = BRACES.search(pattern)
    if braces is None:
        return [pattern]
    first, dots, last = braces[1].partition("..")
    if dots and first.isdecimal() and last.isdecimal():
        choices = [f"{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    else:
        choices = braces[1].split(",")
    return [
        pattern[: braces.start()] + choice + rest
        for choice in choices
        for rest in _expanded(pattern[braces.end() :])
    ]


def known_size(shards: Sequence[str]) -> int | None:
    """Return how many words local shards have together, if files beside them say so of all."""
    sizes: dict[Path, Any] = {}
    total = 0
    for shard in shards:
        folder, name = Path(shard).parent, Path(shard).name
        if folder not in sizes:
            try:
                sizes[folder] = (
                    {} if is_remote(shard) else load_json(read_regular_text(folder / SIZES))
                )
            except (OSError, ValueError):
                sizes[folder] = {}
        size = sizes[folder].get(name) if isinstance(sizes[folder], dict) else None
        if not isinstance(size, int):
            return None
        stored = Path(shard).stat().st_size
        if size < 0 or (shard.endswith(".tar") and size * MIN_SAMPLE > stored):
            raise DataError(
                f"{folder / SIZES} says that {name} holds {size} words, but it has only {stored} "
                "bytes. Make it again, "
                "or set data.shard_words"
            )
        total += size
    return total
