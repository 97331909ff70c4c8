#!/usr/bin/env python3
"""Draw the training curve of a run: its loss, and its accuracy on the validation words.

tools/plot_curve.py outputs/<run>/metrics.csv curve.png        needs the extra `bench` (matplotlib)
"""

import argparse
import csv
from pathlib import Path


def column(rows: list[dict[str, str]], name: str, batch: int) -> tuple[list[float], list[float]]:
    """Words seen, in thousands, and the value of every row that has one."""
    found = [(int(row["step"]) * batch / 1000, float(row[name])) for row in rows if row.get(name)]
    return [words for words, _ in found], [value for _, value in found]


def main() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "metrics", type=Path, nargs="+", help="metrics.csv of a run, or of its parts in order"
    )
    parser.add_argument("out", type=Path, help="PNG to write")
    parser.add_argument(
        "--batch_size", type=int, default=96, help="words a step, all devices together"
    )
    args = parser.parse_args()
    rows = [row for path in args.metrics for row in csv.DictReader(path.open())]
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
    figure.savefig(args.out, dpi=100)


if __name__ == "__main__":
    main()
