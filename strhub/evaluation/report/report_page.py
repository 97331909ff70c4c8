"""The page of one reader's results: `report.html`, one file that shows what was read wrong, and why
it may have been.

In: an `Evaluation`, and the test sets for their images. Out: HTML.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from strhub.data.sources.word_sets import WordSet
from strhub.evaluation.report.charts import Bar, Curve, bar_chart, curve_chart, reliability_chart
from strhub.evaluation.report.content import Maps, WordList
from strhub.evaluation.report.names import described
from strhub.evaluation.report.shell import render, shown
from strhub.evaluation.report.tables import left_out
from strhub.evaluation.results.slices import SLICES, parts_of
from strhub.evaluation.results.summary import SetResult
from strhub.evaluation.scoring import COMBINED, Evaluation

__all__ = ["report_page"]

SIDE: Final = 40  # rows and columns of the matrix
CELLS: Final = 120  # of the matrix that have examples on the page, the most frequent ones


@dataclass
class Cell:
    """A number of the matrix: how often a row's character was read as `text`; weight: of its color,
    in percent.
    """

    text: str
    count: int
    weight: int


@dataclass
class Row:
    """A row of the matrix; total: how often its character stands in labels."""

    label: str
    cells: list[Cell]
    total: int


@dataclass
class Matrix:
    """Confusions as a table; hidden: how many pairs have no place in it."""

    columns: list[str]
    rows: list[Row]
    hidden: int


def report_page(
    evaluation: Evaluation,
    sets: Sequence[WordSet],
    facts: Mapping[str, Any],
    *,
    maps: Maps | None = None,
    suspects_page: str = "",
) -> str:
    """Return the whole page.

    facts: of `write_results`; maps: draws where characters were read; suspects_page: address of the
    page on which suspected labels are gone through.
    """
    combined, words = evaluation.combined, WordList()
    errors = [words.add(sample) for sample in combined.errors]
    pairs = list(combined.confusions)[:CELLS]
    examples = [
        {
            "label": label,
            "text": text,
            "words": [words.add(one) for one in combined.examples[label, text]],
        }
        for label, text in pairs
    ]
    suspects = [words.add(sample) for sample in combined.suspects]
    images = words.images(sets, maps, [*errors, *suspects])
    data = {
        "words": list(words.words.values()),
        "images": images,
        "errors": errors,
        "suspects": suspects,
        "examples": examples,
        "parts": {name: [part.part for part in parts] for name, parts in combined.slices.items()},
    }
    return render(
        "report.html",
        title=f"What {shown(described(evaluation.reader))} reads",
        facts=facts,
        reader=evaluation.reader,
        charset=evaluation.charset,
        combined=combined,
        rows=[*evaluation.items(), (COMBINED, combined)],
        names=list(evaluation),
        remarks=left_out(dict(evaluation)),
        reliability=_reliability(combined),
        risk=_risk(combined),
        slices=_slices(combined),
        matrix=confusion_matrix(combined.confusions, combined.characters),
        suspects=len(suspects),
        suspects_page=suspects_page,
        data=data,
    )


def confusion_matrix(
    confusions: Mapping[tuple[str, str], int], characters: Mapping[str, int]
) -> Matrix:
    """Return the most frequent confusions as a table; characters: how often each stands in
    labels.
    """
    by_label, by_text = Counter[str](), Counter[str]()
    for (label, text), count in confusions.items():
        by_label[label] += count
        by_text[text] += count
    rows = sorted(
        (label for label, _ in by_label.most_common(SIDE)), key=lambda one: (one == "", one)
    )
    columns = sorted(
        (text for text, _ in by_text.most_common(SIDE)), key=lambda one: (one == "", one)
    )
    most = max(confusions.values(), default=1)

    def cell(label: str, text: str) -> Cell:
        count = confusions.get((label, text), 0)
        return Cell(text, count, round(15 + 60 * count / most) if count else 0)

    table = [
        Row(label, [cell(label, text) for text in columns], characters.get(label, 0))
        for label in rows
    ]
    seen = sum(bool(one.count) for row in table for one in row.cells)
    return Matrix(columns, table, len(confusions) - seen)


def _reliability(result: SetResult) -> str:
    if result.ece is None:
        return ""
    bars = [Bar(f"{one.confidence:.2f}", *one.accuracy, one.words) for one in result.bins]
    return reliability_chart(
        "Accuracy by confidence", bars, [one.confidence for one in result.bins]
    )


def _risk(result: SetResult) -> str:
    top = max((risk for _, risk in result.risk), default=0.0)
    curve = Curve("", [(0.0, 0.0), *result.risk])
    return curve_chart("Errors by coverage", [curve], "coverage", "errors", top=top)


def _slices(result: SetResult) -> list[tuple[str, str, Markup]]:
    found = []
    for name, about in SLICES.items():
        parts = {part.part: part for part in result.slices.get(name, ())}
        bars = [
            Bar(part, *parts[part].accuracy, parts[part].words)
            for part in parts_of(name)
            if part in parts
        ]
        found.append((name, about, bar_chart(f"Accuracy by {name}", bars)))
    return found
