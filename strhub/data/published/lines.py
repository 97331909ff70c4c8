"""Text files with a word a line: ICDAR 2013 and 2015, MLT 2019, RCTW-17 and Uber-Text.

Scenes have a text file an image, with coordinates before each transcription. Lists of cropped words
name an image a line, with its label.
"""

import re
from collections.abc import Callable, Sequence

from strhub.data.published.common import (
    Notes,
    Scene,
    Source,
    Word,
    annotation_files,
    locate,
    read_lines,
    to_polygon,
    unquote,
)
from strhub.images.crops import box_polygon, from_top_left

PREFIXES = ("gt_", "truth_")


def icdar13(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `gt.txt` with `word_1.png, "label"`, or a folder of `gt_*.txt` with `left, top, right,
    bottom, "label"`.
    """

    def parse(line: str) -> Word:
        *box, text = re.split(
            r"[,\s]+", line.strip(), maxsplit=4
        )  # the training files have blanks for commas
        return Word(unquote(text), box_polygon(*(float(value) for value in _exactly(box, 4))))

    if source.annotations.is_dir():
        return _scenes(source, notes, parse)
    return named_words(source, notes)


def icdar15(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `gt.txt` with `word_1.png, "label"`, or a folder of `gt_*.txt` with
    `x1,y1,...,y4,label`.
    """

    def parse(line: str) -> Word:
        *values, text = line.split(",", 8)
        return Word(unquote(text), to_polygon(_exactly(values, 8)))

    if source.annotations.is_dir():
        return _scenes(source, notes, parse)
    return named_words(source, notes)


def mlt19(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `gt.txt` with `word_1.png,Latin,label`, or a folder of `*.txt` with
    `x1,y1,...,y4,Latin,label`.
    """

    def parse(line: str) -> Word | None:
        *values, script, text = line.split(",", 9)
        polygon = to_polygon(_exactly(values, 8))
        return (
            Word(text.strip(), polygon) if notes.accepts_language(script.strip(), source) else None
        )

    if source.annotations.is_dir():
        return _scenes(source, notes, parse)
    scenes = []
    for where, line in read_lines(source.annotations, notes):
        with notes.guard(where):
            name, script, text = line.split(",", 2)
            if notes.accepts_language(script.strip(), source) and notes.accepts(text.strip()):
                scenes.append(Scene(locate(source.images, name), (Word(text.strip()),)))
    return scenes


def rctw17(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read a folder of `image_*.txt` with `x1,y1,...,y4,difficult,"label"`."""

    def parse(line: str) -> Word | None:
        *values, difficult, text = line.split(",", 9)
        polygon = to_polygon(_exactly(values, 8))
        if int(difficult):
            notes.left_out["difficult"] += 1
            return None
        return Word(unquote(text), polygon)

    return _scenes(source, notes, parse)


def uber_text(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read a folder of `truth_img_*.txt` with `x1 y1 x2 y2 ...<tab>label<tab>type`."""

    def parse(line: str) -> Word:
        values, text, *_ = line.split("\t")
        return Word(text.strip(), from_top_left(to_polygon(re.split(r"[,\s]+", values.strip()))))

    return _scenes(source, notes, parse)


def named_words(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read a list of cropped words, `name, label` per line. A name with spaces in it needs the
    separator given.
    """
    between = {"tab": "\t", "comma": ",", "space": " ", "auto": "\t, "}[source.separator]
    scenes = []
    for where, line in read_lines(source.annotations, notes):
        with notes.guard(where):
            name, text = re.split(f"[{between}]", line.strip(), maxsplit=1)
            if notes.accepts(unquote(text), frozenset({"###"})):
                scenes.append(Scene(locate(source.images, unquote(name)), (Word(unquote(text)),)))
    return scenes


def coco_text_words(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `train_words_gt.txt` with `number,label`; the images are `number.jpg`."""
    scenes = []
    for where, line in read_lines(source.annotations, notes):
        with notes.guard(where):
            number, text = line.split(",", 1)
            if notes.accepts(unquote(text), frozenset({"###"})):
                scenes.append(
                    Scene(locate(source.images, f"{int(number)}.jpg"), (Word(unquote(text)),))
                )
    return scenes


def _scenes(source: Source, notes: Notes, parse: Callable[[str], Word | None]) -> Sequence[Scene]:
    """Read a folder with a text file per image, of the image's name, often with a prefix."""
    scenes = []
    for path in annotation_files(source.annotations, "*.txt"):
        prefix = next((prefix for prefix in PREFIXES if path.name.startswith(prefix)), "")
        words = []
        for where, line in read_lines(path, notes):
            with notes.guard(where):
                word = parse(line)
                if word and notes.accepts(word.label):
                    words.append(word)
        if words:
            scenes.append(
                Scene(locate(source.images, path.stem.removeprefix(prefix)), tuple(words))
            )
    return scenes


def _exactly(values: list[str], count: int) -> list[str]:
    if len(values) != count:
        raise ValueError(f"{len(values)} values before the label, where there should be {count}")
    return values
