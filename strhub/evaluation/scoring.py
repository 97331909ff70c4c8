"""Score whatever reads on test sets of any kind: typed results, and each word on disk.

Words are read as a stream and written as they are read; only sums stay in memory. Several devices
or processes may each read a part of the words, `merge_parts` then gives what one alone would have
given.
"""

from __future__ import annotations

import heapq
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final

from strhub.data.sources.word_sets import LabeledWord, WordSet, from_dataset
from strhub.errors import DataError
from strhub.evaluation.metrics import Score
from strhub.evaluation.readers import Opened, WordReader, opened
from strhub.evaluation.results.files import SAMPLES, SampleWriter, read_samples
from strhub.evaluation.results.sample import Sample, WordReading
from strhub.evaluation.results.summary import ERRORS, SetResult, Summary
from strhub.text import ScoredText

__all__ = ["Evaluation", "WordSet", "from_dataset", "merge_parts", "score", "summarize"]

COMBINED: Final = "Combined"
STRETCH: Final = 32  # words in a row that one of several devices reads

Progress = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass
class Evaluation(Mapping[str, SetResult]):
    """The results of one reader, by test set.

    sets: results in the tested charset; combined: of all words together; scores: by charset and
    set, in every charset that was asked for; reader: its description; folder: where samples.tsv
    lies, a temporary one until this is gone;
    digests: of each set's labels and images, the same whatever read them.
    """

    sets: Mapping[str, SetResult]
    combined: SetResult
    scores: Mapping[str, Mapping[str, Score]]
    charset: str
    reader: Mapping[str, Any]
    folder: Path
    digests: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> SetResult:
        return self.sets[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.sets)

    def __len__(self) -> int:
        return len(self.sets)

    def samples(self) -> Iterator[Sample]:
        """Yield every word with its reading, in order, from the disk."""
        return read_samples(self.folder / f"{SAMPLES}.tsv")


