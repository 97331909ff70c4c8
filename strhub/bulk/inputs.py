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
from typing import Final, NamedTuple

from PIL import Image

from strhub.bulk.parquet import (
    Span,
    image_column,
    parquet_file,
    parquet_groups,
    rows_at_a_time,
    within,
)
from strhub.images.find import SUFFIXES, expand, is_leftover
from strhub.images.open import UnreadableImage, open_bytes, open_image
from strhub.images.sources import is_address
from strhub.utils.folders import walk_folders

__all__ = ["FILES", "ImageInput", "Span", "Unit", "find", "images"]

log = logging.getLogger(__name__)

FILES, LMDB, PARQUET, TAR = "files", "lmdb", "parquet", "tar"
TARS: Final = (".tar", ".tar.gz", ".tgz")


class ImageInput(NamedTuple):
    """source: names it; image: RGB, or None if it cannot be read; error: why not."""

    source: str
    image: Image.Image | None
    error: str | None = None


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
        """Return the name of its part, a function of its contents."""
        if self.kind == FILES:
            return f"{FILES}-{_digest(*self.files)}"
        where = "" if self.span is None else f"-{self.span.start:09d}-{self.span.stop:09d}"
        return f"{input_name(self.kind, self.path)}{where}"

    def to_json(self) -> str:
        """Return a text, for `from_json`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Unit:
        """Return the unit of a text by `to_json`."""
        fields = json.loads(text)
        span = None if fields["span"] is None else Span(*fields["span"])
        return cls(fields["kind"], fields["path"], span, tuple(fields["files"]))


def input_name(kind: str, path: str) -> str:
    """Return how the parts of an input begin, wherever it is read from."""
    return f"{kind}-{_digest(os.path.abspath(path))}"


def find(inputs: Iterable[str | os.PathLike[str]], *, without: Path) -> dict[str, list[str]]:
    """Find everything to read, by kind, in order and without repetition. A name that matches
    nothing counts as an image, so that the output lists it as unreadable. `without`: a folder to
    leave out, that of the output.
    """
    found: dict[str, dict[str, None]] = {kind: {} for kind in (FILES, LMDB, PARQUET, TAR)}
    for source in [os.fspath(item) for item in inputs]:
        for path in [source] if is_address(source) else map(str, expand(source)):
            for kind, name in _below(path, without.absolute()):
                found[kind][name] = None
    return {kind: list(names) for kind, names in found.items()}


def lmdb_size(path: str) -> int:
    """Return how many records an LMDB has; `ValueError` if it is none, or damaged."""
    from strhub.data.sources.lmdb import LmdbFile

    count, remark = LmdbFile(path).count()
    if remark:
        log.warning("%s: %s", path, remark)
    return count


def images(unit: Unit) -> Iterator[ImageInput]:
    """Yield the images of a unit, in order; what is damaged comes as such, in its place."""
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
    """Yield the kind and path of everything at or below a path."""
    if not os.path.isdir(path):
        yield _kind(path) or FILES, path
        return
    from strhub.data.sources.lmdb import holds_lmdb

    for folder, _, files in walk_folders(
        path, skip=lambda *name: Path(*name).absolute() == without
    ):
        if holds_lmdb(files):
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
    from strhub.data.sources.lmdb import DamagedLmdb, LmdbFile, image_key

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
    parquet = parquet_file(unit.path)
    column = image_column(parquet.schema_arrow, unit.path)
    groups = [
        number for number, span in enumerate(parquet_groups(unit.path)) if within(span, unit.span)
    ]
    row = unit.span.start
    try:
        for batch in parquet.iter_batches(
            rows_at_a_time(parquet, groups), row_groups=groups, columns=[column]
        ):
            for value in batch.column(0):
                content = value.as_py()
                content = content.get("bytes") if isinstance(content, dict) else content
                source = f"{unit.path}#{row}"
                yield (
                    _image(source, content)
                    if isinstance(content, bytes)
                    else ImageInput(source, None, "there is no image")
                )
                row += 1
    except (ArrowException, OSError) as error:
        yield from (
            ImageInput(f"{unit.path}#{at}", None, f"damaged: {error}")
            for at in range(row, unit.span.stop)
        )


def _tar_images(path: str) -> Iterator[ImageInput]:
    from strhub.data.sources.tar import TruncatedShard, read_members

    try:
        for name, content in read_members(path):
            if not name:
                yield ImageInput(path, None, "damaged: a part of it is not a tar")
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


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()[:16]
