"""Records of one or two scanned trees that show the same image.

In: a `Scan` (of two trees: joined, with the side of each record). Out: pairs of records, exact and
    near.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from strhub.data.curation.duplicates import (
    MIN_SIMILARITY,
    PAIR,
    first_with_same,
    near_pairs,
    similarity,
)
from strhub.data.curation.scan import Scan, useful_workers
from strhub.data.curation.stored import Store, open_stored
from strhub.images.open import open_bytes
from strhub.utils.progress import progress as progress_of
from strhub.utils.workers import run_in_order

__all__ = ["exact_across", "exact_within", "near_across", "near_within"]

Array: TypeAlias = np.ndarray[Any, Any]
Location: TypeAlias = tuple[Path, int]

MAX_ASPECT_CHANGE: Final = 1.3  # a crop of 2 pixels a side changes a small image's by a fifth
PAIRS_A_JOB: Final = 50


def exact_within(scanned: Scan) -> Array:
    """Return (P,) of `PAIR`: every record whose bytes or pixels repeat those of an earlier one,
    with the first such.
    """
    numbers = np.arange(len(scanned.records))
    first = first_with_same(_identity(scanned.records))
    repeats = (first != numbers) & (scanned.records["content"] != 0)
    return _pairs(first[repeats], numbers[repeats], 1.0)


def exact_across(scanned: Scan, boundary: int) -> Array:
    """Return (P,) of `PAIR`: every record from number `boundary` on whose bytes or pixels are those
    of one before it.
    """
    identity = _identity(scanned.records)
    values, first = np.unique(identity[:boundary], return_index=True)
    if not len(values):
        return np.empty(0, dtype=PAIR)
    later = identity[boundary:]
    spots = np.minimum(np.searchsorted(values, later), len(values) - 1)
    equal = (values[spots] == later) & (scanned.records["content"][boundary:] != 0)
    return _pairs(first[spots[equal]], np.flatnonzero(equal) + boundary, 1.0)


def near_within(
    scanned: Scan, *, among: Array | None = None, workers: int = 1, progress: bool = False
) -> Array:
    """Return (P,) of `PAIR`: records that are not identical but show the same image, with agreeing
    labels.

    Of records whose pixels and labels are the same only the first is looked at. among: (N,) bool,
    of those to look at. progress: show how far it has come on a terminal.
    """
    return _near(scanned, None, among, _Effort(workers, progress))


def near_across(scanned: Scan, boundary: int, *, workers: int = 1, progress: bool = False) -> Array:
    """Return the pairs of `near_within` between a record from number `boundary` on and one before
    it.
    """
    sides = np.arange(len(scanned.records)) >= boundary
    return _near(scanned, sides, None, _Effort(workers, progress))


def _identity(records: Array) -> Array:
    """Return the pixels' hash where they can be read, that of the bytes where not."""
    return np.where(records["readable"], records["pixels"], records["content"])


def _pairs(first: Array, second: Array, similarity: Array | float) -> Array:
    pairs = np.empty(len(first), dtype=PAIR)
    pairs["first"], pairs["second"], pairs["similarity"] = first, second, similarity
    return pairs


class _Effort(NamedTuple):
    workers: int
    shown: bool


def _near(scanned: Scan, sides: Array | None, among: Array | None, effort: _Effort) -> Array:
    records = scanned.records
    keys = [
        records["pixels"],
        records["label"],
        np.zeros(len(records), dtype=bool) if sides is None else sides,
    ]
    members = np.flatnonzero(records["readable"] if among is None else records["readable"] & among)
    if len(members):
        _, fresh = np.unique(
            np.stack([key[members].astype(np.uint64) for key in keys], 1), axis=0, return_index=True
        )
        members = members[np.sort(fresh)]
    found = near_pairs(
        records["prints"][members],
        records["label"][members],
        sides=None if sides is None else sides[members],
    )
    first, second = members[found[:, 0]], members[found[:, 1]]
    aspect = records["width"] / np.maximum(records["height"], 1)
    change = aspect[first] / np.maximum(aspect[second], 1e-9)
    fitting = (change < MAX_ASPECT_CHANGE) & (change > 1 / MAX_ASPECT_CHANGE)
    fitting &= records["pixels"][first] != records["pixels"][second]
    first, second = first[fitting], second[fitting]
    similarity = _similarities(scanned, first, second, effort)
    close = similarity >= MIN_SIMILARITY
    return _pairs(first[close], second[close], similarity[close])


def _similarities(scanned: Scan, first: Array, second: Array, effort: _Effort) -> Array:
    ends = zip(first.tolist(), second.tolist(), strict=True)
    locations = [(scanned.location(one), scanned.location(other)) for one, other in ends]
    jobs = [
        locations[start : start + PAIRS_A_JOB] for start in range(0, len(locations), PAIRS_A_JOB)
    ]
    results = progress_of(
        run_in_order(_compare, jobs, workers=useful_workers(effort.workers, jobs)),
        f"batches of {PAIRS_A_JOB} pairs of images compared",
        total=len(jobs),
        shown=effort.shown,
    )
    return np.array([value for values in results for value in values], dtype=np.float32)


def _compare(pairs: Sequence[tuple[Location, Location]]) -> list[float]:
    @lru_cache(maxsize=16)
    def words(folder: Path) -> Store:
        return open_stored(folder)

    @lru_cache(maxsize=16)  # pairs are sorted, so that their first images are mostly the same
    def image(location: Location) -> Image.Image:
        folder, number = location
        (stored,) = words(folder).records([number])
        return open_bytes(stored.encoded or b"")

    return [similarity(image(first), image(second)) for first, second in pairs]