def score(
    reader: WordReader,
    sets: Sequence[WordSet],
    *,
    charset: str,
    other_charsets: Sequence[str] = (),
    output: str | Path | None = None,
    errors: int = ERRORS,
    part: tuple[int, int] | None = None,
    progress: Progress = lambda words, name: words,
) -> Evaluation:
    """Read all words of the sets and return their scores.

    charset: what is scored in, digits and lower case for the tables of the field; other_charsets:
    in which there are scores, too, without intervals. output: a folder for samples.tsv and
    samples.parquet, if pyarrow is there; by default a temporary one for the first alone. errors:
    how many of the surest wrong readings the results hold. part: (number, of how many) parts of the
    words to read, for `merge_parts`. progress: wraps the words of each set.

    Raises:
        DataError: for words or readings that cannot be used, two sets of one name, or if no word
            can be scored.
    """
    names = [one.name for one in sets]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"two sets are called {twice[0]}: give each its own name")
    if output is not None:
        return _score(
            reader, sets, _Counts(charset, other_charsets, errors), Path(output), part, progress
        )
    folder = Path(tempfile.mkdtemp(prefix="strhub-evaluation-"))
    try:
        found = _score(
            reader,
            sets,
            _Counts(charset, other_charsets, errors),
            folder,
            part,
            progress,
            parquet=False,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(found, shutil.rmtree, folder, ignore_errors=True)
    return found


def _score(
    reader: WordReader,
    sets: Sequence[WordSet],
    counted: _Counts,
    folder: Path,
    part: tuple[int, int] | None,
    progress: Progress,
    *,
    parquet: bool | None = None,
) -> Evaluation:
    number, parts = part or (0, 1)
    if parquet is None:
        parquet = find_spec("pyarrow") is not None
    digests: dict[str, str] = {}
    name = SAMPLES if part is None else part_name(number)
    with SampleWriter(folder, name=name, parquet=parquet and part is None) as writer:
        for one in sets:
            digest = _Digest(one)
            counted.begin(one.name)
            words = progress(opened(_part(digest, number, parts)), one.name)
            for position, (word, reading) in enumerate(reader.read(one.name, words)):
                index = position if parts == 1 else _index_of(position, number, parts)
                sample = _sample(one.name, index, word, reading, counted.text, reader)
                counted.add(sample)
                writer.write(sample)
            digests[one.name] = f"{digest.total % (1 << 128):032x}"
    return counted.result(reader.description, folder, digests)


def summarize(
    folder: str | Path, *, charset: str, reader: Mapping[str, Any] | None = None
) -> Evaluation:
    """Return the results of samples that were written before. `DataError` if they are damaged or
    not there.
    """
    counted = _Counts(charset)
    path = Path(folder) / f"{SAMPLES}.tsv"
    if not path.is_file():
        raise DataError(f"there is no {path}: make it with test.py --output")
    for sample in read_samples(path):
        counted.add(sample)
    return counted.result(reader or {}, Path(folder), {})


def merge_parts(
    folder: str | Path, parts: int, sets: Sequence[str], *, charset: str, reader: Mapping[str, Any]
) -> Evaluation:
    """Return what one process would have given, from the samples of all parts, which are put
    together and removed.

    sets: the names, in the order that they were read in.
    """
    counted = _Counts(charset)
    order = {name: position for position, name in enumerate(sets)}
    paths = [Path(folder) / f"{part_name(number)}.tsv" for number in range(parts)]
    with SampleWriter(Path(folder), parquet=find_spec("pyarrow") is not None) as writer:
        for sample in heapq.merge(
            *map(read_samples, paths), key=lambda one: (order[one.set], one.index)
        ):
            counted.add(sample)
            writer.write(sample)
    for path in paths:
        path.unlink()
    return counted.result(reader, Path(folder), {})


def part_name(number: int) -> str:
    """Return the name of a part's file, without its suffix."""
    return f".{SAMPLES}-part-{number}"


class _Counts:
    """Summaries by set, and scores in further charsets."""

    def __init__(self, charset: str, others: Sequence[str] = (), errors: int = ERRORS) -> None:
        self.text = ScoredText(charset)
        self._others = [ScoredText(other) for other in others]
        self._summaries: dict[str, Summary] = {}
        self._errors = errors
        self._combined = Summary(errors=errors)
        self._scores: dict[str, dict[str, Score]] = {other: {} for other in others}

    def begin(self, name: str) -> None:
        """Take in a set, which may have no words."""
        self._summaries.setdefault(name, Summary(errors=self._errors))
        for scores in self._scores.values():
            scores.setdefault(name, Score())

    def add(self, sample: Sample) -> None:
        shortened = bool(sample.label) and self.text.loses_letters(sample.stored_label)
        for summary in (
            self._summaries.setdefault(sample.set, Summary(errors=self._errors)),
            self._combined,
        ):
            summary.add(sample, shortened=shortened)
        for text in self._others:
            score = self._scores[text.charset].setdefault(sample.set, Score())
            label = text(sample.stored_label)
            score.add(text(sample.raw_text), label, sample.confidence or 0.0)
            score.unreadable += bool(label) and sample.error is not None
            score.shortened += bool(label) and text.loses_letters(sample.stored_label)

    def result(
        self, reader: Mapping[str, Any], folder: Path, digests: Mapping[str, str]
    ) -> Evaluation:
        sets = {name: summary.result() for name, summary in self._summaries.items()}
        scores: dict[str, Mapping[str, Score]] = {self.text.charset: dict(sets), **self._scores}
        return Evaluation(
            sets, self._combined.result(), scores, self.text.charset, dict(reader), folder, digests
        )


class _Digest:
    """The words of a set, whose digests are added up as they pass."""

    def __init__(self, words: WordSet) -> None:
        self._words = words
        self.total = 0

    def __iter__(self) -> Iterator[LabeledWord]:
        for word in self._words:
            self.total += word.digest
            yield word


def _part(words: Iterable[LabeledWord], number: int, parts: int) -> Iterator[LabeledWord]:
    """Yield one of several parts, some words in a row of each."""
    remaining = iter(words)
    turn = 0
    while some := list(islice(remaining, STRETCH)):
        if turn % parts == number:
            yield from some
        turn += 1


def _index_of(position: int, number: int, parts: int) -> int:
    turn, within = divmod(position, STRETCH)
    return (turn * parts + number) * STRETCH + within


def _sample(
    name: str, index: int, one: Opened, reading: WordReading, text: ScoredText, reader: WordReader
) -> Sample:
    width, height = one.image.size if one.image is not None else (0, 0)
    confident = reader.description.get("confidences", True)
    return Sample(
        set=name,
        index=index,
        source=one.word.source,
        image=one.word.name,
        stored_label=one.word.label,
        raw_text=reading.text,
        label=text(one.word.label),
        text=text(reading.text),
        confidence=float(reading.confidence) if confident else None,
        character_confidences=tuple(round(float(one), 6) for one in reading.character_confidences),
        width=width,
        height=height,
        slant=one.slant,
        sharpness=one.sharpness,
        rotation=reading.rotation,
        error=reading.error,
    )
