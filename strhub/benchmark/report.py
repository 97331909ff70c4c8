"""What a measurement looks like: a table, JSON, and plots. Plots need matplotlib, of the extra
`bench`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from strhub.benchmark.measure import Cost, Latency
from strhub.utils.files import write_whole
from strhub.utils.log_axis import log_x_axis, write_figure


def cost_table(costs: Mapping[str, Cost]) -> str:
    """Return a line a module; the whole, which has no name, first."""
    width = max(map(len, costs)) + 2
    lines = [f"{'module':<{width}}{'parameters':>12}{'multiply-adds':>16}{'activations':>14}"]
    for name, cost in costs.items():
        indent = name or "whole"
        lines.append(
            f"{indent:<{width}}{cost.parameters / 1e6:>10.2f} M{cost.multiply_adds / 1e9:>14.3f} G"
            f"{cost.activations / 1e6:>12.2f} M"
        )
    return "\n".join(lines)


def latency_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a line a subject: milliseconds a batch, words a second, how long it takes against the
    first one.
    """
    width = max(len(row["name"]) for row in rows)
    lines = [f"{'':<{width}}{'ms':>10}{'quartiles':>20}{'words/s':>10}{'to the first':>26}"]
    for row in rows:
        latency, ratio = Latency(*row["milliseconds"]), Latency(*row["ratio"])
        spread = f"{latency.lower:.2f} to {latency.upper:.2f}"
        lines.append(
            f"{row['name']:<{width}}{latency.median:>10.2f}{spread:>20}{row['words_per_second']:>10.1f}"
            f"{f'{ratio.median:.2f} ({ratio.lower:.2f} to {ratio.upper:.2f})':>26}"
        )
    return "\n".join(lines)


def write_json(results: Mapping[str, Any], path: Path) -> None:
    """Write everything that was measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def check_plot(path: Path) -> None:
    """Raise `ValueError` for a suffix of no image format, `ModuleNotFoundError` without
    matplotlib.
    """
    from matplotlib.backend_bases import FigureCanvasBase

    if path.suffix[1:].lower() not in ("", *FigureCanvasBase.get_supported_filetypes()):
        raise ValueError(
            f"plot: {path} is not an image format that plots can be written in: use .png"
        )


def plot_range(latencies: Mapping[int, Latency], title: str, path: Path) -> None:
    """Plot latency against label length (the paper's appendix I)."""
    figure, axes = _figure()
    lengths = list(latencies)
    axes.plot(lengths, [latency.median for latency in latencies.values()], marker="o", markersize=4)
    axes.fill_between(
        lengths,
        [latency.lower for latency in latencies.values()],
        [latency.upper for latency in latencies.values()],
        alpha=0.2,
    )
    axes.set_xlabel("label length (characters)")
    axes.set_ylabel("latency (ms)")
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=9)
    _save(figure, path)


def plot_accuracy(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot accuracy against latency per word (the paper's Figure 5) for all subjects with a known
    accuracy.
    """
    figure, axes = _figure()
    for row in rows:
        milliseconds = row["milliseconds"][0] / row["batch_size"]
        axes.scatter(milliseconds, row["accuracy"], label=row["name"])
    log_x_axis(axes, [row["milliseconds"][0] / row["batch_size"] for row in rows])
    axes.set_xlabel("latency (ms a word)")
    axes.set_ylabel("accuracy (%)")
    axes.legend(fontsize=7)
    _save(figure, path)


def plot_latency(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the latency per word of all subjects, with quartiles."""
    figure, axes = _figure()
    names = [row["name"] for row in rows]
    medians, lower, upper = zip(
        *([value / row["batch_size"] for value in row["milliseconds"]] for row in rows), strict=True
    )
    errors = [
        [one - other for one, other in zip(medians, lower, strict=True)],
        [one - other for one, other in zip(upper, medians, strict=True)],
    ]
    axes.barh(names, medians, xerr=errors)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("latency (ms a word)")
    _save(figure, path)


def _figure() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_figure(figure, path, dpi=120)
