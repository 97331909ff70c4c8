"""What plots share: a logarithmic axis whose ticks can be read, and files that are never half
written.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strhub.utils.files import write_whole


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


def write_figure(figure: Any, path: Path, *, dpi: int) -> None:
    """Write a Matplotlib figure in the format that the file's suffix names, PNG without one.

    Raises:
        ValueError: for a format that Matplotlib does not write.
        OSError: if the file cannot be written; what was there before stays.
    """
    image = io.BytesIO()
    figure.savefig(image, dpi=dpi, format=path.suffix[1:] or "png")
    write_whole(path, image.getvalue())
