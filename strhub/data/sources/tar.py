"""Words in tar files in WebDataset's layout: `000123.jpg` followed by `000123.txt`, or by a .json
with a "label".

In: bytes of a tar as they come, from a disk or a network. Out: images with their labels, one at a
time. Unlike `tarfile`, which takes the first damaged block for the end, this goes on behind it, and
it says if the end is missing. Nothing in a tar makes this hold more than two images and a label at
a time.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from tarfile import BLOCKSIZE, HeaderError, TarInfo
from typing import IO, Final, NamedTuple, cast

from strhub.errors import DataError
from strhub.images.find import SUFFIXES, is_leftover
from strhub.images.open import MAX_BYTES
from strhub.utils import web
from strhub.utils.json_text import load_json
from strhub.utils.regular_files import open_regular

__all__ = ["SIZES", "TarWord", "TruncatedShard", "is_remote", "read_members", "read_words"]

SIZES: Final = "sizes.json"  # beside the shards: how many words each has, by name
PACKED: Final = (".gz", ".tgz")
TIMEOUT: Final = 60  # seconds without a byte from a server
EXTENDED: Final = (b"x", b"L")  # members that say more of the next one: POSIX, GNU
MAX_EXTENDED: Final = 1 << 20  # bytes of such a member
MAX_LABEL: Final = 1 << 20  # bytes of a label's file
MAX_TAIL: Final = (
    64 << 20
)  # bytes behind the end mark that are read for the checksum at the end of a gzip file
LABEL_SUFFIXES: Final = ("txt", "json")


class TruncatedShard(DataError):
    """A shard ended before its end, is not what its checksum says or could not be opened; what was
    read counts.
    """


class TarWord(NamedTuple):
    """One sample, as it is stored. `problem` says why it can't be used; the rest is then of no
    use.
    """

    encoded: bytes = b""
    label: str = ""
    problem: str = ""


def read_words(shard: str) -> Iterator[TarWord]:
    """Yield the samples of a local tar or one at an http(s) address; `.gz` and `.tgz` are unpacked.

    Problems: 'no image', 'no label', 'undecodable label', 'damaged' (a run of blocks that are no
        tar).

    Raises:
        TruncatedShard: once there is no more to read, if that was not the end.
    """
    yield from _samples(read_members(shard))


def read_members(shard: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file in a tar as `read_words` takes it; ('', b'') for blocks
    that are no tar.

    Raises:
        TruncatedShard: as `read_words`.
    """
    try:
        with _open(shard) as stream:
            yield from _members(stream, shard)
            if shard.endswith(PACKED):
                _skip(stream, MAX_TAIL)  # at its end the checksum is compared
    except (OSError, EOFError, zlib.error) as error:
        raise TruncatedShard(f"{shard}: {error}") from error


def is_remote(shard: str) -> bool:
    """Return whether it is fetched over the network."""
    return shard.startswith(("http://", "https://"))


@contextmanager
def _remote(shard: str) -> Iterator[IO[bytes]]:
    with web.stream(shard, timeout=TIMEOUT) as answer:
        yield io.BufferedReader(answer)


@contextmanager
def _open(shard: str) -> Iterator[IO[bytes]]:
    with _remote(shard) if is_remote(shard) else open_regular(shard) as stream:
        if shard.endswith(PACKED):
            with gzip.GzipFile(fileobj=stream) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield stream


def _samples(members: Iterator[tuple[str, bytes]]) -> Iterator[TarWord]:
    """Yield samples: members that follow each other and have the same name up to the first dot."""
    key, parts = "", dict[str, bytes]()
    try:
        for name, content in members:
            if is_leftover(name, content):  # between the members of a sample, in tars made on macOS
                continue
            path = PurePosixPath(name)
            stem, _, suffix = path.name.partition(".")
            next_key = f"{path.parent}/{stem}" if name else ""
            if next_key != key and parts:
                yield _word(parts)
                parts = {}
            key = next_key
            if name:
                _take(parts, suffix.rpartition(".")[2].lower(), content)
            else:
                yield TarWord(problem="damaged")
    except TruncatedShard:
        if parts and not (word := _word(parts)).problem:
            yield word  # the last one is whole: only the end is missing
        raise
    if parts:
        yield _word(parts)


def _take(parts: dict[str, bytes], suffix: str, content: bytes) -> None:
    """Add a member to its sample: the first image and the labels, for a sample may have any number
    of members.
    """
    if f".{suffix}" in SUFFIXES:
        parts.setdefault("image", content)
    elif suffix in LABEL_SUFFIXES:
        parts.setdefault(suffix, content if len(content) <= MAX_LABEL else b"\xff")
    else:
        parts.setdefault("", b"")


def _word(parts: dict[str, bytes]) -> TarWord:
    encoded = parts.get("image")
    if encoded is None:
        return TarWord(problem="no image")
    try:
        if "txt" in parts:
            return TarWord(encoded, parts["txt"].decode("utf-8").rstrip("\r\n"))
        if "json" not in parts:
            return TarWord(problem="no label")
        stored = load_json(parts["json"])
    except ValueError:  # of the decoder and of JSON
        return TarWord(problem="undecodable label")
    label = stored.get("label") if isinstance(stored, dict) else None
    return TarWord(encoded, label) if isinstance(label, str) else TarWord(problem="no label")


def _members(stream: IO[bytes], shard: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each regular file; ('', b'') once for a run of blocks that make no
    sense.
    """
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
        padding = -header.size % BLOCKSIZE
        if not 0 <= header.size <= (MAX_EXTENDED if header.type in EXTENDED else MAX_BYTES):
            _skip(stream, header.size + padding)
            yield "", b""
            continue
        content = _read(stream, header.size)
        if len(content) < header.size:
            break
        if header.type in EXTENDED:
            long_name = _extended_name(header.type, content) or long_name
        elif header.isreg():
            yield long_name or header.name, content
            long_name = ""
        del content
        _skip(stream, padding)
    raise TruncatedShard(f"{shard}: it was cut short")


def _extended_name(kind: bytes, content: bytes) -> str:
    if kind == b"L":
        return content.rstrip(b"\0").decode("utf-8", "surrogateescape")
    for line in content.split(b"\n"):
        if line.partition(b" ")[2].startswith(b"path="):
            return line.partition(b"=")[2].decode("utf-8", "surrogateescape")
    return ""


def _read(stream: IO[bytes], size: int) -> bytes:
    """Return so many bytes, fewer only at the end: a network gives what has arrived."""
    parts: list[bytes] = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _skip(stream: IO[bytes], size: int) -> None:
    while size > 0 and (part := stream.read(min(size, 1 << 20))):
        size -= len(part)
