"""Words in tar files in WebDataset's layout: `000123.jpg` followed by `000123.txt`, or by a .json with a "label".

In: bytes of a tar as they come, from a disk or a network. Out: pictures with their labels, one at a time. Unlike
`tarfile`, which takes the first damaged block for the end, this goes on behind it, and it says if the end is missing.
"""

from __future__ import annotations

import gzip
import json
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from tarfile import BLOCKSIZE, HeaderError, TarInfo
from typing import IO, Final, NamedTuple, cast

from strhub.errors import DataError
from strhub.images.open import MAX_BYTES, SUFFIXES

__all__ = ["SIZES", "TarWord", "TruncatedShard", "is_remote", "read_members", "read_words"]

SIZES: Final = "sizes.json"  # beside the shards: how many words each has, by name
TIMEOUT: Final = 60  # seconds without a byte from a server
EXTENDED: Final = (b"x", b"L")  # members that say more of the next one: POSIX, GNU


class TruncatedShard(DataError):
    """A shard ended before its end, or could not be opened; what was read before counts."""


class TarWord(NamedTuple):
    """One sample, as it is stored. `problem` says why it can't be used; the rest is then of no use."""

    encoded: bytes = b""
    label: str = ""
    problem: str = ""


def read_words(shard: str) -> Iterator[TarWord]:
    """The samples of a local tar or one at an http(s) address; `.gz` and `.tgz` are unpacked.

    Problems: 'no picture', 'no label', 'undecodable label', 'damaged' (a run of blocks that are no tar).

    Raises:
        TruncatedShard: once there is no more to read, if that was not the end.
    """
    yield from _samples(read_members(shard))


def read_members(shard: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file in a tar as `read_words` takes it; ('', b'') for a run of blocks that are no tar.

    Raises:
        TruncatedShard: as `read_words`.
    """
    try:
        with _open(shard) as stream:
            yield from _members(stream, shard)
    except (OSError, EOFError, zlib.error) as error:
        raise TruncatedShard(f"{shard}: {error}") from error


def is_remote(shard: str) -> bool:
    """Whether it is fetched over the network."""
    return shard.startswith(("http://", "https://"))


@contextmanager
def _open(shard: str) -> Iterator[IO[bytes]]:
    with urllib.request.urlopen(shard, timeout=TIMEOUT) if is_remote(shard) else open(shard, "rb") as stream:
        if shard.endswith((".gz", ".tgz")):
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield stream


def _samples(members: Iterator[tuple[str, bytes]]) -> Iterator[TarWord]:
    """Members that follow each other and have the same name up to the first dot are a sample."""
    key, parts = "", dict[str, bytes]()
    for name, content in members:
        path = PurePosixPath(name)
        stem, _, suffix = path.name.partition(".")
        next_key = f"{path.parent}/{stem}" if name else ""
        if next_key != key and parts:
            yield _word(parts)
            parts = {}
        key = next_key
        if name:
            parts[suffix.rpartition(".")[2].lower()] = content
        else:
            yield TarWord(problem="damaged")
    if parts:
        yield _word(parts)


def _word(parts: dict[str, bytes]) -> TarWord:
    encoded = next((content for suffix, content in parts.items() if f".{suffix}" in SUFFIXES), None)
    if encoded is None:
        return TarWord(problem="no picture")
    try:
        if "txt" in parts:
            return TarWord(encoded, parts["txt"].decode("utf-8").rstrip("\r\n"))
        if "json" not in parts:
            return TarWord(problem="no label")
        stored = json.loads(parts["json"])
    except (ValueError, RecursionError):  # of the decoder and of JSON
        return TarWord(problem="undecodable label")
    label = stored.get("label") if isinstance(stored, dict) else None
    return TarWord(encoded, label) if isinstance(label, str) else TarWord(problem="no label")


def _members(stream: IO[bytes], shard: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of each regular file; ('', b'') once for a run of blocks that make no sense."""
    long_name, sense = "", True
    while block := _read(stream, BLOCKSIZE):
        if block.count(0) == BLOCKSIZE:
            return
        try:
            header = TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except HeaderError:
            if len(block) < BLOCKSIZE:
                break
            if sense:
                yield "", b""
            sense = False
            continue
        sense = True
        padded = -(-header.size // BLOCKSIZE) * BLOCKSIZE
        if not 0 <= header.size <= MAX_BYTES:
            _skip(stream, padded)
            yield "", b""
            continue
        content = _read(stream, padded)
        if len(content) < header.size:
            break
        if header.type in EXTENDED:
            long_name = _extended_name(header.type, content[: header.size]) or long_name
        elif header.isreg():
            yield long_name or header.name, content[: header.size]
            long_name = ""
    raise TruncatedShard(f"{shard}: it was cut short")


def _extended_name(kind: bytes, content: bytes) -> str:
    if kind == b"L":
        return content.rstrip(b"\0").decode("utf-8", "surrogateescape")
    for line in content.split(b"\n"):
        if line.partition(b" ")[2].startswith(b"path="):
            return line.partition(b"=")[2].decode("utf-8", "surrogateescape")
    return ""


def _read(stream: IO[bytes], size: int) -> bytes:
    """So many bytes, fewer only at the end: a network gives what has arrived."""
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _skip(stream: IO[bytes], size: int) -> None:
    while size > 0 and (part := stream.read(min(size, 1 << 20))):
        size -= len(part)
