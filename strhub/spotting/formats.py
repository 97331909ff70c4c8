"""A page as text for other programs: JSON, TSV, hOCR, ALTO, Markdown, plain text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from strhub.errors import ConfigError
from strhub.spotting.page import Line, Page, Quad, Word

# What stands before and after the pages of a file.
_INNER = {"hocr": ("<body>\n", "\n</body>"), "alto": ("<Layout>", "</Layout>")}
TSV_HEADER = "page\tparagraph\tline\tword\tx1\ty1\tx2\ty2\tx3\ty3\tx4\ty4\tconfidence\ttext"


def export(page: Page, format: str) -> str:
    """Return a page in a format; `ConfigError` names the known ones for an unknown one."""
    if format not in FORMATS:
        raise ConfigError(f"there is no format {format!r} of pages; known: {', '.join(FORMATS)}")
    return FORMATS[format](page)


def export_pages(pages: Sequence[Page], format: str) -> str:
    """Return the pages of a document in a format, as one file; of one page, as `export`."""
    parts = [export(page, format) for page in pages]
    if len(parts) == 1:
        return parts[0]
    if format == "json":
        return "[" + ",\n".join(parts) + "]"
    if format == "tsv":
        rows = [row for part in parts[1:] for row in part.split("\n")[1:]]
        return "\n".join([parts[0], *rows])
    if format in _INNER:
        begin, end = _INNER[format]
        head, tail = parts[0].split(begin)[0] + begin, end + parts[0].split(end)[-1]
        inner = [part.split(begin, 1)[1].rsplit(end, 1)[0] for part in parts]
        return head + "\n".join(inner) + tail
    return ("\n\f" if format == "txt" else "\n\n---\n\n").join(parts)


def to_dict(page: Page) -> dict[str, Any]:
    """Return everything but the image, fit for JSON; coordinates are pixels."""
    return {
        "source": page.source,
        "number": page.number,
        "size": list(page.size),
        "rotation": page.rotation,
        "error": page.error,
        "text": page.text,
        "paragraphs": [
            {"text": paragraph.text, "lines": [_line_to_dict(line) for line in paragraph.lines]}
            for paragraph in page.paragraphs
        ],
    }


def _line_to_dict(line: Line) -> dict[str, Any]:
    return {
        "text": line.text,
        "confidence": round(line.confidence, 4),
        "quad": _rounded(line.quad),
        "rotation": line.rotation,
        "words": [
            {
                "text": word.text,
                "confidence": round(word.confidence, 4),
                "character_confidences": [round(value, 4) for value in word.character_confidences],
                "quad": _rounded(word.quad),
            }
            for word in line.words
        ],
    }


def to_json(page: Page) -> str:
    """Return one line of JSON."""
    return json.dumps(to_dict(page), ensure_ascii=False)


def to_tsv(page: Page) -> str:
    """Return a table, a word a row, below a header."""
    rows = [TSV_HEADER]
    for p, paragraph in enumerate(page.paragraphs, 1):
        for n, line in enumerate(paragraph.lines, 1):
            for w, word in enumerate(line.words, 1):
                corners = [f"{value:.1f}" for corner in word.quad for value in corner]
                text = word.text.replace("\t", " ").replace("\n", " ")
                numbers = map(str, (page.number, p, n, w))
                rows.append("\t".join([*numbers, *corners, f"{word.confidence:.4f}", text]))
    return "\n".join(rows)


def to_markdown(page: Page) -> str:
    """Return the paragraphs; a line that is much higher than the others is a heading."""
    heights = sorted(_height(line) for line in page.lines)
    usual = heights[len(heights) // 2] if heights else 0.0
    blocks = []
    for paragraph in page.paragraphs:
        heading = (
            len(paragraph.lines) == 1
            and len(heights) > 2
            and _height(paragraph.lines[0]) > 1.6 * usual
        )
        text = " \\\n".join(_escape_markdown(line.text) for line in paragraph.lines)
        blocks.append(f"## {text}" if heading else text)
    return "\n\n".join(blocks)


def _escape_markdown(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_{}[]<>#|" else char for char in text)


def to_hocr(page: Page) -> str:
    """Return an hOCR 1.2 document (XHTML)."""
    width, height = page.size
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<html xmlns="http://www.w3.org/1999/xhtml">',
        "<head><title></title>",
        '<meta http-equiv="Content-Type" content="text/html;charset=utf-8"/>',
        '<meta name="ocr-system" content="strhub"/>',
        '<meta name="ocr-capabilities" content="ocr_page ocr_par ocr_line ocrx_word"/></head>',
        "<body>",
        f'<div class="ocr_page" id="page_{page.number}" title="bbox 0 0 {width} {height}; ppageno '
        f'{page.number - 1}">',
    ]
    words = 0
    for p, paragraph in enumerate(page.paragraphs, 1):
        box = _bbox([corner for line in paragraph.lines for corner in line.quad])
        out.append(f'<p class="ocr_par" id="par_{page.number}_{p}" title="{box}">')
        for n, line in enumerate(paragraph.lines, 1):
            out.append(
                f'<span class="ocr_line" id="line_{page.number}_{p}_{n}" '
                f'title="{_bbox(line.quad)}">'
            )
            for word in line.words:
                words += 1
                title = f"{_bbox(word.quad)}; x_wconf {round(100 * word.confidence)}"
                out.append(
                    f'<span class="ocrx_word" id="word_{page.number}_{words}" '
                    f'title="{title}">{_xml(word.text)}</span>'
                )
            out.append("</span>")
        out.append("</p>")
    return "\n".join([*out, "</div>", "</body>", "</html>"])


def to_alto(page: Page) -> str:
    """Return an ALTO 4 document; positions are pixels."""
    width, height = page.size
    out = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<alto xmlns="http://www.loc.gov/standards/alto/ns-v4#">',
        "<Description><MeasurementUnit>pixel</MeasurementUnit>",
        f"<sourceImageInformation><fileName>{_xml(page.source or '')}</fileName>"
        "</sourceImageInformation>",
        "</Description>",
        f'<Layout><Page ID="page{page.number}" PHYSICAL_IMG_NR="{page.number}" WIDTH="{width}" '
        f'HEIGHT="{height}">',
        f'<PrintSpace HPOS="0" VPOS="0" WIDTH="{width}" HEIGHT="{height}">',
    ]
    for p, paragraph in enumerate(page.paragraphs, 1):
        box = _alto_box([corner for line in paragraph.lines for corner in line.quad])
        out.append(f'<TextBlock ID="block{page.number}_{p}" {box}>')
        for n, line in enumerate(paragraph.lines, 1):
            out.append(f'<TextLine ID="line{page.number}_{p}_{n}" {_alto_box(line.quad)}>')
            for w, word in enumerate(line.words, 1):
                if w > 1:
                    out.append("<SP/>")
                out.append(_alto_word(word, f"word{page.number}_{p}_{n}_{w}"))
            out.append("</TextLine>")
        out.append("</TextBlock>")
    return "\n".join([*out, "</PrintSpace></Page></Layout>", "</alto>"])


def _alto_word(word: Word, name: str) -> str:
    points = " ".join(f"{x:.0f},{y:.0f}" for x, y in word.quad)
    return (
        f'<String ID="{name}" {_alto_box(word.quad)} WC="{word.confidence:.2f}" '
        f'CONTENT="{_xml(word.text)}">'
        f'<Shape><Polygon POINTS="{points}"/></Shape></String>'
    )


def _xml(text: str) -> str:
    """Return text for XML, which has no place for most control characters."""
    return escape(
        "".join(char if char.isprintable() or char in "\t\n" else "\ufffd" for char in text)
    )


def _corners(points: list[tuple[float, float]] | Quad) -> tuple[int, int, int, int]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return round(min(xs)), round(min(ys)), round(max(xs)), round(max(ys))


def _bbox(points: list[tuple[float, float]] | Quad) -> str:
    return "bbox {} {} {} {}".format(*(max(0, value) for value in _corners(points)))


def _alto_box(points: list[tuple[float, float]] | Quad) -> str:
    left, top, right, bottom = _corners(points)
    return (
        f'HPOS="{max(0, left)}" VPOS="{max(0, top)}" WIDTH="{right - max(0, left)}" '
        f'HEIGHT="{bottom - max(0, top)}"'
    )


def _rounded(quad: Quad) -> list[list[float]]:
    return [[round(x, 1), round(y, 1)] for x, y in quad]


def _height(line: Line) -> float:
    (x0, y0), _, _, (x3, y3) = line.quad
    return float(((x3 - x0) ** 2 + (y3 - y0) ** 2) ** 0.5)


FORMATS: dict[str, Callable[[Page], str]] = {
    "txt": lambda page: page.text,
    "json": to_json,
    "tsv": to_tsv,
    "hocr": to_hocr,
    "alto": to_alto,
    "md": to_markdown,
}
