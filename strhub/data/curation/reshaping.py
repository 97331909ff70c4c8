"""Records chosen from trees of LMDB folders and copied to a new one as they are: for `filter`,
`merge` and `split`.

In: trees, and what is wanted of them. Out: LMDB folders, and how many records were kept and
    dropped, by reason.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias, overload

import numpy as np

from strhub.data.curation.duplicates import first_with_same, repeats_to_drop
from strhub.data.curation.overlap import exact_across, near_across, near_within
from strhub.data.curation.scan import DROP_REASONS, Scan, scan
from strhub.data.curation.stored import StoredWords
from strhub.data.curation.writer import Record, SkippedRecord, WriteReport, write_words
from strhub.data.sources.lmdb import status_of
from strhub.data.sources.soft_labels import SoftLabel, load_soft_label
from strhub.text.charset import LabelPreparation

__all__ = [
    "Copy",
    "KeepRules",
    "Locations",
    "choose",
    "copy_records",
    "split_by_label",
    "split_by_record",
]

Array: TypeAlias = np.ndarray[Any, Any]
Location: TypeAlias = tuple[Path, int]

# height / width from which a word of several letters is taken to be written downwards
VERTICAL_ASPECT: Final = 1.5


@dataclass(frozen=True, kw_only=True)
class KeepRules:
    """What records must be like to be kept. Any wish about images leaves out those that can't be
    read.

    charset: its letters and digits must be enough for the label. max_length: of the label, in
        characters.
    min_side: of the image, in pixels. min_aspect, max_aspect: bounds of width / height. match:
        found in the label.
    drop_vertical: leave out labels of several characters in images at least 1.5 times as high as
        wide.
    drop_unreadable: leave out what can't be decoded. drop_duplicates: keep the first of the same or
        near images.
    without: a tree; what shows the same image as a record of it is left out.
    """

    charset: str | None = None
    max_length: int | None = None
    min_side: int | None = None
    min_aspect: float | None = None
    max_aspect: float | None = None
    match: str | None = None
    drop_vertical: bool = False
    drop_unreadable: bool = False
    drop_duplicates: bool = False
    without: Path | None = None

    @property
    def about_images(self) -> bool:
        """Return whether images must be decoded."""
        bounds = (self.min_side, self.min_aspect, self.max_aspect, self.without)
        flags = (self.drop_vertical, self.drop_unreadable, self.drop_duplicates)
        return any(flags) or any(bound is not None for bound in bounds)


def choose(
    tree: str | Path, rules: KeepRules, *, workers: int = 1, progress: bool = False
) -> tuple[Scan, Array, Counter[str]]:
    """Return the scanned tree, which records to keep (N,) bool, and how many are dropped by the
    first reason that holds.

    Raises:
        ValueError: if there is nothing to read, or `match` is not a regular expression.
    """
    prepare = None
    if rules.charset is not None:
        prepare = LabelPreparation(rules.charset, max_length=rules.max_length)
    try:
        match = None if rules.match is None else re.compile(rules.match)
    except re.error as error:
        raise ValueError(f"{rules.match!r} is not a regular expression: {error}") from error
    scanned = scan(
        tree,
        prepare_label=prepare,
        match=match,
        read_images=rules.about_images,
        workers=workers,
        progress=progress,
    )
    kept, dropped = np.ones(len(scanned.records), dtype=bool), Counter[str]()

    def drop(reason: str, condition: Array) -> None:
        if count := int((kept & condition).sum()):
            dropped[reason] += count
        kept[condition] = False

    _drop_by_label(scanned.records, rules, drop)
    if rules.about_images:
        _drop_by_size(scanned.records, rules, drop)
    if rules.without is not None:
        drop("overlap", _overlapping(scanned, rules.without, workers, progress))
    if rules.drop_duplicates:
        near = near_within(scanned, among=kept, workers=workers, progress=progress)
        _drop_duplicates(scanned, kept.copy(), near, drop)
    return scanned, kept, dropped


def split_by_record(count: int, fraction: float, seed: int) -> Array:
    """Return which of `count` records go to the first part: (count,) bool, drawn evenly."""
    first = np.zeros(count, dtype=bool)
    first[np.random.default_rng(seed).permutation(count)[: round(fraction * count)]] = True
    return first


def split_by_label(keys: Array, fraction: float, seed: int) -> Array:
    """Split as `split_by_record` does, but with all records of one `label_key` on the same side.
    The fraction is met if possible.

    keys: (N,) uint64.
    """
    labels, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    wanted, taken = fraction * len(keys), 0
    first = np.zeros(len(labels), dtype=bool)
    for label in order:
        if abs(taken + counts[label] - wanted) <= abs(taken - wanted):
            first[label] = True
            taken += int(counts[label])
    return np.asarray(first[inverse.reshape(-1)])


def copy_records(
    folder: str | Path,
    scanned: Scan,
    chosen: Array,
    *,
    overwrite: bool = False,
    progress: bool | None = None,
) -> WriteReport:
    """Write the chosen records (N,) bool of a scan to an LMDB folder, as they are stored and in
    their order.

    Those without an image, or with a label that isn't UTF-8, are left out and counted in the
    report; a label that is missing becomes an empty one. Raises as `write_words`.
    """
    locations = Locations(scanned, np.flatnonzero(chosen))
    return write_words(
        folder,
        locations,
        Copy(),
        fingerprint=locations.fingerprint(),
        overwrite=overwrite,
        progress=progress,
    )


class Locations(Sequence[Location]):
    """Where the records of these indexes of a scan are: folder and number."""

    def __init__(self, scanned: Scan, indexes: Array) -> None:
        self.scanned, self.indexes = scanned, indexes

    def __len__(self) -> int:
        return len(self.indexes)

    @overload
    def __getitem__(self, spot: int) -> Location: ...

    @overload
    def __getitem__(self, spot: slice) -> Sequence[Location]: ...

    def __getitem__(self, spot: int | slice) -> Location | Sequence[Location]:
        if isinstance(spot, slice):
            return Locations(self.scanned, self.indexes[spot])
        return self.scanned.location(int(self.indexes[spot]))

    def fingerprint(self) -> str:
        """Return a hash of which records these are, and of the size and time of their files."""
        digest = hashlib.sha256(self.indexes.tobytes())
        for folder in self.scanned.folders:
            digest.update(repr((str(folder.absolute()), *status_of(folder))).encode())
        return digest.hexdigest()


class Copy:
    """Gives the record at a place as it is stored, a missing label as an empty one, with its soft
    label if that is of use.

    Raises:
        SkippedRecord: if it has no image or its label isn't UTF-8.
    """

    def __init__(self) -> None:
        self._words: StoredWords | None = None

    def __call__(self, location: Location) -> Iterator[Record]:
        """Yield the one record."""
        folder, number = location
        if self._words is None or self._words.path != folder:
            self._words = StoredWords(folder)
        (stored,) = self._words.records([number])
        text = stored.text
        if stored.encoded is None:
            raise SkippedRecord(
                f"{folder}: record {number}: {stored.error or 'there is no image'}", "no image"
            )
        if text is None:
            raise SkippedRecord(
                f"{folder}: record {number}: its label isn't UTF-8", "undecodable label"
            )
        soft: SoftLabel = ()
        if stored.soft is not None:
            with suppress(ValueError):
                soft = load_soft_label(stored.soft)
        yield stored.encoded, text, soft


def _drop_by_label(records: Array, rules: KeepRules, drop: Callable[[str, Array], None]) -> None:
    if rules.charset is not None:
        for number, reason in enumerate(DROP_REASONS[1:], 1):
            drop(reason, records["drop"] == number)
    elif rules.max_length is not None:
        drop("too long", records["characters"] > rules.max_length)
    drop("no match", ~records["matches"])


def _drop_by_size(records: Array, rules: KeepRules, drop: Callable[[str, Array], None]) -> None:
    drop("unreadable", ~records["readable"])
    width, height = records["width"], records["height"]
    aspect = width / np.maximum(height, 1)
    if rules.min_side is not None:
        drop("small side", np.minimum(width, height) < rules.min_side)
    if rules.min_aspect is not None:
        drop("too narrow", aspect < rules.min_aspect)
    if rules.max_aspect is not None:
        drop("too wide", aspect > rules.max_aspect)
    if rules.drop_vertical:
        drop("vertical", (height >= VERTICAL_ASPECT * width) & (records["characters"] > 1))


def _overlapping(scanned: Scan, other: Path, workers: int, progress: bool) -> Array:
    """Return which records show the same image as one of the other tree."""
    second = scan(other, workers=workers, progress=progress)
    both, boundary = second.joined(scanned), len(second.records)
    exact = exact_across(both, boundary)
    near = near_across(both, boundary, workers=workers, progress=progress)
    found = np.zeros(len(both.records), dtype=bool)
    found[exact["second"]] = True
    found[near["second"]] = True
    # Of equal images only the first was compared.
    pixels = scanned.records["pixels"]
    return np.asarray(found[boundary:] | np.isin(pixels, pixels[found[boundary:] & (pixels != 0)]))


def _drop_duplicates(
    scanned: Scan, among: Array, near: Array, drop: Callable[[str, Array], None]
) -> None:
    pixels = np.where(among, scanned.records["pixels"], 0)
    repeated = (first_with_same(pixels) != np.arange(len(pixels))) & (pixels != 0)
    drop("duplicate", repeated)
    drop("near duplicate", repeats_to_drop(pixels, near))
