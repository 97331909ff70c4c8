"""Scores of readings against labels, as sums: what several batches, processes or devices counted
can be added up.

Accuracy is exact match. 1 - NED is 1 minus the mean over samples of the edit distance divided by
the longer length (ICDAR 2019). Both after `ScoredText` of the charset that is tested; a label of
which nothing is left is not scored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from rapidfuzz.distance import Levenshtein

from strhub.text import ScoredText


@dataclass
class Score:
    """Sums over samples; the properties are means, 0 where there is no sample.

    samples: words scored; correct: exact matches; similarity: sum of 1 - normalized edit distance,
        each in [0, 1];
    confidence: sum of sequence confidences, each in [0, 1]; label_length: characters in all labels;
    unreadable: samples whose image could not be read, which count as wrong; untested: words that
    are not among the samples, since their label has no character of the tested charset; shortened:
    samples whose label has letters, digits or symbols outside the tested charset, and is scored
    without them.
    """

    samples: float = 0
    correct: float = 0
    similarity: float = 0.0
    confidence: float = 0.0
    label_length: float = 0
    unreadable: float = 0
    untested: float = 0
    shortened: float = 0

    def add(self, prediction: str, label: str, confidence: float) -> bool:
        """Count one reading; both texts already in the tested charset. Returns whether it is right.

        Without a label there is nothing to be right about: the word is untested.
        """
        if not label:
            self.untested += 1
            return False
        right = prediction == label
        self.samples += 1
        self.correct += right
        self.similarity += Levenshtein.normalized_similarity(prediction, label)
        self.confidence += confidence
        self.label_length += len(label)
        return right

    def add_batch(
        self,
        readings: Iterable[tuple[str, float, Any]],
        labels: Sequence[str],
        lost_labels: Iterable[str],
        adapt: Callable[[str], str],
    ) -> None:
        """Count a batch: (text, confidence, ...) readings of `labels`, and labels whose image could
        not be read.

        adapt: brings texts to the tested charset. Images of nothing, which have an empty label, are
            passed over.
        """
        for (text, confidence, _), label in zip(readings, labels, strict=True):
            if label:
                self.add(adapt(text), adapt(label), confidence)
        for label in lost_labels:
            if label:
                self.add_unreadable(adapt(label))

    def add_labels(self, labels: Iterable[str], text: ScoredText) -> None:
        """Count what scoring leaves out of labels as they are stored; empty ones are untested,
        too.
        """
        for label in labels:
            self.untested += not label
            self.shortened += bool(text(label)) and text.loses_letters(label)

    def add_unreadable(self, label: str) -> None:
        """Count a word whose image could not be read: wrong, with confidence 0."""
        self.add("", label, 0.0)
        self.unreadable += bool(label)

    def __add__(self, other: Score) -> Score:
        return Score(
            *(mine + theirs for mine, theirs in zip(self.sums(), other.sums(), strict=True))
        )

    def sums(self) -> tuple[float, ...]:
        """Return the fields in order, to be added across processes and given back to
        `Score(*sums)`.
        """
        return tuple(getattr(self, field.name) for field in fields(Score))

    @classmethod
    def size(cls) -> int:
        """Return how many sums there are."""
        return len(fields(Score))

    def _mean(self, total: float) -> float:
        return total / self.samples if self.samples else 0.0

    @property
    def accuracy(self) -> float:
        """Return the fraction of exact matches, in [0, 1]."""
        return self._mean(self.correct)

    @property
    def one_minus_ned(self) -> float:
        """Return 1 - NED, in [0, 1]."""
        return self._mean(self.similarity)

    @property
    def mean_confidence(self) -> float:
        """Return the mean sequence confidence, in [0, 1]."""
        return self._mean(self.confidence)

    @property
    def mean_label_length(self) -> float:
        """Return the mean label length in characters."""
        return self._mean(self.label_length)
