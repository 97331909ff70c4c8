"""The page that compares readers, `compare.html`, and the same for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from strhub.data.sources.word_sets import WordSet
from strhub.evaluation.comparing import (
    NO_DIFFERENCE,
    SURE_ENOUGH,
    Comparison,
    Pair,
    PairCounts,
    holm,
)
from strhub.evaluation.report.charts import Curve, curve_chart
from strhub.evaluation.report.content import WordList
from strhub.evaluation.report.shell import render
from strhub.evaluation.results.sample import Sample
from strhub.evaluation.scoring import COMBINED, Evaluation

__all__ = ["compare_page", "comparison_text"]


def compare_page(
    comparison: Comparison, evaluations: Sequence[Evaluation], sets: Sequence[WordSet]
) -> str:
    """Return the page; evaluations are those that were compared, in that order."""
    words = WordList()
    kinds = {
        f"alone-{number}": comparison.alone[name] for number, name in enumerate(comparison.readers)
    }
    kinds |= {"nobody": comparison.nobody, "agreed": comparison.agreed}
    keys = {name: _add(words, samples, comparison.readers) for name, samples in kinds.items()}
    titles = [
        *(
            (f"alone-{number}", f"only {name} reads", comparison.alone_counts[name])
            for number, name in enumerate(comparison.readers)
        ),
        ("nobody", "nobody reads", comparison.nobody_count),
        ("agreed", "all read the same, and not the label", len(comparison.agreed)),
    ]
    images = words.images(sets)
    return render(
        "compare.html",
        title=f"{', '.join(comparison.readers)}: compared",
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        words=comparison.words,
        charset=evaluations[0].charset,
        readers=comparison.readers,
        names=list(evaluations[0]),
        scores=_scores(evaluations),
        risk=_risk(comparison.readers, evaluations),
        no_difference=NO_DIFFERENCE,
        pairs=[(pair, _set_rows(pair), _slice_rows(pair)) for pair in comparison.pairs],
        kinds=titles,
        data={"words": list(words.words.values()), "images": images, "kinds": keys},
    )


def comparison_text(comparison: Comparison) -> str:
    """Return the differences by set for a terminal."""
    lines = []
    for pair in comparison.pairs:
        lines.append(f"{pair.first} and {pair.second}")
        width = max(map(len, pair.sets))
        for row in _set_rows(pair):
            counts, difference = row["counts"], row["difference"]
            lines.append(
                f"  {row['name']:<{width}}  {counts.words:>6} words  "
                f"{100 * difference.value:+6.1f} points "
                f"[{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]  p "
                f"{row['chance']:.3f}  {row['verdict']}"
            )
    return "\n".join(lines)


def _add(words: WordList, found: Iterable[Sequence[Sample]], readers: Sequence[str]) -> list[str]:
    keys = []
    for samples in found:
        for name, sample in zip(readers, samples, strict=True):
            key = words.add(sample, reader=name)
        keys.append(key)
    return keys


def _scores(evaluations: Sequence[Evaluation]) -> list[dict[str, Any]]:
    rows = [(name, [one[name] for one in evaluations]) for name in evaluations[0]]
    rows.append((COMBINED, [one.combined for one in evaluations]))
    return [
        {
            "name": name,
            "words": results[0].samples,
            "accuracies": [one.accuracy_interval for one in results],
        }
        for name, results in rows
    ]


def _risk(readers: Sequence[str], evaluations: Sequence[Evaluation]) -> str:
    curves = [
        Curve(name, [(0.0, 0.0), *one.combined.risk])
        for name, one in zip(readers, evaluations, strict=True)
        if one.combined.risk
    ]
    top = max((risk for curve in curves for _, risk in curve.points), default=0.0)
    return (
        curve_chart("Errors by coverage", curves, "coverage", "errors", top=top) if curves else ""
    )


def _set_rows(pair: Pair) -> list[dict[str, Any]]:
    return [_row(pair, name, counts, counts.probability) for name, counts in pair.sets.items()]


def _slice_rows(pair: Pair) -> list[dict[str, Any]]:
    named = [
        (f"{name}: {part}", counts)
        for name, parts in pair.slices.items()
        for part, counts in _filled(parts).items()
    ]
    chances = holm([counts.probability for _, counts in named])
    return [
        _row(pair, name, counts, chance)
        for (name, counts), chance in zip(named, chances, strict=True)
    ]


def _filled(parts: Mapping[str, PairCounts]) -> dict[str, PairCounts]:
    return {
        part: counts for part, counts in parts.items() if counts.only_first or counts.only_second
    }


def _row(pair: Pair, name: str, counts: PairCounts, chance: float) -> dict[str, Any]:
    return {
        "name": name,
        "counts": counts,
        "difference": counts.difference,
        "chance": chance,
        "verdict": pair.verdict(counts, chance),
        "differs": chance < SURE_ENOUGH,
        "total": name == COMBINED,
    }
