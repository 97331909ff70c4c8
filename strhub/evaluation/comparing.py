"""Whether readers differ on the same words, by how much, and on which.

In: evaluations of the same test sets in the same charset. Out: counts of pairs, with McNemar's
exact test and a paired bootstrap for every set and slice, and the words that only one reader reads.
Samples are read side by side from the disk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, zip_longest
from typing import Final

from strhub.errors import DataError
from strhub.evaluation.report.names import described
from strhub.evaluation.results.intervals import Interval, exact_mcnemar, paired_bootstrap
from strhub.evaluation.results.sample import Sample
from strhub.evaluation.results.slices import SLICES, parts_of, slices_of
from strhub.evaluation.scoring import COMBINED, Evaluation

__all__ = ["Comparison", "Pair", "PairCounts", "compare", "holm"]

SURE_ENOUGH: Final = 0.05
SHOWN: Final = 120  # words kept of each kind
NO_DIFFERENCE: Final = "no difference that these words can show"


@dataclass
class PairCounts:
    """How two readers read the same words: both right, the first or second alone, neither."""

    both: int = 0
    only_first: int = 0
    only_second: int = 0
    neither: int = 0

    def add(self, first: bool, second: bool) -> None:
        """Count a word."""
        self.both += first and second
        self.only_first += first and not second
        self.only_second += second and not first
        self.neither += not first and not second

    @property
    def words(self) -> int:
        """Return how many words there are."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def probability(self) -> float:
        """Return the probability of such a difference by chance, by McNemar's exact test."""
        return exact_mcnemar(self.only_first, self.only_second)

    @property
    def difference(self) -> Interval:
        """Return by how much the first reader's accuracy is higher, with a bootstrapped 95 %
        interval.
        """
        return paired_bootstrap(self.only_first, self.only_second, self.words)


@dataclass
class Pair:
    """Two readers by their names: counts by set, `Combined` last, and by part of each slice."""

    first: str
    second: str
    sets: dict[str, PairCounts] = field(default_factory=lambda: defaultdict(PairCounts))
    slices: dict[str, dict[str, PairCounts]] = field(
        default_factory=lambda: {
            name: defaultdict(PairCounts) for name in SLICES if name != "confidence"
        }
    )

    def add(self, first: Sample, second: Sample, parts: Mapping[str, str]) -> None:
        """Count a word."""
        self.sets[first.set].add(first.correct, second.correct)
        for name, counts in self.slices.items():
            counts[parts[name]].add(first.correct, second.correct)

    def finish(self) -> None:
        """Add the sets up, and put the parts of slices in order."""
        total = PairCounts()
        for one in self.sets.values():
            total = PairCounts(*(getattr(total, name) + getattr(one, name) for name in vars(one)))
        self.sets[COMBINED] = total
        self.slices = {
            name: {part: counts[part] for part in parts_of(name) if part in counts}
            for name, counts in self.slices.items()
        }

    def verdict(self, counts: PairCounts, probability: float | None = None) -> str:
        """Return in words what the counts show. probability: corrected for many comparisons, if
        there were.
        """
        chance = counts.probability if probability is None else probability
        if chance >= SURE_ENOUGH:
            return NO_DIFFERENCE
        return f"{self.first if counts.only_first > counts.only_second else self.second} reads more"


@dataclass
class Comparison:
    """readers: names; pairs: each two of them; words: how many were compared.

    alone: words that only one reader reads, by its name, the first 120; nobody: words that none
    reads; agreed: words in which all read the same text, and not the label: its label may be wrong.
    Each is a list of one sample a reader.
    """

    readers: list[str]
    pairs: list[Pair]
    words: int = 0
    alone: dict[str, list[Sequence[Sample]]] = field(default_factory=dict)
    alone_counts: dict[str, int] = field(default_factory=dict)
    nobody: list[Sequence[Sample]] = field(default_factory=list)
    nobody_count: int = 0
    agreed: list[Sequence[Sample]] = field(default_factory=list)


def compare(evaluations: Sequence[Evaluation]) -> Comparison:
    """Compare readers word by word.

    Raises:
        DataError: for fewer than two, of other words, in other charsets, or with the same name.
    """
    names = [described(one.reader) for one in evaluations]
    if len(names) < 2:
        raise DataError("a comparison needs at least two readers")
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(
            f"two readers are called {twice[0]}: give each its own name, such as small=words.onnx"
        )
    if len({one.charset for one in evaluations}) > 1:
        lengths = ", ".join(
            f"{name}: {len(one.charset)}" for name, one in zip(names, evaluations, strict=True)
        )
        raise DataError(
            f"the readers were scored in different charsets (characters of each: {lengths})"
        )
    found = Comparison(names, [Pair(one, other) for one, other in combinations(names, 2)])
    found.alone = {name: [] for name in names}
    found.alone_counts = dict.fromkeys(names, 0)
    for samples in zip_longest(*(one.samples() for one in evaluations)):
        _check(samples, names)
        if samples[0].label:
            _add(found, samples)
    for pair in found.pairs:
        pair.finish()
    return found


def holm(probabilities: Sequence[float]) -> list[float]:
    """Return probabilities corrected for their number, so that one in twenty such lists has any
    below 0.05 by chance (Holm 1979).
    """
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    corrected, highest = [0.0] * len(order), 0.0
    for rank, index in enumerate(order):
        highest = max(highest, min(1.0, probabilities[index] * (len(order) - rank)))
        corrected[index] = highest
    return corrected


def _check(samples: Sequence[Sample | None], names: Sequence[str]) -> None:
    first = samples[0]
    for name, other in zip(names, samples, strict=True):
        same = (
            first is not None
            and other is not None
            and (first.set, first.image, first.stored_label)
            == (other.set, other.image, other.stored_label)
        )
        if not same:
            what = [
                f"{one.image} of {one.set} ({one.stored_label!r})" if one else "the end"
                for one in (first, other)
            ]
            raise DataError(
                f"{names[0]} and {name} were scored on other words: where one has {what[0]}, the "
                f"other has {what[1]}"
            )


def _add(found: Comparison, samples: Sequence[Sample]) -> None:
    found.words += 1
    parts = slices_of(samples[0])
    for pair, (first, second) in zip(found.pairs, combinations(samples, 2), strict=True):
        pair.add(first, second, parts)
    right = [sample.correct for sample in samples]
    if sum(right) == 1:
        name = found.readers[right.index(True)]
        found.alone_counts[name] += 1
        _keep(found.alone[name], samples)
    if not any(right):
        found.nobody_count += 1
        _keep(found.nobody, samples)
        if len({sample.text for sample in samples}) == 1 and samples[0].text:
            _keep(found.agreed, samples)


def _keep(kept: list[Sequence[Sample]], samples: Sequence[Sample]) -> None:
    if len(kept) < SHOWN:
        kept.append(samples)
