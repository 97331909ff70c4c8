"""The report of an inspection as one HTML page that needs nothing else: images are in it, scripts
are not.

In: a report of `strhub.data.curation.inspection.inspect` and the LMDB folders it names, for their
images. Out: HTML. Labels may hold anything, so every text is escaped; images are decoded and
encoded anew, so no byte of theirs is passed on.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, Final, TypeAlias

from PIL import Image

from strhub.data.curation.stored import Store, open_stored
from strhub.images.open import UnreadableImage, open_bytes

__all__ = ["page"]

Report: TypeAlias = dict[str, Any]

MAX_PAIRS: Final = 60  # shown of each list
MAX_ROWS: Final = 200
MAX_CHARACTERS: Final = 400
IMAGE_BOX: Final = (320, 64)  # width, height that an image is reduced to if it is larger
BAR_WIDTH: Final = 14  # pixels, one bar of a chart
CHART_HEIGHT: Final = 70

STYLE: Final = """
:root { color-scheme: light; } h3 { font-size: 1rem; margin-bottom: .3rem; }
body { font: 15px/1.45 system-ui, sans-serif; color: #1c2430; background: #fff;
  margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #d5dbe3; }
table { border-collapse: collapse; } tr { border-bottom: 1px solid #edf0f4; }
th, td { padding: .15rem .7rem .15rem 0; text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
.charts, .words { display: flex; flex-wrap: wrap; gap: 1rem 1.6rem; }
figure { margin: 0; } figcaption { font-size: .85rem; overflow-wrap: anywhere; max-width: 20rem; }
figure img { display: block; max-width: 20rem; background: #eee; }
.pair { display: flex; gap: 1rem; align-items: end; margin: .6rem 0; }
.chars span { display: inline-block; margin: 0 .5rem .2rem 0; padding: 0 .3rem;
  background: #edf3fa; }
.chars span.out { background: #fde4dc; } text { font: 10px system-ui, sans-serif; fill: #5a6675; }
h1 { font-size: 1.5rem; } rect { fill: #3b73af; } .dim { color: #5a6675; font-size: .85rem; }
"""


def page(report: Report) -> str:
    """Return the whole page. An image that can't be read any more is left out; its label stays."""
    thumbnails = _Thumbnails()
    parts = [f"<h1>{_text(report['tree'])}</h1>", _tree(report, report, thumbnails)]
    if "other" in report:
        other, overlap = report["other"], report["overlap"]
        parts += [f"<h1>{_text(other['tree'])}</h1>", _tree(other, report, thumbnails)]
        parts += [
            "<h1>In both</h1>",
            f"<p>{overlap['records_of_other']} records of {_text(other['tree'])} are in "
            f"{_text(report['tree'])} too: "
            f"{overlap['exact']} with the same bytes or pixels, {overlap['near']} near pairs.</p>",
            _pairs(overlap, thumbnails),
        ]
    title = f"<title>{_text(report['tree'])}</title>"
    head = (
        '<meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width">{title}<style>{STYLE}</style>'
    )
    body = "\n".join(parts)
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


class _Thumbnails:
    """Images by their place, as data URIs."""

    def __init__(self) -> None:
        self._opened: dict[str, Store] = {}

    def uri(self, location: Report) -> str | None:
        """Return None if the image cannot be read."""
        try:
            if location["path"] not in self._opened:
                self._opened[location["path"]] = open_stored(location["path"])
            (stored,) = self._opened[location["path"]].records([location["number"]])
            image = open_bytes(stored.encoded or b"")
        except (UnreadableImage, ValueError):
            return None
        image.thumbnail(IMAGE_BOX, Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"

    def figure(self, location: Report, note: str = "") -> str:
        """Return the image above its label and place."""
        uri = self.uri(location)
        shown = (
            f'<img src="{uri}" alt="{_text(location["label"])}">' if uri else "<em>unreadable</em>"
        )
        where = f"{_text(Path(location['path']).name)} {location['number']}"
        return (
            f"<figure>{shown}<figcaption>{_text(location['label'])} "
            '<span class="dim" '
            f'title="{_text(location["path"])}">{where}{_text(note)}</span></figcaption></figure>'
        )


def _tree(tree: Report, report: Report, thumbnails: _Thumbnails) -> str:
    total = tree["total"]
    limit = (
        f"at most {report['max_length']} characters"
        if report["max_length"] is not None
        else "any length"
    )
    parts = [
        "<h2>Sets</h2>",
        _sets(tree),
        "<h2>Sizes and lengths</h2>",
        _charts(total),
        "<h2>Characters</h2>",
        _characters(total),
        "<h2>Labels that the charset drops</h2>"
        f"<p>Charset {_text(report['charset'])}; {limit}.</p>",
        _dropped(total),
        "<h2>Unreadable images</h2>",
        _unreadable(tree),
        "<h2>Duplicates</h2>",
        _pairs(tree["duplicates"], thumbnails),
        "<h2>Samples</h2>",
    ]
    for summary in tree["sets"]:
        words = "".join(thumbnails.figure(sample) for sample in summary["samples"])
        parts.append(f'<h3>{_text(summary["path"])}</h3><div class="words">{words}</div>')
    return "\n".join(parts)


def _sets(tree: Report) -> str:
    names = (
        "records",
        "readable",
        "labels missing",
        "undecodable",
        "kept by charset",
        "same bytes",
        "same pixels",
    )
    rows = []
    for summary in [*tree["sets"], {"path": "in total"} | tree["total"]]:
        labels, duplicates = summary["labels"], summary["duplicates"]
        numbers = (
            *(
                summary["records"],
                summary["readable"],
                labels["missing"],
                labels["undecodable"],
                summary["kept"],
            ),
            *(
                duplicates["same_bytes"],
                duplicates["same_pixels"],
                duplicates["same_pixels_other_label"],
            ),
            *(duplicates["near"], f"{summary['bytes'] / 1e6:.1f}"),
            ", ".join(f"{count} {name}" for name, count in summary["formats"].items()),
        )
        rows.append((summary["path"], *numbers))
    damaged = "".join(
        f"<p>Can't be read: {_text(one['path'])}: {_text(one['problem'])}</p>"
        for one in tree["damaged_sets"]
    )
    return (
        _table(("set", *names, "of these with another label", "near", "MB", "formats"), rows)
        + damaged
    )


def _charts(total: Report) -> str:
    names = {
        "label_length": "Label length, characters",
        "aspect_ratio": "Aspect ratio, width / height",
        "width": "Width, pixels",
        "height": "Height, pixels",
    }
    charts = []
    for name, title in names.items():
        quantiles = total[name]["quantiles"]
        spread = " · ".join(
            f"{fraction} %: {level:g}"
            for fraction, level in quantiles.items()
            if fraction in ("1", "50", "99")
        )
        chart = _chart(total[name]["histogram"]) if quantiles else "<p>none</p>"
        charts.append(f'<div><h3>{title}</h3>{chart}<div class="dim">{spread}</div></div>')
    return f'<div class="charts">{"".join(charts)}</div>'


def _chart(histogram: Sequence[tuple[float, int]]) -> str:
    """Draw bars from each edge up to the next; hovering over one shows its number."""
    most = max(count for _, count in histogram)
    every = max(1, -(-len(histogram) // 12))  # labels under bars need room
    bars = []
    for spot, (edge, count) in enumerate(histogram):
        height, left = CHART_HEIGHT * count / most, spot * (BAR_WIDTH + 4)
        following = f"{histogram[spot + 1][0]:g}" if spot + 1 < len(histogram) else "on"
        bars.append(
            f'<rect x="{left}" y="{CHART_HEIGHT - height:.1f}" width="{BAR_WIDTH}" '
            f'height="{height:.1f}">'
            f"<title>{edge:g} to {following}: {count}</title></rect>"
        )
        if spot % every == 0:
            bars.append(f'<text x="{left}" y="{CHART_HEIGHT + 12}">{edge:g}</text>')
    width = len(histogram) * (BAR_WIDTH + 4) + 20
    return f'<svg width="{width}" height="{CHART_HEIGHT + 16}" role="img">{"".join(bars)}</svg>'


def _characters(total: Report) -> str:
    spans = [
        f'<span{"" if inside else " class=out"} title="U+{ord(character):04X}">{_text(character)} '
        f'<span class="dim">{count}</span></span>'
        for character, count, inside in total["characters"][:MAX_CHARACTERS]
    ]
    outside = sum(not inside for *_, inside in total["characters"])
    more = _more(len(total["characters"]), MAX_CHARACTERS)
    return (
        f"<p>{outside} of {len(total['characters'])} are outside the charset (red).</p><p "
        'class="chars">' + (f"{''.join(spans)}</p>{more}")
    )


def _dropped(total: Report) -> str:
    rows = [
        (reason, dropped["count"], ", ".join(example["label"] for example in dropped["examples"]))
        for reason, dropped in total["dropped"].items()
    ]
    return _table(("reason", "labels", "examples"), rows) if rows else "<p>None.</p>"


def _unreadable(tree: Report) -> str:
    rows = [
        (summary["path"], problem["number"], problem["problem"])
        for summary in tree["sets"]
        for problem in summary["problems"]
    ]
    if not rows:
        return "<p>None.</p>"
    unreadable = tree["total"]["records"] - tree["total"]["readable"]
    return _table(("set", "record", "problem"), rows[:MAX_ROWS]) + _more(
        unreadable, len(rows[:MAX_ROWS])
    )


def _pairs(pairs: Report, thumbnails: _Thumbnails) -> str:
    parts = []
    for title, kinds, count in (
        ("The same bytes or pixels", ("same bytes", "same pixels"), pairs["exact"]),
        ("Near", ("near",), pairs["near"]),
    ):
        shown = [pair for pair in pairs["pairs"] if pair["kind"] in kinds][:MAX_PAIRS]
        parts.append(f"<h3>{title}: {count}</h3>")
        for pair in shown:
            note = (
                f", {pair['kind']}"
                if pair["kind"] != "near"
                else f", alike {pair['similarity']:.3f}"
            )
            first, second = (
                thumbnails.figure(pair["first"]),
                thumbnails.figure(pair["second"], note),
            )
            parts.append(f'<div class="pair">{first}{second}</div>')
        parts.append(_more(count, len(shown)))
    return "\n".join(parts)


def _table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(
        f"<th{'' if not spot else ' class=n'}>{_text(name)}</th>" for spot, name in enumerate(names)
    )
    body = "".join(
        f"<tr>{''.join(f'<td{_number_class(cell)}>{_text(str(cell))}</td>' for cell in row)}</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _number_class(cell: object) -> str:
    return " class=n" if isinstance(cell, int) else ""


def _more(count: int, shown: int) -> str:
    return f'<p class="dim">and {count - shown} more</p>' if count > shown else ""


def _text(text: str) -> str:
    """Escape text; invisible characters, and those that change the direction of writing, are shown
    as their code.
    """
    return escape("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))
