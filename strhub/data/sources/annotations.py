"""Which image shows which word, read from the files that people keep this in.

In: a CSV, TSV, JSONL, JSON or `gt.txt` file, or a folder of images with a text file each or named
    by their labels.
Out: `Annotation`s, one an image; what could not be understood is counted and listed with its file
    and line.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from strhub.data.sources.annotation_files import (
    ANNOTATION_NAMES,
    FORMATS,
    MAX_TEXT_FILE,
    NAME_RULES,
    choose,
    find_annotation_file,
    images_below,
)
from strhub.data.sources.annotation_lines import (
    MAX_LINE,
    BadLine,
    HeaderLine,
    Table,
    from_gt,
    from_json,
    is_header,
    json_entries,
    lines_of,
)
from strhub.errors import DataError
from strhub.utils.regular_files import MAX_LIST_BYTES, open_regular, read_regular, read_regular_text

__all__ = [
    "ANNOTATION_NAMES",
    "FORMATS",
    "NAME_RULES",
    "Annotation",
    "Annotations",
    "find_annotation_file",
]

MAX_PROBLEMS: Final = 1000


class Annotation(NamedTuple):
    """One image: its path, relative to `Annotations.images` or absolute, its label, and the line
    that says so.
    """

    image: str
    label: str  # without outer white space; it may be empty
    line: int  # counted from 1; 0 where there is no line


class Annotations:
    """The annotations of a file or folder. Each iteration reads it anew.

    Args:
        source: the annotation file, or a folder.
        form: one of `FORMATS`; None to go by the file's name or by what is in the folder.
            csv: two columns, path and label, found by a header or the first two, parted by commas
            or whatever the first line has. Quotes as usual in CSV. tsv: the same with tabs; a label
            may hold quotes of its own.
            jsonl: an object a line. json: docTR's mapping of paths to labels, or MMOCR's data_list.
            gt: a path, a tab, comma, semicolon or blanks, and the label, perhaps in double quotes.
            txt: beside each image a text file of the same name, with its label. names: the label is
                part of the image's name.
        images: the folder that paths are relative to; None for the folder of the annotation file,
            or, for json, its `images` folder if that has the first of them. Names are found in
            either of Unicode's forms.
        name_rule: for names, one of `NAME_RULES`: suffix (word_0001.png or word.png), prefix
            (0001_word.png) or middle (12_word_345.png).

    Attributes:
        skipped: how many lines or images gave no annotation, by reason. problems: the first 1000 of
            those, each with its file and line. Both are of the latest iteration.

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
            raise ValueError(
                f"unknown rule {name_rule!r} for names; known: {', '.join(NAME_RULES)}"
            )
        self.source, self.form = choose(Path(source), form)
        self.images = (
            Path(images)
            if images is not None
            else self.source.parent
            if self._is_file
            else self.source
        )
        if not self.images.is_dir():
            raise ValueError(f"{self.images}: there is no such folder of images")
        if self.form == "json" and images is None:
            self.images = self._folder_of_json()
        self.name_rule = name_rule
        self.skipped: Counter[str] = Counter()
        self.problems: list[str] = []

    @property
    def _is_file(self) -> bool:
        return self.form not in ("txt", "names")

    def __iter__(self) -> Iterator[Annotation]:
        self.skipped, self.problems = Counter(), []
        if self.form == "json":
            return self._of_json()
        return self._of_lines() if self._is_file else self._of_images()

    def where(self, annotation: Annotation) -> str:
        """Return the image, and the line that names it if there is one, for messages."""
        return (
            f"{self.source}:{annotation.line}: {annotation.image}"
            if annotation.line
            else str(self.path(annotation))
        )

    def path(self, annotation: Annotation) -> Path:
        """Return the image's file."""
        path = self.images / annotation.image
        return path if annotation.image.isascii() else _as_stored(path)

    def skip(self, reason: str, problem: str) -> None:
        """Count something that can't be used, and list it."""
        self.skipped[reason] += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(problem)

    def _of_lines(self) -> Iterator[Annotation]:
        parse = {"jsonl": from_json, "gt": from_gt}.get(self.form) or Table(self.source, self.form)
        with open_regular(self.source) as file:
            for number, content in enumerate(lines_of(file), 1):
                if number == 1:
                    content = _without_mark(content, self.source)
                if not content.strip():
                    continue
                try:
                    if len(content) > MAX_LINE:
                        raise BadLine(f"the line is over {MAX_LINE >> 20} MiB long")
                    image, label = parse(content.decode("utf-8"))
                    if not image.strip():
                        raise BadLine("it names no image")
                    if number == 1 and is_header(image, label):
                        raise HeaderLine
                except HeaderLine:
                    pass
                except UnicodeDecodeError:
                    self.skip("not UTF-8", f"{self.source}:{number}: the line is not UTF-8")
                except BadLine as error:
                    self.skip("bad line", f"{self.source}:{number}: {error}")
                else:
                    yield _annotation(image, label, number)

    def _of_json(self) -> Iterator[Annotation]:
        for number, entry in enumerate(self._json_entries(), 1):
            if isinstance(entry, BadLine):
                self.skip("bad entry", f"{self.source}: entry {number}: {entry}")
            elif not entry[0].strip():
                self.skip("bad entry", f"{self.source}: entry {number}: it names no image")
            else:
                yield _annotation(*entry, 0)

    def _json_entries(self) -> Iterator[tuple[str, str] | BadLine]:
        try:
            yield from json_entries(read_regular(self.source, max_bytes=MAX_LIST_BYTES))
        except ValueError as error:
            raise DataError(f"{self.source} is not a JSON file of labels: {error}") from error

    def _folder_of_json(self) -> Path:
        """Return where the images are: beside the file, or in `images` as docTR has them."""
        inner = self.images / "images"
        if inner.is_dir():
            for annotation in self:
                return inner if (inner / annotation.image).exists() else self.images
        return self.images

    def _of_images(self) -> Iterator[Annotation]:
        for image in images_below(self.images):
            try:
                label = (
                    self._from_name(image) if self.form == "names" else self._from_text_file(image)
                )
            except BadLine as error:
                self.skip("no label", f"{self.images / image}: {error}")
            else:
                yield Annotation(image, label, 0)

    def _from_name(self, image: str) -> str:
        if found := NAME_RULES[self.name_rule].fullmatch(Path(image).stem):
            return found[1].strip()
        raise BadLine(f"the name does not follow the rule {self.name_rule!r}")

    def _from_text_file(self, image: str) -> str:
        path = (self.source / image).with_suffix(".txt")
        try:
            label = read_regular_text(path, max_bytes=MAX_TEXT_FILE).strip()
        except OSError as error:
            raise BadLine(f"{path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadLine(f"{path} is not UTF-8") from error
        if "\n" in label or "\r" in label:
            raise BadLine(f"{path} has more than one line")
        return label


def _without_mark(content: bytes, source: Path) -> bytes:
    """Return the first line without the mark that some editors put before UTF-8."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{source} is UTF-16: save it as UTF-8")
    return content.removeprefix(b"\xef\xbb\xbf")


def _annotation(image: str, label: str, line: int) -> Annotation:
    return Annotation(image.strip().replace("\\", "/"), label.strip(), line)


def _as_stored(path: Path) -> Path:
    """Return a path with each part in the Unicode form that the disk has: macOS takes letters and
    accents apart.
    """
    if path.exists():
        return path
    found = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        forms = (part, *(unicodedata.normalize(form, part) for form in ("NFC", "NFD")))
        found = next((found / form for form in forms if (found / form).exists()), found / part)
    return found
