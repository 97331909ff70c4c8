"""The layout of LMDB's pages: headers, nodes and what marks them."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from strhub.errors import DataError

DATA_FILE: Final = "data.mdb"
"""The file of an LMDB folder that holds everything."""

MAX_VALUE: Final = 256 << 20  # bytes of one value

HEADER: Final = 16  # bytes before the offsets of a page's nodes

NODE: Final = struct.Struct(
    "<HHHH"
)  # size of the value (or child page) in two halves, flags, size of the key


META: Final = struct.Struct("<II16xIHH40xIHHQQQQQQQ")  # from `magic` on

MAGIC: Final = 0xBEEFC0DE

NO_PAGE: Final = (1 << 64) - 1


BRANCH, LEAF, OVERFLOW = 1, 2, 4  # kinds of pages


IN_OVERFLOW: Final = 1  # flag of a node


class DamagedLmdb(DataError):
    """A page of the file makes no sense; the message says which and why."""


class Meta(NamedTuple):
    page_size: int
    entries: int
    root: int
    last_page: int
    transaction: int


def _child(page: bytes, node: int) -> int:
    if not HEADER <= node <= len(page) - NODE.size:
        raise DamagedLmdb(f"page {int.from_bytes(page[:8], 'little')}: a key lies outside of it")
    low, middle, high, _ = NODE.unpack_from(page, node)
    return int(low | middle << 16 | high << 32)
