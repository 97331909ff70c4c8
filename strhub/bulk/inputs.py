"""What there is to read, cut into units of work that are done or not, and the images of a unit.

In: folders, LMDB data sets, Parquet files, tar shards, images, globs. Out: `Unit`s, small enough to
be sent about, and from a unit its images one by one, decoded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image

from strhub.images.find import expand, is_leftover
from strhub.images.open import SUFFIXES, UnreadableImage, open_bytes, open_image
from strhub.images.sources import is_address
from strhub.utils.folders import walk_folders
from strhub.utils.regular_files import check_regular

__all__ = ["FILES", "ImageInput", "Span", "Unit", "find", "images"]

log = logging.getLogger(__name__)

FILES, LMDB, PARQUET, TAR = "files", "lmdb", "parquet", "tar"
TARS: Final = (".tar", ".tar.gz", ".tgz")
MIN_ROWS: Final = 1000  # of a row group that need no bytes, such as missing images
MIN_UNPACKED: Final = 64 << 20  # bytes of a row group that may be unpacked from however few
MAX_UNPACKED: Final = 256 << 20  # bytes of rows that are unpacked together
MAX_RATIO: Final = (
    50  # times the stored bytes that more may unpack to; encoded images do not get smaller
)
IMAGE_COLUMNS: Final = ("image", "bytes", "picture", "content")


class ImageInput(NamedTuple):
    """source: names it; image: RGB, or None if it cannot be read; error: why not."""

    source: str
    image: Image.Image | None
    error: str | None = None


class Span(NamedTuple):
    """Records `start` to `stop - 1` of an input."""

    start: int
    stop: int


@dataclass(frozen=True)
class Unit:
    """Images that are read together, to one part of the output.

    kind: FILES, LMDB, PARQUET or TAR; path: of the input, none for FILES; span: its records, none
        for FILES and TAR;
    files: for FILES, the images.
    """

    kind: str
    path: str = ""
    span: Span | None = None
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its part, a function of what it holds."""
        if self.kind == FILES:
            return f"{FILES}-{_digest(*self.files)}"
        where = "" if self.span is None else f"-{self.span.start:09d}-{self.span.stop:09d}"
        return f"{input_name(self.kind, self.path)}{where}"

    def to_json(self) -> str:
        """A text, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Unit:
        """The unit of a text by `to_json`."""
        fields = json.loads(text)
        span = None if fields["span"] is None else Span(*fields["span"])
        return cls(fields["kind"], fields["path"], span, tuple(fields["files"]))


def input_name(kind: str, path: str) -> str:
    """How the parts of an input begin, wherever it is read from."""
    return f"{kind}-{_digest(os.path.abspath(path))}"


def find(inputs: Iterable[str | os.PathLike[str]], *, without: Path) -> dict[str, list[str]]:
    """Everything to read, by kind, in order and none twice. A name that matches nothing counts as
    an image, so that it is in the output as unreadable. `without`: a folder that is left out, that
    of the output.
    """
    found: dict[str, dict[str, None]] = {kind: {} for kind in (FILES, LMDB, PARQUET, TAR)}
    for source in [os.fspath(item) for item in inputs]:
        for path in [source] if is_address(source) else map(str, expand(source)):
            for kind, name in _below(path, without.absolute()):
                found[kind][name] = None
    return {kind: list(names) for kind, names in found.items()}


def lmdb_size(path: str) -> int:
    """How many records an LMDB has; `ValueError` if it is none, or damaged."""
    from strhub.data.sources.lmdb_format import LmdbFile

    count, remark = LmdbFile(path).count()
    if remark:
        log.warning("%s: %s", path, remark)
    return count


def parquet_groups(path: str) -> list[Span]:
    """The rows of each row group, the smallest that is read at once; `ValueError` for a file that
    is of no use.

    Also for one whose row groups unpack to far more than images do, for they are unpacked in pieces
    of any size.
    """
    parquet = _parquet_file(path)
    column = _image_column(parquet.schema_arrow, path)
    spans, start = [], 0
    for group in range(parquet.metadata.num_row_groups):
        metadata = parquet.metadata.row_group(group)
        chunks = [metadata.column(number) for number in range(metadata.num_columns)]
        _check_size(
            [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] == column],
            metadata,
            path,
        )
        spans.append(Span(start, start + metadata.num_rows))
        start += metadata.num_rows
    return spans


def _check_size(chunks: list[Any], metadata: Any, path: str) -> None:
    """Raise `ValueError` for a row group that claims more rows or bytes than its stored bytes can
    have in images.
    """
    stored = sum(chunk.total_compressed_size for chunk in chunks)
    unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
    if metadata.num_rows < 0 or metadata.num_rows > MIN_ROWS + 8 * stored:
        raise ValueError(
            f"{path}: {stored} bytes can't hold the images of {metadata.num_rows} rows"
        )
    if unpacked > MIN_UNPACKED and unpacked > MAX_RATIO * stored:
        raise ValueError(
            f"{path}: its images would unpack from {stored >> 10} KiB to {unpacked >> 20} MiB, "
            "which is no data"
        )


def images(unit: Unit) -> Iterator[ImageInput]:
    """The images of a unit, in order; what is damaged comes as such, in its place."""
    if unit.kind == FILES:
        for name in unit.files:
            yield _image(name, name)
    elif unit.kind == LMDB:
        yield from _lmdb_images(unit)
    elif unit.kind == PARQUET:
        yield from _parquet_images(unit)
    else:
        yield from _tar_images(unit.path)


def _below(path: str, without: Path) -> Iterator[tuple[str, str]]:
    """Kind and path of what is at or below a path."""
    if not os.path.isdir(path):
        yield _kind(path) or FILES, path
        return
    for folder, _, files in walk_folders(
        path, skip=lambda *name: Path(*name).absolute() == without
    ):
        if "data.mdb" in files:
            yield LMDB, folder
        for name in files:
            kind, file = _kind(name), os.path.join(folder, name)
            if kind is not None and not is_leftover(file):
                yield kind, file


def _kind(name: str) -> str | None:
    lower = name.lower()
    if lower.endswith(TARS):
        return TAR
    suffix = os.path.splitext(lower)[1]
    return PARQUET if suffix == ".parquet" else FILES if suffix in SUFFIXES else None


def _lmdb_images(unit: Unit) -> Iterator[ImageInput]:
    from strhub.data.sources.lmdb_format import DamagedLmdb, LmdbFile, image_key

    assert unit.span is not None
    file = LmdbFile(unit.path)
    for number in range(unit.span.start + 1, unit.span.stop + 1):  # keys count from 1
        key, source = image_key(number), f"{unit.path}#{number}"
        try:
            content = file.get(key)
        except (DamagedLmdb, OSError) as error:
            yield ImageInput(source, None, f"damaged: {error}")
        else:
            yield (
                ImageInput(source, None, f"there is no {key.decode()}")
                if content is None
                else _image(source, content)
            )


def _parquet_images(unit: Unit) -> Iterator[ImageInput]:
    from pyarrow import ArrowException

    assert unit.span is not None
    parquet = _parquet_file(unit.path)
    column = _image_column(parquet.schema_arrow, unit.path)
    groups = [
        number for number, span in enumerate(parquet_groups(unit.path)) if _within(span, unit.span)
    ]
    row = unit.span.start
    try:
        for batch in parquet.iter_batches(
            _rows_at_a_time(parquet, groups), row_groups=groups, columns=[column]
        ):
            for value in batch.column(0):
                content = value.as_py()
                content = content.get("bytes") if isinstance(content, dict) else content
                source = f"{unit.path}#{row}"
                yield (
                    ImageInput(source, None, "there is no image")
                    if content is None
                    else _image(source, content)
                )
                row += 1
    except (ArrowException, OSError) as error:
        yield from (
            ImageInput(f"{unit.path}#{at}", None, f"damaged: {error}")
            for at in range(row, unit.span.stop)
        )


def _rows_at_a_time(parquet: Any, groups: list[int]) -> int:
    """Return how many rows to unpack together: each could be as large as all that is stored, once,
    for many rows.
    """
    largest = max(
        (parquet.metadata.row_group(group).total_byte_size for group in groups), default=0
    )
    return int(max(1, min(64, MAX_UNPACKED // max(1, largest))))


def _tar_images(path: str) -> Iterator[ImageInput]:
    from strhub.data.sources.tar import TruncatedShard, read_members

    try:
        for name, content in read_members(path):
            if not name:
                yield ImageInput(path, None, "damaged: a part of it is no tar")
            elif os.path.splitext(name.lower())[1] in SUFFIXES and not is_leftover(name, content):
                yield _image(f"{path}#{name}", content)
    except TruncatedShard as error:
        yield ImageInput(path, None, str(error))


def _image(source: str, content: str | bytes) -> ImageInput:
    try:
        return ImageInput(
            source, open_bytes(content) if isinstance(content, bytes) else open_image(content)
        )
    except UnreadableImage as error:
        return ImageInput(source, None, str(error))


def _parquet_file(path: str, **options: Any) -> Any:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        check_regular(path)
        return ParquetFile(path, **options)
    except (ArrowException, OSError) as error:
        raise ValueError(f"{path} cannot be read as Parquet: {error}") from error


def _image_column(schema: Any, path: str) -> str:
    """The column of encoded images: binary, or a struct with `bytes` as Hugging Face has it; by
    name if in doubt.
    """
    import pyarrow

    def holds_images(kind: Any) -> bool:
        if pyarrow.types.is_struct(kind):
            return any(kind.field(at).name == "bytes" for at in range(kind.num_fields))
        return pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)

    names = [field.name for field in schema if holds_images(field.type)]
    chosen = next(
        (name for name in IMAGE_COLUMNS if name in names), names[0] if len(names) == 1 else None
    )
    if chosen is None:
        raise ValueError(
            f"{path}: of its columns {', '.join(schema.names)} none is known to hold images; "
            f"name one with the encoded images {IMAGE_COLUMNS[0]!r}"
        )
    return str(chosen)


def _within(span: Span, whole: Span) -> bool:
    return whole.start <= span.start and span.stop <= whole.stop


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:16]
