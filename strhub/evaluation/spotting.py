"""Scores of whole photographs: which words were found, and which of those were read right.

By the protocol of ICDAR 2015's end-to-end task (Karatzas et al. 2015, section IV): a word that was
found and one that is there are a pair if their outlines share over half of their common area, each
word in one pair at most; words marked as unreadable do not count, nor what was found on them. Texts
are compared by their letters and digits, in any case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from strhub.evaluation.polygons import area, common_area, intersection_over_union

Outline = Sequence[tuple[float, float]]

LEAST_IOU = 0.5
IGNORED = 0.5  # fraction of a found word's area that lies on an unreadable one


@dataclass(frozen=True)
class SpottingScore:
    """Counts, which can be added: words that are there, words found, pairs, and pairs with the
    right text.
    """

    true: int = 0
    found: int = 0
    paired: int = 0
    right: int = 0

    def __add__(self, other: SpottingScore) -> SpottingScore:
        return SpottingScore(
            self.true + other.true,
            self.found + other.found,
            self.paired + other.paired,
            self.right + other.right,
        )

    @property
    def detection(self) -> float:
        """Return the H-mean of precision and recall of finding words, in [0, 1]."""
        return hmean(self.paired, self.found, self.true)

    @property
    def end_to_end(self) -> float:
        """Return the H-mean of finding words and reading them right, in [0, 1]."""
        return hmean(self.right, self.found, self.true)


class Matches(NamedTuple):
    """What became of one image's words, by their indices.

    pairs: (true, found, whether the text is right); missed: true ones that count and have no pair;
    extra: found ones that have none and are not on an unreadable word.
    """

    pairs: list[tuple[int, int, bool]]
    missed: list[int]
    extra: list[int]

    @property
    def score(self) -> SpottingScore:
        """Return the counts."""
        paired = len(self.pairs)
        right = sum(is_right for *_, is_right in self.pairs)
        return SpottingScore(paired + len(self.missed), paired + len(self.extra), paired, right)


def hmean(pairs: float, found: float, true: float) -> float:
    """Return 2 pairs / (found + true), 0 for nothing at all."""
    return 2 * pairs / (found + true) if found + true else 0.0


def match_words(
    true: Iterable[tuple[Outline, str | None]],
    found: Iterable[tuple[Outline, str]],
    *,
    least_iou: float = LEAST_IOU,
) -> Matches:
    """Return which words of one image were found; arguments as for `score_image`."""
    known = [
        (np.asarray(outline, dtype=np.float64), comparable(text or "")) for outline, text in true
    ]
    read = [(np.asarray(outline, dtype=np.float64), comparable(text)) for outline, text in found]
    counted = [t for t, (_, text) in enumerate(known) if text]
    candidates = [f for f, (_, text) in enumerate(read) if text]
    overlaps = []
    for t in counted:
        for f in candidates:
            iou = intersection_over_union(known[t][0], read[f][0])
            if iou > least_iou:
                overlaps.append((iou, t, f))
    pairs: dict[int, int] = {}
    for _, t, f in sorted(overlaps, reverse=True):
        if t not in pairs and f not in pairs.values():
            pairs[t] = f
    ignored = [outline for outline, text in known if not text]
    extra = [
        f
        for f in candidates
        if f not in pairs.values()
        and not any(
            common_area(read[f][0], other) > IGNORED * area(read[f][0]) for other in ignored
        )
    ]
    right = [(t, f, known[t][1] == read[f][1]) for t, f in sorted(pairs.items())]
    return Matches(right, [t for t in counted if t not in pairs], extra)


def score_image(
    true: Iterable[tuple[Outline, str | None]],
    found: Iterable[tuple[Outline, str]],
    *,
    least_iou: float = LEAST_IOU,
) -> SpottingScore:
    """Return the counts of one image.

    true: outline and text of each word, None for one that cannot be read; found: outline and text
    of each word read. Outlines are polygons of at least three corners, whose edges do not cross.
    """
    return match_words(true, found, least_iou=least_iou).score


def comparable(text: str) -> str:
    """Return the letters and digits of a text in lower case, without accents."""
    spelled = unicodedata.normalize("NFKD", text).lower()
    return "".join(char for char in spelled if char.isalnum())
