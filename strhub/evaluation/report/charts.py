"""Charts as inline SVG, in the colors of the page's style sheet, each with words for those who do
not see it.

In: numbers. Out: `Markup` to put in a template. Values and their limits are fractions in [0, 1]
    unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup, escape

from strhub.evaluation.report.shell import percent, shown

__all__ = ["Bar", "Curve", "bar_chart", "curve_chart", "reliability_chart"]

_ROW: Final = 22  # pixels, a bar with its gap
_NAME: Final = 110  # pixels, for a bar's name
_BARS: Final = 230  # pixels, from 0 to 100 %
_SIDE: Final = 260  # pixels, of a square chart without its axes
_TOPS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
)  # where the scale of a curve may end, with round marks
_LEFT, _TOP = 40, 24


class Bar(NamedTuple):
    """A value with its interval, and how many words it is of."""

    name: str
    value: float
    low: float
    high: float
    words: int


class Curve(NamedTuple):
    """Points (x, y) in order, and what they are of."""

    name: str
    points: Sequence[tuple[float, float]]


def bar_chart(title: str, bars: Sequence[Bar]) -> Markup:
    """Return a bar for each value with its interval as a line, the number and the count beside
    it.
    """
    width, height = _NAME + _BARS + 120, len(bars) * _ROW + 4
    parts = []
    for row, bar in enumerate(bars):
        top, middle = row * _ROW + 2, row * _ROW + _ROW / 2
        low, high = (_NAME + _BARS * value for value in (bar.low, bar.high))
        tooltip = (
            f"{bar.name}: {percent(bar.value)} % [{percent(bar.low)}, {percent(bar.high)}] of "
            f"{bar.words}"
        )
        parts.append(
            f"<g><title>{escape(shown(tooltip))}</title>"
            f'<text x="{_NAME - 6}" y="{middle + 4:.1f}" '
            f'text-anchor="end">{escape(shown(bar.name))}</text>'
            f'<rect class="bar" x="{_NAME}" y="{top}" width="{_BARS * bar.value:.1f}" '
            f'height="{_ROW - 6}"/>'
            f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:.1f}" '
            f'y2="{middle:.1f}"/>'
            f'<text x="{_NAME + _BARS + 8}" y="{middle + 4:.1f}">{percent(bar.value)} % of '
            f"{bar.words:,}</text></g>"
        )
    axis = f'<line class="axis" x1="{_NAME}" x2="{_NAME}" y1="0" y2="{height}"/>'
    return _svg(title, width, height, axis + "".join(parts))


def reliability_chart(title: str, bars: Sequence[Bar], confidences: Sequence[float]) -> Markup:
    """Return accuracy against mean confidence, a mark for each bin with its interval, beside where
    both are equal.
    """
    parts = [_frame("confidence", "accuracy"), _line("ideal", [(0, 0), (1, 1)])]
    most = max((bar.words for bar in bars), default=1)
    for bar, confidence in zip(bars, confidences, strict=True):
        x, low, high = _x(confidence), _y(bar.low), _y(bar.high)
        radius = 2.5 + 4 * (bar.words / most) ** 0.5
        tooltip = (
            f"confidence {percent(confidence)} %: {percent(bar.value)} % of {bar.words} words are "
            "right"
        )
        parts.append(
            f"<g><title>{tooltip}</title>"
            f'<line class="spread" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<circle class="mark" cx="{x:.1f}" cy="{_y(bar.value):.1f}" r="{radius:.1f}"/></g>'
        )
    return _svg(title, _LEFT + _SIDE + 12, _TOP + _SIDE + 40, "".join(parts))


def curve_chart(
    title: str, curves: Sequence[Curve], across: str, up: str, *, top: float = 1.0
) -> Markup:
    """Return curves, x in [0, 1] and y from 0 to at least `top`; each has its own color and its
    name below.
    """
    top = next((step for step in _TOPS if step >= top), 1.0)
    parts = [_frame(across, up, top)]
    for number, curve in enumerate(curves):
        points = [(x, min(1.0, y / top)) for x, y in curve.points]
        y = _TOP + _SIDE + 52 + 16 * number
        name = (
            f'<line class="curve" x1="{_LEFT}" x2="{_LEFT + 18}" y1="{y - 4}" y2="{y - 4}"/>'
            f'<text x="{_LEFT + 24}" y="{y}">{escape(shown(curve.name))}</text>'
        )
        parts.append(
            f'<g class="c{number % 4}">{_line("curve", points)}{name if curve.name else ""}</g>'
        )
    named = sum(bool(curve.name) for curve in curves)
    return _svg(title, _LEFT + _SIDE + 12, _TOP + _SIDE + 40 + 16 * named, "".join(parts))


def _svg(title: str, width: float, height: float, content: str) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'role="img" '
        f'aria-label="{escape(shown(title))}">{content}</svg>'
    )


def _frame(across: str, up: str, top: float = 1.0) -> str:
    marks = []
    for part in (0, 0.25, 0.5, 0.75, 1):
        marks.append(
            f'<text x="{_x(part):.1f}" y="{_TOP + _SIDE + 16}" '
            f'text-anchor="middle">{100 * part:g}</text>'
        )
        marks.append(
            f'<text x="{_LEFT - 6}" y="{_y(part) + 4:.1f}" '
            f'text-anchor="end">{100 * part * top:.3g}</text>'
        )
        marks.append(_line("axis", [(0, part), (1, part)]))
    names = (
        f'<text x="{_x(1):.1f}" y="{_TOP + _SIDE + 34}" text-anchor="end">{escape(across)} '
        "(%)</text>"
        f'<text x="0" y="11">{escape(up)} (%)</text>'
    )
    return "".join(marks) + names


def _line(kind: str, points: Sequence[tuple[float, float]]) -> str:
    coordinates = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{coordinates}"/>'


def _x(value: float) -> float:
    return _LEFT + _SIDE * value


def _y(value: float) -> float:
    return _TOP + _SIDE * (1 - value)
