"""One line or entry of an annotation file to a path and a label.

In: the text of a line of CSV, TSV, JSONL or `gt.txt`, or a whole JSON document. Out: path and
label, as written there, or `BadLine` with the reason.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from strhub.errors import DataError
from strhub.images.find import SUFFIXES
from strhub.utils.json_text import load_json

__all__ = [
    "MAX_LINE",
    "BadLine",
    "HeaderLine",
    "Table",
    "from_gt",
    "from_json",
    "json_entries",
    "lines_of",
]

PATH_NAMES: Final = (
    *(
        "filename",
        "file_name",
        "image",
        "image_path",
        "path",
        "file",
        "img_path",
        "img_name",
        "image_name",
        "image_file",
    ),
    *("imagepath", "filepath", "file_path", "img"),
)
LABEL_NAMES: Final = (
    *(
        "label",
        "text",
        "words",
        "word",
        "transcription",
        "gt",
        "ground_truth",
        "groundtruth",
        "annotation",
        "identity",
    ),
)
DELIMITERS: Final = (",", ";", "\t", "|")  # of CSV, the most usual first
MAX_LINE: Final = 1 << 20  # bytes
QUOTED: Final = re.compile(r'"((?:[^"]|"")*)"')
# A path with an image's suffix, and what parts it from the label. The shortest such path, for
# labels may look like one. Nothing before it may be read in two ways, which would take hours.
NAMED: Final = re.compile(
    rf"(.*?(?:{'|'.join(sorted(map(re.escape, SUFFIXES)))}))\s*([\t,; ])\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)

Entry = tuple[str, str]  # path and label


class BadLine(DataError):
    """A line that says nothing of use; the message says why."""


class HeaderLine(BadLine):
    """The line that names the columns."""


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    r"""Yield the lines of a file without their ends: \n, \r\n, or \r where there is no \n near the
    beginning.

    Of a line over `MAX_LINE` bytes only the first of them come, one more than that.
    """
    beginning = file.read(MAX_LINE)
    end = b"\r" if b"\r" in beginning and b"\n" not in beginning else b"\n"
    rest = b""
    while beginning:
        *lines, rest = (rest + beginning).split(end)
        yield from (line[: MAX_LINE + 1].rstrip(b"\r") for line in lines)
        rest = rest[: MAX_LINE + 1]
        beginning = file.read(MAX_LINE)
    if rest:
        yield rest.rstrip(b"\r")


class Table:
    """Lines of CSV or TSV to path and label. The first line says which columns these are, and how
    many there are.

    csv: columns are parted by what the first line has, a comma if in doubt; `sep=;`, as Excel
        writes it, says it too.
    """

    def __init__(self, source: Path, form: str) -> None:
        self.source = source
        self.is_csv = form == "csv"
        self.delimiter = "" if self.is_csv else "\t"
        # columns; a width of 0 means that no line was seen yet
        self.width = self.path = self.label = 0

    def __call__(self, text: str) -> Entry:
        if not self.delimiter:
            if found := re.fullmatch(r'"?sep=(.)"?', text.strip(), re.IGNORECASE):
                self.delimiter = found[1]
                raise HeaderLine
            self.delimiter = _delimiter(text)
        cells = _cells(text, self.delimiter) if self.is_csv else _unquoted(text.split("\t"))
        if len(cells) < 2:
            raise BadLine("one column only, not a path and a label")
        if not self.width:
            self._take_first(cells)
        if len(cells) != self.width:  # the column of the label may contain something else
            hint = f"; put a label that holds a {self.delimiter!r} in quotes" if self.is_csv else ""
            raise BadLine(f"{len(cells)} columns, not {self.width} as in the first line{hint}")
        return cells[self.path], cells[self.label]

    def _take_first(self, cells: Sequence[str]) -> None:
        self.width = len(cells)
        lowered = [cell.strip().lower() for cell in cells]
        path, label = _column(lowered, PATH_NAMES), _column(lowered, LABEL_NAMES)
        if path is not None and label is not None:
            self.path, self.label = path, label
            raise HeaderLine
        if (path is not None or label is not None) and not any(map(_is_image_name, lowered)):
            raise ValueError(
                f"{self.source}: the first line looks like a header, but does not name both "
                "columns; known names: "
                f"{', '.join(PATH_NAMES)}, and {', '.join(LABEL_NAMES)}"
            )
        self.path, self.label = 0, 1


def from_json(text: str) -> Entry:
    """Return path and label of a line of JSONL."""
    try:
        found = load_json(text)
    except ValueError as error:
        raise BadLine(f"not JSON: {error}") from error
    return _of_object(found)


def json_entries(content: bytes) -> Iterator[Entry | BadLine]:
    """Yield what a JSON document says of each image.

    It is docTR's mapping of paths to labels, MMOCR's `data_list` of objects with `img_path` and one
    of `instances` with a `text`, or a list of such objects as JSONL has.

    Raises:
        ValueError: if it is no JSON, or none of these.
    """
    found = load_json(content.decode("utf-8-sig"), object_pairs_hook=_Pairs)
    if isinstance(found, _Pairs):
        if "data_list" not in found.mapping:
            for path, label in found:
                yield (
                    (path, label)
                    if isinstance(label, str)
                    else BadLine(f"{path}: its label is not a text")
                )
            return
        found = found.mapping["data_list"]
    if not isinstance(found, list):
        raise ValueError("it is not a mapping of paths to labels, list of objects or data_list")
    for entry in found:
        try:
            yield _of_object(entry.mapping if isinstance(entry, _Pairs) else entry)
        except BadLine as error:
            yield error


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with every pair it has, though names repeat."""

    @property
    def mapping(self) -> dict[str, Any]:
        return dict(self)


