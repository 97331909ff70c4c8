"""The scores of a set, counted as its words come: memory is the same for a thousand words and for a
million.

In: `Sample`s, one after the other. Out: a `SetResult` with intervals, calibration, slices and
    confusions.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Final, NamedTuple

from strhub.evaluation.metrics import Score
from strhub.evaluation.results.intervals import (
    ANYTHING,
    Interval,
    bootstrap_mean,
    bootstrap_ratio,
    wilson,
)
from strhub.evaluation.results.sample import Edit, Sample
from strhub.evaluation.results.slices import SLICES, parts_of, slices_of

__all__ = ["Bin", "SetResult", "SliceResult", "Summary"]

BINS: Final = 15  # of confidence, for calibration
STEPS: Final = 1000  # of confidence, for risk against coverage
ERRORS: Final = 300  # kept of a set, the surest
EXAMPLES: Final = 6  # kept of each confusion
SURE: Final = 0.9  # confidence from which a wrong reading may be a wrong label


class Bin(NamedTuple):
    """Words whose confidence lies in one part of [0, 1]: the mean of it, and how many of them are
    right.
    """

    confidence: float
    accuracy: Interval
    words: int


class SliceResult(NamedTuple):
    """How many words of one part of a slice there are, and how many of them are right."""

    part: str
    words: int
    accuracy: Interval


@dataclass
class SetResult(Score):
    """The scores of one set; a `Score` with intervals and what lies behind it.

    accuracy_interval: Wilson's, 95 %; ned_interval, cer, wer: bootstrapped, 95 %; ece: expected
    calibration error in 15 bins, None without confidences; bins: of confidence, empty ones left
    out; risk: (coverage, errors among what is covered) from the surest word on; slices: by name,
    parts in order; confusions: how often a character of a label was read as another, '' for lost
    and added ones; examples: some words of each; errors: the surest wrong readings;
    characters: how often each stands in a label.
    """

    accuracy_interval: Interval = ANYTHING
    ned_interval: Interval = ANYTHING
    cer: Interval = ANYTHING
    wer: Interval = ANYTHING
    ece: float | None = None
    bins: Sequence[Bin] = ()
    risk: Sequence[tuple[float, float]] = ()
    slices: Mapping[str, Sequence[SliceResult]] = field(default_factory=dict)
    confusions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    examples: Mapping[tuple[str, str], Sequence[Sample]] = field(default_factory=dict)
    errors: Sequence[Sample] = ()
    characters: Mapping[str, int] = field(default_factory=dict)

    @property
    def suspects(self) -> list[Sample]:
        """Return the words that may be labeled wrong: read with a confidence of at least 0.9, and
        not as the label says.
        """
        return [one for one in self.errors if (one.confidence or 0) >= SURE and one.text]


class Summary:
    """Counts of a set; `add` takes its words, `result` says what they come to. errors: how many of
    them are kept.
    """

    def __init__(self, *, errors: int = ERRORS) -> None:
        self._most = errors
        self.score = Score()
        self._similarities: Counter[float] = Counter()
        self._characters: Counter[tuple[float, float]] = Counter()  # edits and length of each label
        self._words: Counter[tuple[float, float]] = Counter()
        self._steps = [[0, 0] for _ in range(STEPS)]  # words and right ones
        self._bins = [[0, 0, 0.0] for _ in range(BINS)]  # and the sum of confidences
        self._slices: dict[str, dict[str, list[int]]] = {
            name: defaultdict(lambda: [0, 0]) for name in SLICES
        }
        self._confusions: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[Sample]] = defaultdict(list)
        self._letters: Counter[str] = Counter()
        self._errors: list[tuple[float, str, int, Sample]] = []
        self._unsure = False  # whether a word came without confidence

    def add(self, sample: Sample, *, shortened: bool = False) -> None:
        """Count a word. One whose label has no character of the tested charset is untested.

        shortened: its label has letters, digits or symbols outside the tested charset.
        """
        self.score.shortened += shortened
        if not sample.label:
            self.score.untested += 1
            return
        right = self.score.add(sample.text, sample.label, sample.confidence or 0.0)
        self.score.unreadable += sample.error is not None
        distance = sample.distance
        self._similarities[round(sample.similarity, 12)] += 1
        self._characters[distance, len(sample.label)] += 1
        self._words[sample.word_errors] += 1
        self._letters.update(sample.label)
        self._add_confidence(sample.confidence, right)
        for name, part in slices_of(sample).items():
            counts = self._slices[name][part]
            counts[0] += 1
            counts[1] += right
        if not right:
            self._add_error(sample, sample.edits)

    def _add_confidence(self, confidence: float | None, right: bool) -> None:
        if confidence is None:
            self._unsure = True
            return
        counts = self._bins[min(int(confidence * BINS), BINS - 1)]
        counts[0] += 1
        counts[1] += right
        counts[2] += confidence
        step = self._steps[min(int(confidence * STEPS), STEPS - 1)]
        step[0] += 1
        step[1] += right

    def _add_error(self, sample: Sample, edits: Sequence[Edit]) -> None:
        for edit in edits:
            pair = (edit.label, edit.text)
            self._confusions[pair] += 1
            if len(self._examples[pair]) < EXAMPLES and sample not in self._examples[pair][-1:]:
                self._examples[pair].append(sample)
        entry = (sample.confidence or 0.0, sample.set, -sample.index, sample)
        if len(self._errors) < self._most:
            heapq.heappush(self._errors, entry)
        else:
            heapq.heappushpop(self._errors, entry)

    def result(self) -> SetResult:
        """Return the scores of all words so far, and of no other order of them."""
        score = self.score
        confidences = not self._unsure and bool(score.samples)
        accuracy = wilson(score.correct, score.samples)
        ned, cer, wer = (
            bootstrap_mean(self._similarities),
            *map(bootstrap_ratio, (self._characters, self._words)),
        )
        # without any errors a bootstrap has no spread: as if there were one
        if score.correct == score.samples:
            ned, cer, wer = accuracy, *[Interval(0.0, 0.0, 1 - accuracy.low)] * 2
        return SetResult(
            **{one.name: getattr(score, one.name) for one in fields(Score)},
            accuracy_interval=accuracy,
            ned_interval=ned,
            cer=cer,
            wer=wer,
            ece=self._calibration_error() if confidences else None,
            bins=[
                Bin(total / words, wilson(right, words), int(words))
                for words, right, total in self._bins
                if words
            ],
            risk=self._risk() if confidences else (),
            slices={name: _slice(name, counts) for name, counts in self._slices.items()},
            confusions=dict(sorted(self._confusions.items(), key=lambda item: (-item[1], item[0]))),
            examples=dict(self._examples),
            errors=[
                entry[-1]
                for entry in sorted(
                    self._errors, key=lambda entry: (-entry[0], entry[1], -entry[2])
                )
            ],
            characters=dict(self._letters),
        )

    def _calibration_error(self) -> float:
        return sum(abs(total - right) for _, right, total in self._bins) / self.score.samples

    def _risk(self) -> list[tuple[float, float]]:
        """Return the fraction of words covered and of errors among them, as the confidence asked
        for goes down.
        """
        points, covered, wrong = [], 0, 0
        for words, right in reversed(self._steps):
            if words:
                covered += words
                wrong += words - right
                points.append((covered / self.score.samples, wrong / covered))
        return points


def _slice(name: str, counts: Mapping[str, Sequence[int]]) -> list[SliceResult]:
    return [
        SliceResult(part, counts[part][0], wilson(counts[part][1], counts[part][0]))
        for part in parts_of(name)
        if part in counts
    ]
