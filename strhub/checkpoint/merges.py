"""CLIP's table of merges, which its text tower's tokens follow from: where it is, and what it
says.
"""

from __future__ import annotations

import gzip
import importlib.util
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from strhub.utils.regular_files import MAX_LIST_BYTES, read_regular

__all__ = ["MERGES", "MERGES_FILE", "WORD_END", "bundled_merges", "byte_letters", "read_merges"]

MERGES = 49152 - 256 - 2  # that CLIP uses of the table, which is longer
MERGES_FILE = "bpe_simple_vocab_16e6.txt.gz"
WORD_END = "</w>"  # marks a word's last symbol


@lru_cache(maxsize=1)
def byte_letters() -> dict[int, str]:
    """Return a printable character for each byte: itself where it is one, else the next from U+0100
    on.
    """
    printable = [
        *range(ord("!"), ord("~") + 1),
        *range(ord("¡"), ord("¬") + 1),
        *range(ord("®"), ord("ÿ") + 1),
    ]
    others = [byte for byte in range(256) if byte not in printable]
    return {
        **{byte: chr(byte) for byte in printable},
        **{byte: chr(256 + n) for n, byte in enumerate(others)},
    }


def bundled_merges() -> Path | None:
    """Return CLIP's table of merges in an installed open_clip, which need not be importable; None
    if there is none.
    """
    try:
        package = importlib.util.find_spec("open_clip")
    except (ImportError, ValueError):
        return None
    for folder in package.submodule_search_locations or () if package else ():
        if (path := Path(folder) / MERGES_FILE).is_file():
            return path
    return None


def read_merges(path: Path, wanted: int) -> list[tuple[str, str]]:
    """Return the first so many merges of a table: pairs of symbols, in the order in which they are
    joined.

    path: a text file or the same in gzip, a pair a line after a first line of another kind. Raises
    `ValueError` for one that cannot be read or has fewer.
    """
    try:
        raw = read_regular(path, max_bytes=MAX_LIST_BYTES)
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, gzip.BadGzipFile) as error:
        raise ValueError(f"the table of merges {path} cannot be read: {error}") from error
    pairs = [tuple(line.split()) for line in text.split("\n")[1 : wanted + 1]]
    if any(len(pair) != 2 for pair in pairs) or len(pairs) != wanted:
        raise ValueError(
            f"the table {path} has {len([p for p in pairs if len(p) == 2])} merges where the text "
            f"tower knows {wanted}"
        )
    return [(pair[0], pair[1]) for pair in pairs]


def symbol_ids(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Return the id of each symbol: 256 bytes, the same at a word's end, a merge each.

    Where two merges make one symbol, the later number stands for it, as in the published table.
    """
    letters = [*byte_letters().values()]
    vocabulary = [
        *letters,
        *(letter + WORD_END for letter in letters),
        *(first + second for first, second in merges),
    ]
    return {symbol: number for number, symbol in enumerate(vocabulary)}


def merges_as_ids(merges: list[tuple[str, str]]) -> Tensor:
    """Return the merges as ids (M, 3): of both symbols, and of what they make.

    Raises `ValueError` for a table that joins symbols which nothing before makes.
    """
    ids = symbol_ids(merges)
    try:
        rows = [(ids[first], ids[second], ids[first + second]) for first, second in merges]
    except KeyError as error:
        raise ValueError(f"the table of merges joins {error}, which it does not make") from error
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 3)
