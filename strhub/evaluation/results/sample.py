"""One word of an evaluation: what it says, what was read, how sure, and by which edits the two
differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final, Literal, NamedTuple

from rapidfuzz.distance import Levenshtein

__all__ = ["Edit", "Sample", "WordReading", "align", "edits_of"]

Kind = Literal["substituted", "lost", "added"]
_KINDS: Final[dict[str, Kind]] = {"replace": "substituted", "delete": "lost", "insert": "added"}


class Edit(NamedTuple):
    """A difference of label and text.

    label: the label's character, '' if one was added; text: the text's, '' if one was lost; place:
    where in the label it is, counted from 0.
    """

    kind: Kind
    label: str
    text: str
    position: int


class WordReading(NamedTuple):
    """What a reader says of a word; fields are those of `Sample`, confidence 0 where there is no
    text.
    """

    text: str
    confidence: float
    character_confidences: Sequence[float] = ()
    rotation: int = 0
    error: str | None = None


@dataclass(frozen=True)
class Sample:
    """A word and its reading.

    set: the name of its test set; index: its place there, counted from 0; source: the LMDB,
    annotation file or shard it is in; image: which one of that, such as image-000000001 or a path;
    stored_label, raw_text: as stored and as read;
    label, text: both in the tested charset; confidence: in [0, 1], None if the reader gave none;
    character_confidences: one for each character of `raw_text`, empty if there are none; width,
    height: of the image in pixels, 0 if it could not be read; slant: of the letters' strokes in
        degrees, positive where they lean to the right, None if unknown;
    sharpness: deviation of the Laplacian at 32 pixels' height, low if blurred, None if unknown;
    rotation: degrees by which the image was turned to be read; error: why the image could not be
        read.
    """

    set: str
    index: int
    source: str
    image: str
    stored_label: str
    raw_text: str
    label: str
    text: str
    confidence: float | None = None
    character_confidences: tuple[float, ...] = field(default=())
    width: int = 0
    height: int = 0
    slant: float | None = None
    sharpness: float | None = None
    rotation: int = 0
    error: str | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what identifies it: set, source and image."""
        return self.set, self.source, self.image

    @property
    def correct(self) -> bool:
        """Return whether text and label are the same in the tested charset."""
        return self.text == self.label

    @property
    def edits(self) -> list[Edit]:
        """Return the edits that turn the label into the text, as few as possible."""
        return edits_of(self.label, self.text)

    @property
    def distance(self) -> int:
        """Return the number of these edits."""
        return Levenshtein.distance(self.label, self.text)

    @property
    def similarity(self) -> float:
        """Return 1 minus the distance over the longer length, in [0, 1]."""
        return Levenshtein.normalized_similarity(self.text, self.label)

    @property
    def word_errors(self) -> tuple[int, int]:
        """Return the edits of whole words, separated by white space, and how many words the label
        has.
        """
        words = self.label.split()
        if len(words) < 2 and " " not in self.text:
            return int(not self.correct), 1
        return Levenshtein.distance(words, self.text.split()), max(1, len(words))


FIELDS: Final = tuple(one.name for one in fields(Sample))


def edits_of(label: str, text: str) -> list[Edit]:
    """Return the edits that make `text` of `label`, by place."""
    found = []
    for operation in Levenshtein.editops(label, text):
        kind = _KINDS[operation.tag]
        before = "" if kind == "added" else label[operation.src_pos]
        after = "" if kind == "lost" else text[operation.dest_pos]
        found.append(Edit(kind, before, after, operation.src_pos))
    return found


def align(label: str, text: str) -> list[tuple[str, str, str]]:
    """Return pairs of characters side by side with what is between them: '=', 's', 'd' (lost) or
    'i' (added).
    """
    pairs: list[tuple[str, str, str]] = []
    at = 0
    for edit in edits_of(label, text):
        pairs += _equal(label[at : edit.position])
        pairs.append(
            (edit.label, edit.text, {"substituted": "s", "lost": "d", "added": "i"}[edit.kind])
        )
        at = edit.position + (edit.kind != "added")
    return pairs + _equal(label[at:])


def _equal(characters: Sequence[str]) -> list[tuple[str, str, str]]:
    return [(character, character, "=") for character in characters]