def _of_object(found: Any) -> Entry:
    if not isinstance(found, dict):
        raise BadLine("not an object with a path and a label")
    path = next((found[name] for name in PATH_NAMES if name in found), None)
    label = next((found[name] for name in LABEL_NAMES if name in found), None)
    if label is None and isinstance(instances := found.get("instances"), list):
        if len(instances) != 1:
            raise BadLine(f"{len(instances)} instances, not the one word of a word's image")
        instance = instances[0]
        label = dict(instance).get("text") if isinstance(instance, dict | _Pairs) else None
    if not isinstance(path, str) or not isinstance(label, str):
        raise BadLine(
            f"no texts under one of {', '.join(PATH_NAMES)} and one of {', '.join(LABEL_NAMES)}"
        )
    return path, label


def from_gt(text: str) -> Entry:
    """Return path and label of a line of `gt.txt`.

    They are parted by a tab, comma, semicolon or blanks, and the label may be in double quotes. A
    blank or semicolon parts them only behind a path with an image's suffix.
    """
    path, separator, label = text.partition("\t" if "\t" in text else ",")
    named = None if separator == "\t" or _is_image_name(path) else NAMED.fullmatch(text.lstrip())
    if named is not None and "," not in named[1]:
        path, separator, label = named[1], named[2], named[3]
    if not separator:
        raise BadLine("no tab, comma or blank between path and label")
    label = label.strip()
    if len(label) >= 2 and label[0] == label[-1] == '"':
        label = label[1:-1].replace('\\"', '"')
    return path, label


def is_header(path: str, label: str) -> bool:
    """Return whether these are the names of two columns."""
    return path.strip().lower() in PATH_NAMES and label.strip().lower() in LABEL_NAMES


def _column(cells: Sequence[str], names: Sequence[str]) -> int | None:
    return next((cells.index(name) for name in names if name in cells), None)


def _is_image_name(text: str) -> bool:
    return os.path.splitext(text.strip().strip('"').lower())[1] in SUFFIXES


def _delimiter(text: str) -> str:
    """Return what parts the columns of a first line: that with which it names columns, or else has
    an image's path.
    """
    split = {
        delimiter: [cell.strip().strip('"').lower() for cell in text.split(delimiter)]
        for delimiter in DELIMITERS
    }
    for delimiter, cells in split.items():
        if _column(cells, PATH_NAMES) is not None and _column(cells, LABEL_NAMES) is not None:
            return delimiter
    return next(
        (
            found
            for found, cells in split.items()
            if len(cells) > 1 and any(map(_is_image_name, cells))
        ),
        ",",
    )


def _cells(text: str, delimiter: str) -> list[str]:
    """Return the columns of one line of CSV. Line by line, so that an open quote spoils one line
    only.
    """
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], strict=True, skipinitialspace=True, delimiter=delimiter))
    except csv.Error as error:
        raise BadLine(f"not CSV: {error}") from error


def _unquoted(cells: list[str]) -> list[str]:
    """Return cells without the quotes that programs put around them, which double those within.

    A cell whose only quotes are at its ends may be a word that was photographed in quotes: they are
    taken off only if all cells have such.
    """
    quoted = [QUOTED.fullmatch(cell.strip()) for cell in cells]
    everywhere = all(quoted)
    return [
        found[1].replace('""', '"') if found and (everywhere or '""' in found[1]) else cell
        for cell, found in zip(cells, quoted, strict=True)
    ]
