"""Which picture shows which word, read from the files that people keep this in.

In: a CSV, TSV, JSONL or `gt.txt` file, or a folder of pictures with a text file each or named by their labels. Out:
`Annotation`s, one a picture; what could not be understood is counted and listed with its file and line.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from strhub.errors import DataError
from strhub.images.open import SUFFIXES

__all__ = ["ANNOTATION_NAMES", "FORMATS", "NAME_RULES", "Annotation", "Annotations", "find_annotation_file"]

FORMATS: Final = ("csv", "tsv", "jsonl", "gt", "txt", "names")
ANNOTATION_NAMES: Final = ("labels.csv", "labels.tsv", "labels.jsonl", "gt.txt")
FORMAT_OF_SUFFIX: Final = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".txt": "gt"}
PATH_NAMES: Final = ("filename", "file_name", "image", "image_path", "path", "file")
LABEL_NAMES: Final = ("label", "text", "words", "word", "transcription")
NAME_RULES: Final = {
    "suffix": re.compile(r"(.*?)(?:_\d+)?"),  # word_0001, or the word alone
    "prefix": re.compile(r"\d+_(.*)"),  # 0001_word
    "middle": re.compile(r"\d+_(.*)_\d+"),  # 12_word_345
}
MAX_PROBLEMS: Final = 1000


class Annotation(NamedTuple):
    """One picture: its path, relative to `Annotations.images` or absolute, its label, and the line that says so."""

    picture: str
    label: str  # without outer white space; it may be empty
    line: int  # counted from 1; 0 where there is no line


class BadLine(DataError):
    """A line that says nothing of use; the message says why."""


class HeaderLine(BadLine):
    """The line that names the columns."""


class Annotations:
    """The annotations of a file or folder. Each iteration reads it anew.

    Args:
        source: the annotation file, or a folder.
        form: one of `FORMATS`; None to go by the file's name or by what is in the folder.
            csv: two columns, path and label, found by a header or the first two. Quotes as usual in CSV.
            tsv: the same with tabs and without quotes. jsonl: an object a line. gt: a path, a tab or comma, and the
            label, perhaps in double quotes. txt: beside each picture a text file of the same name, with its label.
            names: the label is part of the picture's name.
        images: the folder that paths are relative to; None for the folder of the annotation file.
        name_rule: for names, one of `NAME_RULES`: suffix (word_0001.png or word.png), prefix (0001_word.png) or
            middle (12_word_345.png).

    Attributes:
        skipped: how many lines or pictures gave no annotation, by reason. problems: the first 1000 of those, each
            with its file and line. Both are of the latest iteration.

    Raises:
        ValueError: if there is no such file or folder, or the format can't be told.
    """

    def __init__(
        self,
        source: str | Path,
        *,
        form: str | None = None,
        images: str | Path | None = None,
        name_rule: str = "suffix",
    ) -> None:
        if form not in (None, *FORMATS):
            raise ValueError(f"unknown format {form!r} of annotations; known: {', '.join(FORMATS)}")
        if name_rule not in NAME_RULES:
            raise ValueError(f"unknown rule {name_rule!r} for names; known: {', '.join(NAME_RULES)}")
        self.source, self.form = _choose(Path(source), form)
        self.images = Path(images) if images is not None else self.source.parent if self._is_file else self.source
        if not self.images.is_dir():
            raise ValueError(f"{self.images}: there is no such folder of pictures")
        self.name_rule = name_rule
        self.skipped: Counter[str] = Counter()
        self.problems: list[str] = []

    @property
    def _is_file(self) -> bool:
        return self.form not in ("txt", "names")

    def __iter__(self) -> Iterator[Annotation]:
        self.skipped, self.problems = Counter(), []
        return self._of_lines() if self._is_file else self._of_pictures()

    def where(self, annotation: Annotation) -> str:
        """The picture, and the line that names it if there is one, for messages."""
        return (
            f"{self.source}:{annotation.line}: {annotation.picture}" if annotation.line else str(self.path(annotation))
        )

    def path(self, annotation: Annotation) -> Path:
        """The picture's file."""
        return self.images / annotation.picture

    def skip(self, reason: str, problem: str) -> None:
        """Count something that can't be used, and list it."""
        self.skipped[reason] += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def _of_lines(self) -> Iterator[Annotation]:
        parse = {"jsonl": _from_json, "gt": _from_gt}.get(self.form) or _Table(self.source, self.form)
        with self.source.open("rb") as file:
            for number, content in enumerate(file, 1):
                if number == 1:
                    content = _without_mark(content, self.source)
                if not (content := content.rstrip(b"\r\n")).strip():
                    continue
                try:
                    picture, label = parse(content.decode("utf-8"))
                    if not picture.strip():
                        raise BadLine("it names no picture")
                except HeaderLine:
                    pass
                except UnicodeDecodeError:
                    self.skip("not UTF-8", f"{self.source}:{number}: the line is not UTF-8")
                except BadLine as error:
                    self.skip("bad line", f"{self.source}:{number}: {error}")
                else:
                    yield Annotation(picture.strip().replace("\\", "/"), label.strip(), number)

    def _of_pictures(self) -> Iterator[Annotation]:
        for picture in _pictures_below(self.images):
            try:
                label = self._from_name(picture) if self.form == "names" else self._from_text_file(picture)
            except BadLine as error:
                self.skip("no label", f"{self.images / picture}: {error}")
            else:
                yield Annotation(picture, label, 0)

    def _from_name(self, picture: str) -> str:
        if found := NAME_RULES[self.name_rule].fullmatch(Path(picture).stem):
            return found[1].strip()
        raise BadLine(f"the name does not follow the rule {self.name_rule!r}")

    def _from_text_file(self, picture: str) -> str:
        path = (self.source / picture).with_suffix(".txt")
        try:
            label = path.read_bytes().decode("utf-8-sig").strip()
        except OSError as error:
            raise BadLine(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadLine(f"{path} is not UTF-8") from error
        if "\n" in label or "\r" in label:
            raise BadLine(f"{path} has more than one line")
        return label


class _Table:
    """Lines of CSV or TSV to path and label. The first line says which columns these are, and how many there are."""

    def __init__(self, source: Path, form: str) -> None:
        self.source, self.form = source, form
        self.width = self.path = self.label = 0  # columns; a width of 0 means that no line was seen yet

    def __call__(self, text: str) -> tuple[str, str]:
        cells = _cells(text) if self.form == "csv" else text.split("\t")
        if len(cells) < 2:
            raise BadLine("one column only, not a path and a label")
        if not self.width:
            self._take_first(cells)
        if len(cells) != self.width:  # something else may be where the label is thought to be
            hint = "; put a label that holds a comma in quotes" if self.form == "csv" else ""
            raise BadLine(f"{len(cells)} columns, not {self.width} as in the first line{hint}")
        return cells[self.path], cells[self.label]

    def _take_first(self, cells: Sequence[str]) -> None:
        self.width = len(cells)
        lowered = [cell.strip().lower() for cell in cells]
        path = next((lowered.index(name) for name in PATH_NAMES if name in lowered), None)
        label = next((lowered.index(name) for name in LABEL_NAMES if name in lowered), None)
        if path is not None and label is not None:
            self.path, self.label = path, label
            raise HeaderLine
        is_data = any(os.path.splitext(cell)[1] in SUFFIXES for cell in lowered)
        if (path is not None or label is not None) and not is_data:
            raise ValueError(
                f"{self.source}: the first line looks like a header, but does not name both columns; known names: "
                f"{', '.join(PATH_NAMES)}, and {', '.join(LABEL_NAMES)}"
            )
        self.path, self.label = 0, 1


def find_annotation_file(folder: Path, names: Sequence[str]) -> Path | None:
    """The annotation file among the names in a folder, if there is one; `ValueError` if there are several."""
    found = [name for name in ANNOTATION_NAMES if name in names]
    if len(found) > 1:
        raise ValueError(f"{folder} has {' and '.join(found)}: keep one of them, or name the one to read")
    return folder / found[0] if found else None


def _choose(source: Path, form: str | None) -> tuple[Path, str]:
    """The file or folder to read, and its format."""
    if source.is_file():
        if form in ("txt", "names"):
            raise ValueError(f"{source} is a file: the format {form} is for a folder of pictures")
        if form is None and source.suffix.lower() not in FORMAT_OF_SUFFIX:
            raise ValueError(f"{source}: name its format, one of csv, tsv, jsonl and gt")
        return source, form or FORMAT_OF_SUFFIX[source.suffix.lower()]
    if not source.is_dir():
        raise ValueError(f"{source}: there is no such file or folder")
    if form in ("txt", "names"):
        return source, form
    names = sorted(item.name for item in source.iterdir() if not item.name.startswith("."))
    if form is None:
        file = find_annotation_file(source, names)
        tables = [name for name in names if Path(name).suffix.lower() in (".csv", ".tsv", ".jsonl")]
    else:
        file, tables = None, [name for name in names if FORMAT_OF_SUFFIX.get(Path(name).suffix.lower()) == form]
        tables = [name for name in tables if name in ANNOTATION_NAMES] or tables
    if file is None and len(tables) > 1:
        raise ValueError(f"{source} has {len(tables)} files of annotations: name the one to read, such as {tables[0]}")
    if file is None and tables:
        file = source / tables[0]
    if file is not None:
        return file, form or FORMAT_OF_SUFFIX[file.suffix.lower()]
    if form is None and any((source / name).with_suffix(".txt").is_file() for name in _pictures_below(source)):
        return source, "txt"
    raise ValueError(
        f"{source} has no annotations: looked for {', '.join(ANNOTATION_NAMES)}, another file in one of these formats "
        "and a text file beside each picture. If the pictures are named by their labels, say so: --format names"
    )


def _pictures_below(folder: Path) -> Iterator[str]:
    """Paths of pictures, relative to the folder, sorted; hidden ones, as some systems make beside others, left out."""
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        relative = os.path.relpath(parent, folder)
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                yield name if relative == "." else os.path.join(relative, name)


def _without_mark(content: bytes, source: Path) -> bytes:
    """The first line without the mark that some editors put before UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{source} is UTF-16: save it as UTF-8")
    return content.removeprefix(b"\xef\xbb\xbf")


def _cells(text: str) -> list[str]:
    """The columns of one line of CSV. Line by line, so that a quote that is never closed spoils one line only."""
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True, skipinitialspace=True))
    except csv.Error as error:
        raise BadLine(f"not CSV: {error}") from error


def _from_json(text: str) -> tuple[str, str]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadLine(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadLine("not an object with a path and a label")
    path = next((found[name] for name in PATH_NAMES if name in found), None)
    label = next((found[name] for name in LABEL_NAMES if name in found), None)
    if not isinstance(path, str) or not isinstance(label, str):
        raise BadLine(f"no texts under one of {', '.join(PATH_NAMES)} and one of {', '.join(LABEL_NAMES)}")
    return path, label


def _from_gt(text: str) -> tuple[str, str]:
    path, separator, label = text.partition("\t" if "\t" in text else ",")
    if not separator:
        raise BadLine("no tab or comma between path and label")
    label = label.strip()
    if len(label) >= 2 and label[0] == label[-1] == '"':
        label = label[1:-1].replace('\\"', '"')
    return path, label
