"""Plot the training curve of a run: its loss, and its accuracy on the validation words.

example:
  strhub-model plot outputs/<run>/metrics.csv curve.png
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

from strhub.utils.log_axis import write_figure
from strhub.utils.regular_files import read_regular_text


def column(rows: list[dict[str, str]], name: str, batch: int) -> tuple[list[float], list[float]]:
    """Return the words seen, in thousands, and the value of every row that has one."""
    found = [(int(row["step"]) * batch / 1000, float(row[name])) for row in rows if row.get(name)]
    return [words for words, _ in found], [value for _, value in found]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of plot."""
    parser.add_argument(
        "metrics", type=Path, nargs="+", help="metrics.csv of a run, or of its parts, in order"
    )
    parser.add_argument("out", type=Path, help="PNG file to write")
    parser.add_argument(
        "--batch_size", type=int, default=96, help="words per step, over all devices"
    )


def rows_of(paths: list[Path]) -> list[dict[str, str]]:
    """Return the rows of metrics.csv files; `ValueError` if one has no steps, or no numbers."""
    rows = []
    for path in paths:
        refused = f"{path} is not the metrics.csv of a run"
        try:
            found = list(csv.DictReader(io.StringIO(read_regular_text(path), newline="")))
        except (csv.Error, ValueError) as error:
            raise ValueError(f"{refused}: {error}") from error
        if not found or "step" not in found[0]:
            raise ValueError(f"{refused}: it has no column `step`")
        for number, row in enumerate(found, 1):
            try:
                int(row["step"])
                [float(row[name]) for name in ("loss", "val_accuracy") if row.get(name)]
            except (TypeError, ValueError) as error:
                raise ValueError(f"{refused}: row {number}: {error}") from error
        rows += found
    return rows


def run(args: argparse.Namespace) -> None:
    """Draw the curve. Raises `ValueError` for what is no record of a run."""
    rows = rows_of(args.metrics)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, loss_axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    accuracy_axes = loss_axes.twinx()
    loss_axes.plot(*column(rows, "loss", args.batch_size), color="tab:orange", linewidth=1)
    accuracy_axes.plot(
        *column(rows, "val_accuracy", args.batch_size), color="tab:blue", marker="o", markersize=4
    )
    loss_axes.set_xlabel("words seen (thousands)")
    loss_axes.set_ylabel("training loss", color="tab:orange")
    loss_axes.set_ylim(bottom=0)
    accuracy_axes.set_ylabel("validation accuracy (%)", color="tab:blue")
    accuracy_axes.set_ylim(0, 100)
    accuracy_axes.grid(alpha=0.3)
    write_figure(figure, args.out, dpi=100)
    pyplot.close(figure)
    print(args.out)
