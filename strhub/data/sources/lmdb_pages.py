"""The file format of LMDB, as far as reading needs it.

In: a folder with a `data.mdb`. Out: values by key, and keys in order. Pages are read with `pread`
and every number in them is checked against the page and the file before it is followed. LMDB's own
library maps the file into memory and trusts it, so that one wrong byte, or a file that is cut while
it is read, ends the process (SIGBUS) without a word.
"""

from __future__ import annotations

import os
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Final

from strhub.data.sources.lmdb_layout import (
    BRANCH,
    DATA_FILE,
    HEADER,
    IN_OVERFLOW,
    LEAF,
    MAGIC,
    MAX_VALUE,
    META,
    NO_PAGE,
    NODE,
    OVERFLOW,
    DamagedLmdb,
    Meta,
    _child,
)
from strhub.utils.regular_files import open_regular

__all__ = ["DamagedLmdb", "LmdbPages"]


MAX_DEPTH: Final = 32
CACHED_PAGES: Final = 1024  # branch pages kept in memory


class LmdbPages:
    """One LMDB folder, open for reading; threads and forked processes may share it.

    Attributes:
        entries: how many keys the file claims to have, at most as many as fit into it.
        damage: what was wrong with pages that `items` left out, the first 100.

    Raises:
        ValueError: if there is no such file, or it is not LMDB or cut short.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.file = self.path.absolute() / DATA_FILE
        self.damage: list[str] = []
        self._pages: dict[int, bytes] = {}
        self._read = _reader(self, self._open())
        try:
            self._meta = self._newest_meta()
        except (struct.error, OSError, ValueError) as error:
            raise self.unusable(str(error)) from error
        self.entries = min(self._meta.entries, self._size // NODE.size)

    def unusable(self, what: str) -> ValueError:
        """Return the error for a file that cannot be read."""
        return ValueError(
            f"{self.file} can't be read as LMDB: {what}. Copy, download or make it again"
        )

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is no such key.

        Raises:
            DamagedLmdb: if a page on the way to it is damaged.
            OSError: if the file cannot be read.
        """
        number = self._meta.root
        for _ in range(MAX_DEPTH if number != NO_PAGE else 0):
            page, kind = self._page(number)
            nodes = self._nodes(page, number)
            spot = self._search(page, nodes, key, number, branch=kind == BRANCH)
            if kind == BRANCH:
                number = _child(page, nodes[spot])
            elif spot < len(nodes) and self._key(page, nodes[spot], number) == key:
                return self._value(page, nodes[spot], number)
            else:
                return None
        if number == NO_PAGE:
            return None
        raise DamagedLmdb(f"page {number}: it is deeper than a tree can be")

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys that begin with `prefix`, with their values, in order. What is damaged is left
        out and noted.
        """
        visited, waiting = set[int](), [self._meta.root] if self._meta.root != NO_PAGE else []
        end = prefix[:-1] + bytes([prefix[-1] + 1])
        while waiting:
            number = waiting.pop()
            try:
                if number in visited:
                    raise DamagedLmdb(f"page {number}: two pages lead to it")
                visited.add(number)
                page, kind = self._page(number)
                nodes = self._nodes(page, number)
                if kind == BRANCH:
                    waiting += reversed(self._children(page, nodes, number, prefix, end))
                    continue
            except (DamagedLmdb, OSError) as error:
                self._note(str(error))
                continue
            yield from self._leaf_items(page, nodes, number, prefix)

    def _leaf_items(
        self, page: bytes, nodes: memoryview[int], number: int, prefix: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        size, unpack = len(page), NODE.unpack_from
        for node in nodes:
            start = node + NODE.size
            try:
                if node < HEADER or start > size:
                    raise DamagedLmdb(f"page {number}: a key lies outside of it")
                low, high, flags, key_size = unpack(page, node)
                middle = start + key_size
                key = page[start:middle]
                if key.startswith(prefix):
                    inside = not (flags or high) and middle + low <= size
                    yield (
                        key,
                        page[middle : middle + low] if inside else self._value(page, node, number),
                    )
            except (DamagedLmdb, OSError) as error:
                self._note(str(error))

    def _note(self, problem: str) -> None:
        if len(self.damage) < 100:
            self.damage.append(problem)

    def _open(self) -> BufferedReader:
        try:
            file = open_regular(self.file)
        except OSError as error:
            raise ValueError(
                f"no data.mdb in {self.path.absolute()} ({error.strerror}): give the folder of an "
                "LMDB data set, the "
                "one that holds data.mdb itself"
            ) from error
        self._size = os.fstat(file.fileno()).st_size
        return file

    def _newest_meta(self) -> Meta:
        """Return the state after the last complete transaction, of the two that are stored."""
        first = self._meta_at(0)
        second = self._meta_at(first.page_size)
        meta = max(first, second, key=lambda found: found.transaction)
        expected = (meta.last_page + 1) * meta.page_size
        if self._size < expected:
            raise DamagedLmdb(f"it has {self._size} bytes of {expected}, so it was cut short")
        return meta

    def _meta_at(self, offset: int) -> Meta:
        stored = META.unpack(self._read(offset + HEADER, META.size))
        (
            magic,
            version,
            page_size,
            *_,
            flags,
            _depth,
            _branches,
            _leaves,
            _overflows,
            entries,
            root,
            last,
            number,
        ) = stored
        if magic != MAGIC or version != 1:
            raise DamagedLmdb("it does not begin like one")
        if not 256 <= page_size <= 65536 or page_size & (page_size - 1):
            raise DamagedLmdb(f"its pages have {page_size} bytes")
        if flags:
            raise DamagedLmdb(f"it is a kind of LMDB that holds no words (flags {flags})")
        return Meta(page_size, entries, root, last, number)

    def _page(self, number: int) -> tuple[bytes, int]:
        """Return a page of nodes and its kind."""
        page = self._pages.get(number)
        if page is None:
            if not 2 <= number <= self._meta.last_page:
                raise DamagedLmdb(f"page {number}: there is no such page")
            page = self._read(number * self._meta.page_size, self._meta.page_size)
        own, flags = int.from_bytes(page[:8], "little"), page[10] & (BRANCH | LEAF | OVERFLOW)
        if own != number or flags not in (BRANCH, LEAF):
            raise DamagedLmdb(f"page {number}: it is not a page of keys")
        if flags == BRANCH and len(self._pages) < CACHED_PAGES:
            self._pages[number] = page
        return page, flags

    def _nodes(self, page: bytes, number: int) -> memoryview[int]:
        """Return the offsets of a page's nodes, which `_key` and `_child` check."""
        end = int.from_bytes(page[12:14], "little")
        if not HEADER < end <= len(page):
            raise DamagedLmdb(f"page {number}: its list of keys ends at byte {end} of {len(page)}")
        return memoryview(page)[HEADER : end & ~1].cast("H")

    def _key(self, page: bytes, node: int, number: int) -> bytes:
        start = node + NODE.size
        end = start + int.from_bytes(page[node + 6 : node + 8], "little")
        if node < HEADER or end > len(page):
            raise DamagedLmdb(f"page {number}: a key lies outside of it")
        return page[start:end]

    def _search(
        self, page: bytes, nodes: memoryview[int], key: bytes, number: int, *, branch: bool
    ) -> int:
        """Return the spot of the first node whose key is not lower; in a branch, that of the node
        the key is below.
        """
        low, high = (
            (1, len(nodes)) if branch else (0, len(nodes))
        )  # a branch's first key is lower than all
        while low < high:
            middle = (low + high) // 2
            found = self._key(page, nodes[middle], number)
            if found < key or (branch and found == key):
                low = middle + 1
            else:
                high = middle
        return low - 1 if branch else low

    def _children(
        self, page: bytes, nodes: memoryview[int], number: int, start: bytes, end: bytes
    ) -> list[int]:
        """Return the pages below a branch that may hold keys from `start` to before `end`."""
        keys = [b"", *(self._key(page, node, number) for node in nodes[1:])]
        ends = [*keys[1:], end]
        return [
            _child(page, node)
            for node, first, last in zip(nodes, keys, ends, strict=True)
            if first < end and last >= start
        ]

    def _value(self, page: bytes, node: int, number: int) -> bytes:
        low, high, flags, key_size = NODE.unpack_from(page, node)
        size, start = low | high << 16, node + NODE.size + key_size
        if size > MAX_VALUE:
            raise DamagedLmdb(
                f"page {number}: a value has {size} bytes, over the limit of {MAX_VALUE >> 20} MiB"
            )
        if not flags & IN_OVERFLOW:
            if flags or start + size > len(page):
                raise DamagedLmdb(f"page {number}: a value lies outside of it")
            return page[start : start + size]
        if start + 8 > len(page):
            raise DamagedLmdb(f"page {number}: a value lies outside of it")
        return self._overflow(int.from_bytes(page[start : start + 8], "little"), size)

    def _overflow(self, number: int, size: int) -> bytes:
        """Return a value that fills pages of its own."""
        page_size = self._meta.page_size
        count = -(-(HEADER + size) // page_size)
        if not 2 <= number <= self._meta.last_page + 1 - count:
            raise DamagedLmdb(f"page {number}: a value lies beyond the end of the file")
        content = self._read(number * page_size, HEADER + size)
        own, flags, pages = (
            int.from_bytes(content[:8], "little"),
            content[10],
            int.from_bytes(content[12:16], "little"),
        )
        if own != number or not flags & OVERFLOW or pages < count:
            raise DamagedLmdb(f"page {number}: it is not the page of a value")
        return content[HEADER:]


def _reader(owner: LmdbPages, file: BufferedReader) -> Callable[[int, int], bytes]:
    """Return a function of offset and size that reads a file, which is closed with its owner."""
    weakref.finalize(owner, file.close)
    descriptor = file.fileno()
    lock = threading.Lock()

    def read(offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            content = os.pread(descriptor, size, offset)
        else:
            with lock:
                os.lseek(descriptor, offset, os.SEEK_SET)
                content = os.read(descriptor, size)
        if len(content) < size:
            raise DamagedLmdb(f"it ends within the {size} bytes from {offset} on")
        return content

    return read
