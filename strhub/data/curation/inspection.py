"""What is in a data set: counts, labels, characters, sizes, damage, duplicates, and what it shares
with another one.

In: a tree of LMDB folders, and perhaps a second one. Out: a report, plain dictionaries and lists
fit for JSON; its text is made here, its page in `strhub.data.curation.inspection_page`. The same
trees give the same report, however many processes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np

from strhub.data.curation.inspection_text import Report, text_summary
from strhub.data.curation.overlap import exact_across, exact_within, near_across, near_within
from strhub.data.curation.scan import LABEL_STATES, Scan, Tally, scan
from strhub.data.curation.stored import open_stored
from strhub.images.open import FORMATS
from strhub.text.charset import LabelPreparation

__all__ = ["inspect", "text_summary"]

Array: TypeAlias = np.ndarray[Any, Any]

QUANTILES: Final = (0, 1, 5, 25, 50, 75, 95, 99, 100)  # percent
PIXEL_EDGES: Final = (1, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 4096)
ASPECT_EDGES: Final = (0, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 50)
MAX_LISTED: Final = 100_000  # pairs in a report, of each kind
SAMPLES: Final = 24  # images of each set on the page


def inspect(
    tree: str | Path,
    other: str | Path | None = None,
    *,
    charset: str,
    max_length: int | None = 25,
    workers: int = 1,
    progress: bool = False,
) -> Report:
    """Look at all records of a tree, and compare them with those of `other`, such as a test set.

    Args:
        charset: characters that labels are held against. max_length: of a label, in characters;
            None for no limit.
        workers: processes. progress: show bars.

    Raises:
        ValueError: if a tree has no LMDB folder that can be read.
    """
    prepare = LabelPreparation(charset, max_length=max_length)
    first = scan(tree, prepare_label=prepare, every_kind=True, workers=workers, progress=progress)
    report: Report = {"charset": charset, "max_length": max_length, "tree": str(tree)}
    report |= _tree_report(first, charset, workers, progress)
    if other is not None:
        second = scan(
            other, prepare_label=prepare, every_kind=True, workers=workers, progress=progress
        )
        report["other"] = {"tree": str(other)} | _tree_report(second, charset, workers, progress)
        boundary, both = len(first.records), first.joined(second)
        exact = exact_across(both, boundary)
        near = near_across(both, boundary, workers=workers, progress=progress)
        report["overlap"] = _listed_pairs(both, exact, near) | {
            "records_of_other": len(np.unique(np.concatenate([exact["second"], near["second"]])))
        }
    return report


def _tree_report(scanned: Scan, charset: str, workers: int, progress: bool) -> Report:
    exact, near = exact_within(scanned), near_within(scanned, workers=workers, progress=progress)
    total = Tally()
    sets = []
    for number, (folder, tally) in enumerate(zip(scanned.folders, scanned.tallies, strict=True)):
        span = slice(int(scanned.starts[number]), int(scanned.starts[number + 1]))
        total.add(tally)
        sets.append(
            {"path": str(folder)}
            | _summary(scanned.records[span], tally, charset, _inside(near, span))
            | {"samples": _samples(scanned, number)}
        )
    return {
        "total": _summary(scanned.records, total, charset, near),
        "sets": sets,
        "damaged_sets": [
            {"path": str(path), "problem": problem} for path, problem in scanned.damaged
        ],
        "duplicates": _listed_pairs(scanned, exact, near),
    }


def _inside(pairs: Array, span: slice) -> Array:
    inside = (pairs["first"] >= span.start) & (pairs["second"] < span.stop)
    return np.asarray(pairs[inside])


def _summary(records: Array, tally: Tally, charset: str, near: Array) -> Report:
    readable, labeled = records[records["readable"]], records[records["label_state"] == 0]
    dropped = {
        reason: {
            "count": count,
            "examples": [
                {"number": number, "label": label}
                for number, label in tally.examples.get(reason, [])
            ],
        }
        for reason, count in sorted(tally.dropped.items(), key=lambda item: (-item[1], item[0]))
    }
    return {
        "records": len(records),
        "bytes": int(records["size"].sum(dtype=np.int64)),
        "readable": len(readable),
        "unreadable": dict(_by_count(tally.unreadable)),
        "problems": [{"number": number, "problem": problem} for number, problem in tally.problems],
        "labels": {
            name: int((records["label_state"] == state).sum())
            for state, name in enumerate(LABEL_STATES)
        },
        "label_length": _distribution(
            labeled["characters"], range(int(labeled["characters"].max(initial=0)) + 2)
        ),
        "width": _distribution(readable["width"], PIXEL_EDGES),
        "height": _distribution(readable["height"], PIXEL_EDGES),
        "aspect_ratio": _distribution(readable["width"] / readable["height"], ASPECT_EDGES),
        "formats": {FORMATS[number]: int(count) for number, count in _counted(readable["format"])},
        "characters": [
            [character, count, character in charset]
            for character, count in _by_count(tally.characters)
        ],
        "kept": int((records["drop"] == 0).sum()),
        "dropped": dropped,
        "duplicates": _duplicate_counts(records, near),
    }


def _duplicate_counts(records: Array, near: Array) -> Report:
    """Return how many records repeat an earlier one: of the same bytes, of the same pixels, near
    it.
    """
    stored, readable = records[records["content"] != 0], records[records["readable"]]
    labeled = np.unique(np.stack([readable["pixels"], readable["label"]], 1), axis=0)
    return {
        "same_bytes": len(stored) - len(np.unique(stored["content"])),
        "same_pixels": len(readable) - len(np.unique(readable["pixels"])),
        "same_pixels_other_label": len(labeled) - len(np.unique(readable["pixels"])),
        "near": len(np.unique(near["second"])),
    }


def _distribution(values: Array, edges: Sequence[float]) -> Report:
    """Return quantiles, and counts of the values from each edge up to the next; the last interval
    is open.
    """
    if not len(values):
        return {"quantiles": {}, "histogram": []}
    levels = np.percentile(values, QUANTILES)
    counts = np.histogram(values, [*edges, np.inf])[0]
    filled = np.flatnonzero(counts)
    return {
        "quantiles": {
            str(fraction): round(float(level), 3)
            for fraction, level in zip(QUANTILES, levels, strict=True)
        },
        "mean": round(float(np.mean(values)), 3),
        "histogram": [
            [edges[spot], int(counts[spot])] for spot in range(filled[0], filled[-1] + 1)
        ],
    }


def _counted(values: Array) -> list[tuple[int, int]]:
    numbers, counts = np.unique(values, return_counts=True)
    return sorted(
        zip(numbers.tolist(), counts.tolist(), strict=True), key=lambda item: (-item[1], item[0])
    )


def _by_count(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _samples(scanned: Scan, folder: int) -> list[Report]:
    """Return records of a set to show, spread evenly over it."""
    start, end = int(scanned.starts[folder]), int(scanned.starts[folder + 1])
    readable = np.flatnonzero(scanned.records["readable"][start:end]) + start
    if not len(readable):
        return []
    spots = np.unique(np.linspace(0, len(readable) - 1, SAMPLES).round().astype(int))
    return _described(scanned, readable[spots])


def _described(scanned: Scan, indexes: Array) -> list[Report]:
    """Return the path, number and label of records; a label that cannot be decoded is shown with
    placeholders for its bytes.
    """
    found: dict[int, Report] = {}
    locations = [(index, *scanned.location(index)) for index in np.unique(indexes).tolist()]
    for folder, group in groupby(locations, key=lambda location: location[1]):
        own = list(group)
        records = open_stored(folder).records([number for *_, number in own], read_images=False)
        for (index, _, number), stored in zip(own, records, strict=True):
            found[index] = {
                "path": str(folder),
                "number": number,
                "label": (stored.label or b"").decode("utf-8", "backslashreplace"),
            }
    return [found[index] for index in indexes.tolist()]


def _listed_pairs(scanned: Scan, exact: Array, near: Array) -> Report:
    records, pairs = scanned.records, []
    for kind, found in (("same", exact[:MAX_LISTED]), ("near", near[:MAX_LISTED])):
        ends = zip(
            _described(scanned, found["first"]), _described(scanned, found["second"]), strict=True
        )
        for pair, (first, second) in zip(found, ends, strict=True):
            same_bytes = records["content"][pair["first"]] == records["content"][pair["second"]]
            pairs.append(
                {
                    "kind": kind
                    if kind == "near"
                    else "same bytes"
                    if same_bytes
                    else "same pixels",
                    "similarity": round(float(pair["similarity"]), 4),
                    "first": first,
                    "second": second,
                }
            )
    return {"exact": len(exact), "near": len(near), "pairs": pairs}
