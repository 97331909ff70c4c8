"""Tables of scores by the protocols of the field, and what was left out of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import add

from strhub.data.sources.protocols import protocols as protocols
from strhub.evaluation.metrics import Score

_NOTHING = "-"  # for a mean over no words


def format_table(scores: Mapping[str, Score], *, sets: int | None = None) -> str:
    """Return a table of scores, in percent, with "Combined" weighing by samples.

    sets: how many there should be; with fewer, the last row says that it is of some of them.
    """
    combined = (
        "Combined" if sets in (None, len(scores)) else f"Combined ({len(scores)} of {sets} sets)"
    )
    rows = {**scores, combined: reduce(add, scores.values(), Score())}
    width = max(map(len, rows))
    lines = [
        f"| {'Dataset':<{width}} | # samples | Accuracy | 1 - NED | Confidence | Label Length |",
        f"|:{'-' * width}-|----------:|---------:|--------:|-----------:|-------------:|",
    ]
    for name, score in rows.items():
        values = (
            100 * score.accuracy,
            100 * score.one_minus_ned,
            100 * score.mean_confidence,
            score.mean_label_length,
        )
        cells = [f"{value:.2f}" if score.samples else _NOTHING for value in values]
        accuracy, ned, confidence, length = cells
        lines.append(
            f"| {name:<{width}} | {score.samples:>9.0f} | {accuracy:>8} | {ned:>7} | "
            f"{confidence:>10} | {length:>12} |"
        )
    return "\n".join(lines)


def format_protocols(
    scores: Mapping[str, Score], asked: Sequence[str], named: Sequence[str] = ()
) -> str:
    """Return the tables of the asked protocols over the benchmarks that were scored, naming those
    that are absent.

    named: sets that were asked for by their names.
    """
    parts = []
    for protocol in asked:
        names = protocols()[protocol]
        present = {name: scores[name] for name in names if name in scores}
        table = format_table(present, sets=len(names)) if present else "none of its sets is there"
        parts.append(f"{protocol} protocol{_absent(names, scores)}\n{table}")
    of_protocols = {name for protocol in asked for name in protocols()[protocol]}
    others = [name for name in dict.fromkeys([*named, *scores]) if name not in of_protocols]
    if others:
        present = {name: scores[name] for name in others if name in scores}
        table = format_table(present, sets=len(others)) if present else "none of them is there"
        parts.append(f"other sets{_absent(others, scores)}\n{table}")
    return "\n\n".join([*parts, *left_out(scores)])


def format_own(scores: Mapping[str, Score], charset: str, names: Sequence[str]) -> str:
    """Return the table of all sets in the model's own charset. names: the sets that were asked
    for.
    """
    title = f"own charset of {len(charset)} characters{_absent(names, scores)}"
    return "\n\n".join([f"{title}\n{format_table(scores, sets=len(names))}", *left_out(scores)])


def left_out(scores: Mapping[str, Score]) -> list[str]:
    """Return sentences on what was not scored as it stands, each with its reason and numbers."""
    reasons = (
        ("untested", "labels without a character of the tested charset are not scored"),
        ("shortened", "labels are scored without their letters that the tested charset lacks"),
        ("unreadable", "images could not be read and count as wrong"),
    )
    found = []
    for field, reason in reasons:
        counts = {
            name: getattr(score, field) for name, score in scores.items() if getattr(score, field)
        }
        if counts:
            sets = ", ".join(f"{name} {count:.0f}" for name, count in counts.items())
            found.append(f"{sum(counts.values()):.0f} {reason} ({sets})")
    return found


def _absent(names: Sequence[str], scores: Mapping[str, Score]) -> str:
    absent = [name for name in names if name not in scores]
    return f" (absent: {', '.join(absent)})" if absent else ""
