"""A logarithmic axis whose ticks can be read, however little or much it spans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def log_x_axis(axes: Any, values: Sequence[float]) -> None:
    """Make the x axis of Matplotlib axes logarithmic, with at most some seven ticks, as plain
    numbers.

    values: what is shown, all above 0. Matplotlib's own labels of numbers between powers of ten
        overlap.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    span = max(values) / min(values)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if span < 100 else (1, 3) if span < 1e3 else (1,))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
