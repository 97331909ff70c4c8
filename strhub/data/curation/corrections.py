"""Corrections of labels, applied to a data set: a new LMDB in which the labels named are others, or
are gone.

In: a set of any kind, and the TSV that the page of suspected labels downloads: source, image,
label, correction, action. Out: an LMDB folder; images are copied as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from strhub.data.sources.lmdb import write_lmdb
from strhub.data.sources.word_sets import open_set
from strhub.errors import DataError
from strhub.utils.progress import progress
from strhub.utils.regular_files import read_regular_text

__all__ = ["Correction", "Outcome", "apply_corrections", "read_corrections"]

COLUMNS: Final = ("source", "image", "label", "correction", "action")
ACTIONS: Final = ("correct", "remove")
_CHARACTERS: Final = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


class Correction(NamedTuple):
    """What becomes of an image's label; line: of the file, for messages."""

    source: str
    image: str
    label: str
    correction: str
    action: str
    line: int


class Outcome(NamedTuple):
    """How many words were written, and how many labels of the set were corrected, removed, or could
    not be copied.
    """

    written: int
    corrected: int
    removed: int
    without_image: int


def read_corrections(path: str | Path) -> list[Correction]:
    """Return the corrections of a file.

    Raises:
        DataError: for a file that is no such table, an unknown action, an empty correction, or two
            of one image.
    """
    try:
        lines = read_regular_text(path).split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the corrections {path} cannot be read: {error}") from error
    if tuple(lines[0].rstrip("\r").split("\t")) != COLUMNS:
        raise DataError(f"{path}: its first line must be {', '.join(COLUMNS)}, separated by tabs")
    found: dict[tuple[str, str], Correction] = {}
    for number, line in enumerate(lines[1:], 2):
        if not line.strip("\r"):
            continue
        cells = line.rstrip("\r").split("\t")
        if len(cells) != len(COLUMNS):
            raise DataError(f"{path}:{number}: {len(cells)} columns instead of {len(COLUMNS)}")
        source, image, label, correction, action = (_unescaped(cell) for cell in cells)
        one = Correction(source, image, label, correction, action, number)
        if one.action not in ACTIONS:
            raise DataError(
                f"{path}:{number}: the action is {one.action!r}; known: {', '.join(ACTIONS)}"
            )
        if one.action == "correct" and not one.correction:
            raise DataError(
                f"{path}:{number}: the correction is empty: give a label, or the action remove"
            )
        before = found.setdefault((one.source, one.image), one)
        if before is not one:
            raise DataError(
                f"{path}:{number}: {one.image} is corrected twice, here and in line {before.line}"
            )
    return list(found.values())


def apply_corrections(tree: str | Path, corrections: str | Path, output: str | Path) -> Outcome:
    """Write the words of a set to a new LMDB folder, with corrected labels and without the removed
    words.

    Raises:
        DataError: if a correction is of an image that the set does not have, or that has another
            label there.
    """
    words = open_set(tree)
    listed = {(one.source, one.image): one for one in read_corrections(corrections)}
    if len(words.sources) == 1:  # wherever it was when it was read
        listed = {(words.sources[0].path, image): one for (_, image), one in listed.items()}
    counts = {"correct": 0, "remove": 0, "lost": 0}

    def kept() -> Iterator[tuple[bytes, str]]:
        for word in progress(words, f"words of {tree}"):
            one = listed.pop((word.source, word.name), None)
            if one is not None and one.label != word.label:
                raise DataError(
                    f"{corrections}:{one.line}: {word.name} has the label {word.label!r} in "
                    f"{word.source}, not "
                    f"{one.label!r}: the corrections belong to another set, or are already applied"
                )
            if one is not None:
                counts[one.action] += 1
            if word.content is None:
                counts["lost"] += 1
            elif one is None or one.action == "correct":
                yield word.content, one.correction if one is not None else word.label
        if listed:
            first = min(listed.values(), key=lambda one: one.line)
            raise DataError(
                f"{corrections}:{first.line}: {tree} has no image {first.image} from "
                f"{first.source}: give the set that "
                "was read"
            )

    written = write_lmdb(output, kept())
    return Outcome(written, counts["correct"], counts["remove"], counts["lost"])


def _unescaped(text: str) -> str:
    parts = iter(text)
    return "".join(_CHARACTERS.get(next(parts, ""), "") if one == "\\" else one for one in parts)
