"""Every record of a tree of LMDB folders looked at once, as stored: what `inspect`, `filter`,
`merge` and `split` need.

In: folders. Out: one row of numbers a record, in NumPy arrays (about 150 bytes a record, whatever
the images' sizes), and counts. Images are decoded in several processes; the result doesn't depend
on how many.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from PIL import Image

from strhub.data.curation.duplicates import (
    PRINTS_SHAPE,
    content_hash,
    image_prints,
    label_key,
    pixel_hash,
)
from strhub.data.curation.stored import Store, Stored, open_stored
from strhub.data.sources.folder import find_annotated
from strhub.data.sources.lmdb import find_lmdbs
from strhub.data.sources.shard_names import TAR
from strhub.images.open import FORMATS, UnreadableImage, open_bytes
from strhub.text.charset import DroppedLabel, LabelPreparation
from strhub.utils.folders import walk_folders
from strhub.utils.workers import run_in_order

__all__ = ["RECORD", "Scan", "Tally", "open_tree", "scan"]

log = logging.getLogger(__name__)

Array: TypeAlias = np.ndarray[Any, Any]

RECORD: Final = np.dtype(
    [
        ("readable", "?"),
        ("label_state", "u1"),  # LABEL_STATES
        (
            "drop",
            "u1",
        ),  # place in DROP_REASONS: why the charset and longest length would drop its label
        ("matches", "?"),  # the pattern is found in its label; true if none was given
        ("format", "u1"),  # place in FORMATS
        ("characters", "u4"),
        ("width", "u4"),  # pixels, 0 if unreadable, as all below
        ("height", "u4"),
        ("size", "u4"),  # bytes of the stored image
        ("content", "u8"),  # 0 if there is no image
        ("pixels", "u8"),
        ("label", "u8"),  # label_key
        ("prints", "u8", PRINTS_SHAPE),
    ]
)
LABEL_STATES: Final = ("fine", "missing", "undecodable")
DROP_REASONS: Final = (
    "",
    "no label",
    "undecodable label",
    "empty",
    "too long",
    "outside the charset",
)
MAX_PROBLEMS: Final = 1000  # messages kept an LMDB
MAX_EXAMPLES: Final = 5  # labels kept a reason


@dataclass
class Tally:
    """Counts of one LMDB that have no place in an array."""

    characters: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """Labels that the charset or longest length would drop, by reason."""
    examples: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """The first few of them by reason: number and label."""
    unreadable: Counter[str] = field(default_factory=Counter)
    problems: list[tuple[int, str]] = field(default_factory=list)
    """Number and message of the first 1000 unreadable images."""

    def add(self, other: Tally) -> None:
        """Take in the counts of the records that come next."""
        self.characters.update(other.characters)
        self.dropped.update(other.dropped)
        self.unreadable.update(other.unreadable)
        self.problems = (self.problems + other.problems)[:MAX_PROBLEMS]
        for reason, labels in other.examples.items():
            self.examples[reason] = (self.examples.get(reason, []) + labels)[:MAX_EXAMPLES]


@dataclass
class Scan:
    """What is known of the records of a tree.

    records: (N,) of `RECORD`, one folder after the other. starts: (folders + 1,) where each
        folder's begin.
    """

    folders: list[Path]
    damaged: list[tuple[Path, str]]
    """Folders that could not be opened, and why."""
    starts: Array
    records: Array
    tallies: list[Tally]

    def joined(self, other: Scan) -> Scan:
        """Return both trees' records as if they were one's, the other's after this one's."""
        return Scan(
            self.folders + other.folders,
            self.damaged + other.damaged,
            np.concatenate([self.starts, other.starts[1:] + self.starts[-1]]),
            np.concatenate([self.records, other.records]),
            self.tallies + other.tallies,
        )

    def location(self, index: int) -> tuple[Path, int]:
        """Return the folder and the number (from 1) of a record by its index in `records`."""
        folder = int(np.searchsorted(self.starts, index, side="right")) - 1
        return self.folders[folder], int(index - self.starts[folder]) + 1


@dataclass(frozen=True)
class _Job:
    folder: Path
    first: int
    end: int


def open_tree(
    tree: str | Path, *, every_kind: bool = False
) -> tuple[list[Store], list[tuple[Path, str]]]:
    """Return the LMDB folders at or below `tree`, and those that can't be opened with the reason.

    every_kind: folders of labeled images and tar shards as well.

    Raises:
        ValueError: if there are none.
    """
    paths = find_lmdbs(tree)
    if every_kind:
        paths += [*find_annotated(tree), *_find_tars(Path(tree))]
    opened: list[Store] = []
    damaged = []
    for path in paths:
        try:
            opened.append(words := open_stored(path))
        except ValueError as error:
            damaged.append((path, str(error)))
        else:
            if words.remark:
                log.warning("%s: %s", path, words.remark)
    kinds = "LMDB folder, labeled folder or tar" if every_kind else "LMDB folder"
    if not opened and damaged:
        raise ValueError(f"no {kinds} in {tree} can be read: {damaged[0][1]}")
    if not opened:
        note = " (one with a data.mdb)" if not every_kind else ""
        raise ValueError(f"no {kinds}{note} in {tree} or below it. Check the path")
    return opened, damaged


def _find_tars(tree: Path) -> list[Path]:
    """Return the tar files at or below a path, sorted."""
    if tree.is_file():
        return [tree] if tree.name.endswith(TAR) else []
    folders = walk_folders(tree, skip=lambda _, name: name.startswith("."))
    return sorted(
        Path(folder) / name for folder, _, names in folders for name in names if name.endswith(TAR)
    )


def scan(
    tree: str | Path,
    *,
    prepare_label: LabelPreparation | None = None,
    match: re.Pattern[str] | None = None,
    read_images: bool = True,
    every_kind: bool = False,
    workers: int = 1,
    progress: bool = False,
) -> Scan:
    """Look at every record of a tree.

    Args:
        tree: a folder with LMDB folders at or below it. prepare_label: of the charset that labels
            are held against.
        match: what is looked for in labels. images: read them; if not, all count as unreadable,
            without a reason.
        every_kind: read labeled folders and tars, too. workers: processes. progress: show a bar.

    Raises:
        ValueError: if there is nothing to read.
    """
    from tqdm import tqdm

    opened, damaged = open_tree(tree, every_kind=every_kind)
    starts = np.cumsum([0, *(words.count for words in opened)])
    jobs = [
        _Job(words.path, first, min(first + words.per_job, words.count + 1))
        for words in opened
        for first in range(1, words.count + 1, words.per_job)
    ]
    records, tallies = np.zeros(starts[-1], dtype=RECORD), {words.path: Tally() for words in opened}
    filled = 0
    scan_record = partial(_scan_record, prepare=prepare_label, match=match, read_images=read_images)
    with tqdm(total=len(records), unit=" records", desc="reading", disable=not progress) as bar:
        for job, (rows, tally) in zip(
            jobs,
            run_in_order(scan_record, jobs, workers=useful_workers(workers, jobs)),
            strict=True,
        ):
            records[filled : filled + len(rows)] = rows
            tallies[job.folder].add(tally)
            filled += len(rows)
            bar.update(len(rows))
    return Scan([words.path for words in opened], damaged, starts, records, list(tallies.values()))


def useful_workers(workers: int, jobs: Sequence[object]) -> int:
    """Return at most as many processes as there is work for: starting one takes longer than a few
    jobs.
    """
    return max(1, min(workers, len(jobs) // 4))


def _scan_record(
    job: _Job, *, prepare: LabelPreparation | None, match: re.Pattern[str] | None, read_images: bool
) -> tuple[Array, Tally]:
    rows, tally = np.zeros(job.end - job.first, dtype=RECORD), Tally()
    records = open_stored(job.folder).records(range(job.first, job.end), read_images=read_images)
    for row, stored in zip(rows, records, strict=True):
        _scan_label(stored, row, tally, prepare)
        row["matches"] = match is None or match.search(stored.text or "") is not None
        if stored.encoded is not None:
            row["size"], row["content"] = len(stored.encoded), content_hash(stored.encoded)
        if read_images:
            _scan_image(stored, row, tally)
    return rows, tally


def _scan_label(stored: Stored, row: Any, tally: Tally, prepare: LabelPreparation | None) -> None:
    text = stored.text
    state = "missing" if stored.label is None else "undecodable" if text is None else "fine"
    row["label_state"], row["label"] = LABEL_STATES.index(state), label_key(text or "")
    if state == "fine" and text is not None:
        row["characters"] = len(text)
        tally.characters.update(text)
    if prepare is None:
        return
    reason = _reason_to_drop(state, text or "", prepare)
    row["drop"] = DROP_REASONS.index(reason)
    if reason:
        tally.dropped[reason] += 1
        examples = tally.examples.setdefault(reason, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(
                (stored.number, (stored.label or b"").decode("utf-8", "backslashreplace"))
            )


def _reason_to_drop(state: str, text: str, prepare: LabelPreparation) -> str:
    if state != "fine":
        return "no label" if state == "missing" else "undecodable label"
    try:
        prepare(text)
    except DroppedLabel as error:
        return error.reason
    return ""


def _scan_image(stored: Stored, row: Any, tally: Tally) -> None:
    try:
        if stored.encoded is None:
            raise UnreadableImage(stored.error or "there is no image")
        image = open_bytes(stored.encoded)
        row["prints"] = image_prints(image)
    except Exception as error:  # whatever happens with one image, the others are read
        message = str(error) or type(error).__name__
        tally.unreadable[message.partition(":")[0]] += 1
        if len(tally.problems) < MAX_PROBLEMS:
            tally.problems.append((stored.number, message))
        return
    row["readable"], row["width"], row["height"] = True, *image.size
    row["pixels"] = pixel_hash(image)
    with suppress(Exception), Image.open(io.BytesIO(stored.encoded), formats=FORMATS) as opened:
        row["format"] = FORMATS.index(opened.format or "")
