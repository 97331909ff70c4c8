"""Which file of a folder annotates its images, and which images there are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from strhub.images.find import SUFFIXES

FORMATS: Final = ("csv", "tsv", "jsonl", "json", "gt", "txt", "names")

ANNOTATION_NAMES: Final = ("labels.csv", "labels.tsv", "labels.jsonl", "gt.txt")

OTHER_NAMES: Final = ("labels.json", "labels.txt")  # where there is none of those

FORMAT_OF_SUFFIX: Final = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".json": "json",
    ".txt": "gt",
}

NAME_RULES: Final = {
    "suffix": re.compile(r"(.*?)(?:_\d+)?"),  # word_0001, or the word alone
    "prefix": re.compile(r"\d+_(.*)"),  # 0001_word
    "middle": re.compile(r"\d+_(.*)_\d+"),  # 12_word_345
}

MAX_TEXT_FILE: Final = 1 << 20  # bytes of a file with one label


def find_annotation_file(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the annotation file among the names in a folder, if there is one; `ValueError` if
    there are several.
    """
    found = [name for name in ANNOTATION_NAMES if name in names]
    if len(found) > 1:
        raise ValueError(
            f"{folder} has {' and '.join(found)}: keep one of them, or name the one to read"
        )
    found += [name for name in OTHER_NAMES if name in names]
    return folder / found[0] if found else None


def choose(source: Path, form: str | None) -> tuple[Path, str]:
    """Return the file or folder to read, and its format."""
    if source.is_file():
        if form in ("txt", "names"):
            raise ValueError(f"{source} is a file: the format {form} is for a folder of images")
        if form is None and source.suffix.lower() not in FORMAT_OF_SUFFIX:
            raise ValueError(f"{source}: name its format, one of csv, tsv, jsonl, json and gt")
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
        file, tables = (
            None,
            [name for name in names if FORMAT_OF_SUFFIX.get(Path(name).suffix.lower()) == form],
        )
        tables = [name for name in tables if name in ANNOTATION_NAMES] or tables
    if file is None and len(tables) > 1:
        raise ValueError(
            f"{source} has {len(tables)} files of annotations: name the one to read, such as "
            f"{tables[0]}"
        )
    if file is None and tables:
        file = source / tables[0]
    if file is not None:
        return file, form or FORMAT_OF_SUFFIX[file.suffix.lower()]
    if form is None and any(
        (source / name).with_suffix(".txt").is_file() for name in images_below(source)
    ):
        return source, "txt"
    raise ValueError(
        f"{source} has no annotations: looked for {', '.join((*ANNOTATION_NAMES, *OTHER_NAMES))}, "
        "another file in "
        "one of these formats and a text file beside each image. If the images are named by their "
        "labels, say so: "
        "--format names"
    )


def images_below(folder: Path) -> Iterator[str]:
    """Yield paths of images, relative to the folder, sorted; hidden ones, as some systems make
    beside others, left out.
    """
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        relative = os.path.relpath(parent, folder)
        for name in sorted(names):
            if os.path.splitext(name)[1].lower() in SUFFIXES and not name.startswith("."):
                yield name if relative == "." else os.path.join(relative, name)
