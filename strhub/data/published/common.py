"""What the parsers of all formats share: their common record, and what they do about lines that
can't be used.

A parser takes a `Source` and `Notes` and returns scenes, one an image, each with its words. What it
leaves out it counts in the notes, by reason; what is damaged it lists there too. Nothing in an
annotation ends a run, unless the whole file is of no use.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar, overload

from strhub.images.crops import Polygon
from strhub.utils import json_text
from strhub.utils.regular_files import read_regular

MAX_BYTES: Final = 4 << 30  # of a file of annotations
MAX_PROBLEMS: Final = 1000  # messages that are kept
IMAGE_SUFFIXES: Final = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG", ".gif", ".bmp", ".webp")
DONT_CARE: Final = frozenset({"###", "*", "#"})  # marks of illegible texts in annotations of scenes
Item = TypeVar("Item")


class Word(NamedTuple):
    """A word of a scene."""

    label: str
    polygon: Polygon | None = None
    """Round the word, in pixels of the scene; None if the image is a word's already."""


class Scene(NamedTuple):
    """An image and its words: one job."""

    image: str
    words: tuple[Word, ...]


class LazyScenes(Sequence[Scene], Generic[Item]):
    """Scenes that are made when asked for, for sets that are too large to be held."""

    def __init__(self, items: Sequence[Item], make: Callable[[Item], Scene]) -> None:
        self._items = items
        self._make = make

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Scene: ...
    @overload
    def __getitem__(self, index: slice) -> "LazyScenes[Item]": ...
    def __getitem__(self, index: int | slice) -> "Scene | LazyScenes[Item]":
        if isinstance(index, slice):
            return LazyScenes(self._items[index], self._make)
        return self._make(self._items[index])


@dataclass(frozen=True, kw_only=True)
class Source:
    """What a user names on the command line; the fields below `images` are for the sets that have
    such a thing.
    """

    annotations: Path
    images: Path
    split: str | None = None
    languages: tuple[str, ...] = ()  # in lower case; none: all of them
    level: str = "lines"
    cropped: bool = False
    separator: str = "auto"
    labels: Path | None = None


@dataclass
class Notes:
    """What was left out: counts by reason, and the first 1000 messages on what is damaged."""

    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def problem(self, reason: str, where: str) -> None:
        """Count and list something damaged."""
        self.left_out[reason] += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{where}: {reason}")

    @contextmanager
    def guard(self, where: str) -> Iterator[None]:
        """Note what is wrong with one annotation, and go on behind the block."""
        try:
            yield
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            OSError,
            TypeError,
            ValueError,
        ) as error:
            self.left_out["damaged annotation"] += 1
            if len(self.problems) < MAX_PROBLEMS:
                self.problems.append(
                    f"{where}: damaged annotation: {type(error).__name__}: {error}"
                )

    def accepts(self, label: str, marks: frozenset[str] = DONT_CARE) -> bool:
        """Return whether a label is a text, not empty and none of the marks for "don't care"; if
        not, it is counted.
        """
        if not label:
            self.left_out["empty label"] += 1
        elif label in marks:
            self.left_out[f"don't care ({label})"] += 1
        else:
            return True
        return False

    def accepts_language(self, language: str, source: Source) -> bool:
        """Return whether the user wants words of this language or script; if not, it is counted."""
        if not source.languages or language.lower() in source.languages:
            return True
        self.left_out[f"language {language}"] += 1
        return False


def to_polygon(values: Iterable[Any]) -> Polygon:
    """Parse `x1, y1, x2, y2, ...` to points.

    Raises:
        ValueError: for an odd number of values, fewer than three points, or what is no finite
            number.
    """
    numbers = [float(value) for value in values]
    if len(numbers) % 2:
        raise ValueError(f"{len(numbers)} coordinates, an odd number")
    if len(numbers) < 6:
        raise ValueError(f"{len(numbers)} coordinates, too few for a polygon")
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("coordinates that are not numbers")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def read_lines(path: Path, notes: Notes) -> Iterator[tuple[str, str]]:
    """Yield the lines of a UTF-8 text file that are not blank, each with where it is:
    `file:number`. A BOM and CRs are dropped.

    Only a line feed ends a line: a transcription may hold the other characters that Python takes
        for line ends.
    """
    lines = read_regular(path, max_bytes=MAX_BYTES).removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, content in enumerate(lines, start=1):
        where = f"{path.name}:{number}"
        try:
            line = content.decode("utf-8").strip("\r")
        except UnicodeDecodeError:
            notes.problem("not UTF-8", where)
            continue
        if line.strip():
            yield where, line


def load_json(path: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        ValueError: if it is no JSON.
    """
    try:
        return json_text.load_json(read_regular(path, max_bytes=MAX_BYTES).decode("utf-8-sig"))
    except ValueError as error:  # undecodable text is one too
        raise ValueError(f"{path}: not a JSON file: {error}. Download it again") from error


def unquote(text: str) -> str:
    r"""Return the text without spaces around it and, if it is quoted, without the quotes: `"a
    \"b\""` is `a "b"`.
    """
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r'\\(["\\])', r"\1", text[1:-1]).strip()
    return text


def locate(folder: Path, name: str) -> str:
    """Return the image of this name in a folder; if there is none, only its base name is looked
    for, right in the folder.

    A name without an image's suffix is given that of a file that is there. If nothing fits, the
    path where the image should be is returned, and is found missing when it is to be read.
    """
    name = name.strip()
    if not name:
        raise ValueError("the image has no name")
    for candidate in (folder / name, folder / Path(name).name):
        if candidate.suffix in IMAGE_SUFFIXES and candidate.is_file():
            return str(candidate)
        for suffix in IMAGE_SUFFIXES:
            with_suffix = candidate.with_name(candidate.name + suffix)
            if with_suffix.is_file():
                return str(with_suffix)
    return str(folder / name)


def annotation_files(folder: Path, pattern: str) -> list[Path]:
    """Return the annotation files of a folder, one per image, in the order of their numbers.

    Raises:
        ValueError: if it is no folder or holds none.
    """
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: not a folder; --annotations is a folder of files {pattern} here"
        )
    files = sorted(
        folder.glob(pattern), key=lambda path: (len(path.name), path.name)
    )  # 2 before 10
    if not files:
        raise ValueError(f"{folder}: holds no files {pattern}")
    return files
