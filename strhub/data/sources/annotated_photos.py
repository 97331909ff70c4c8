"""Photographs with the words that are on them, from a folder in any of the forms that data sets
have.

`words.jsonl` beside the images: {"image": name, "words": [{"quad" or "polygon": [[x, y], ...],
"text": text or null}]}. Or a text file for each image, named as it with `gt_` or `poly_gt_` before,
in the same folder or in another one: ICDAR 2015 (eight coordinates, the text; ### is unreadable),
ICDAR 2013 (four, the text in quotes), Total-Text (`x: [[...]], y: [[...]], ..., transcriptions:
[...]`; # is unreadable).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image

from strhub.errors import DataError
from strhub.images.find import find_images
from strhub.images.open import open_image
from strhub.utils.json_text import load_json
from strhub.utils.regular_files import read_regular

WORDS: Final = "words.jsonl"
UNREADABLE: Final = frozenset({"#", "###"})
_MAX_BYTES: Final = 256 << 20
_PREFIXES: Final = ("gt_", "poly_gt_", "")
_NUMBERS: Final = re.compile(r"-?\d+(?:\.\d+)?")
_ARRAY: Final = re.compile(r"\b([xy]): ?\[\[([^\[\]]*)\]\]")  # in a time that grows as the text
_SPELLED: Final = re.compile(r"transcriptions: ?\[(?:u|array\()?[\[\s]*u?(['\"])(.*)\1", re.DOTALL)

Outline = tuple[tuple[float, float], ...]


class TrueWord(NamedTuple):
    """outline: a polygon around it, in pixels; text: None if it cannot be read, and so does not
    count.
    """

    outline: Outline
    text: str | None


class Annotated(NamedTuple):
    """A photograph and the words that are on it."""

    path: Path
    words: list[TrueWord]

    def open(self) -> Image.Image:
        """Return the photograph as RGB; `UnreadableImage` if it is none."""
        return open_image(self.path)


def find_annotated(folder: Path, truth: Path | None = None) -> list[Annotated]:
    """Return the photographs of a folder that have annotations, in order.

    truth: the folder of the text files, if it is another one.

    Raises:
        DataError: if there are none, or one cannot be understood; the message names file and line.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: name one with photographs and their words")
    if truth is None and (folder / WORDS).is_file():
        return list(_from_json_lines(folder / WORDS))
    found = []
    for path in find_images([str(folder)]):
        paths = [(truth or path.parent) / f"{prefix}{path.stem}.txt" for prefix in _PREFIXES]
        file = next((one for one in paths if one.is_file()), None)
        if file is not None:
            found.append(Annotated(path, parse_text(_text_of(file), str(file))))
    if not found:
        raise DataError(
            f"no photograph in {folder} has its words beside it: neither {WORDS} is there, nor "
            "gt_<name>.txt or "
            f"<name>.txt in {truth or folder}; see docs/photographs.md"
        )
    return found


def _text_of(file: Path) -> str:
    try:
        return read_regular(file, max_bytes=_MAX_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
        raise DataError(f"{file} cannot be read: {error}") from error


def _from_json_lines(file: Path) -> Iterator[Annotated]:
    for number, line in enumerate(_text_of(file).splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = load_json(line)
            words = [
                TrueWord(_outline(word.get("polygon") or word["quad"]), word["text"])
                for word in row["words"]
            ]
            if not all(word.text is None or isinstance(word.text, str) for word in words):
                raise TypeError("a text is neither a string nor null")
            yield Annotated(file.parent / row["image"], words)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{file}, line {number} is not as docs/photographs.md has it: {error!r}"
            ) from error


def _outline(points: Any) -> Outline:
    """Return points as an outline; `ValueError` if they are too few, or no pixels."""
    try:
        outline = tuple((float(x), float(y)) for x, y in points)
    except OverflowError:  # of a whole number
        outline = ()
    if len(outline) < 3 or not all(abs(value) < 1e6 for point in outline for value in point):
        raise ValueError("an outline is at least three points (x, y) in pixels")
    return outline


def _outline_or_error(points: Any, where: str) -> Outline:
    try:
        return _outline(points)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def parse_text(content: str, name: str) -> list[TrueWord]:
    """Return the words of a text file with a word a line, in the form of ICDAR 2013, 2015 or
    Total-Text.

    name: of the file, for messages.
    """
    if "x: [[" in content or "x:[[" in content:
        parts = re.split(r"^(?=x: ?\[\[)", content, flags=re.MULTILINE)
        return [_total_text(part, name) for part in parts if part.strip()]
    lines = enumerate(content.splitlines(), 1)
    return [_icdar(line, f"{name}, line {number}") for number, line in lines if line.strip()]


def _total_text(entry: str, name: str) -> TrueWord:
    arrays = {
        axis: [float(number) for number in _NUMBERS.findall(values)]
        for axis, values in _ARRAY.findall(entry)
    }
    spelled = _SPELLED.search(entry)
    if len(arrays) != 2 or len(arrays["x"]) != len(arrays["y"]) or len(arrays["x"]) < 3:
        raise DataError(f"{name}: an entry has no x and y of one length: {entry[:80]!r}")
    text = spelled[2] if spelled else ""
    outline = _outline_or_error(zip(arrays["x"], arrays["y"], strict=True), name)
    return TrueWord(outline, None if text in {"", *UNREADABLE} else text)


def _icdar(line: str, where: str) -> TrueWord:
    quoted = re.match(r"\s*(-?\d+)[,\s]+(-?\d+)[,\s]+(-?\d+)[,\s]+(-?\d+)[,\s]+\"(.*)\"\s*$", line)
    if quoted:
        left, top, right, bottom = (float(number) for number in quoted.groups()[:4])
        box = ((left, top), (right, top), (right, bottom), (left, bottom))
        return TrueWord(
            _outline_or_error(box, where), None if quoted[5] in UNREADABLE else quoted[5]
        )
    parts = line.strip("\ufeff\r\n").split(",", 8)
    try:
        numbers = [float(part) for part in parts[:8]]
    except ValueError:
        numbers = []
    if len(parts) < 9:
        raise DataError(
            f"{where}: neither eight coordinates and a text, nor four and a text in quotes: "
            f"{line[:80]!r}"
        )
    if len(numbers) < 8:
        raise DataError(f"{where}: the first eight values are coordinates: {line[:80]!r}")
    text = parts[8]
    outline = _outline_or_error(zip(numbers[::2], numbers[1::2], strict=True), where)
    return TrueWord(outline, None if text in UNREADABLE else text)
