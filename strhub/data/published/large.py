"""MATLAB files, label files, and the rendered sets, MJSynth and SynthText, whose scenes are made
when asked for.
"""

import csv
from collections.abc import Sequence
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from strhub.data.published.common import (
    LazyScenes,
    Notes,
    Scene,
    Source,
    Word,
    locate,
    read_lines,
    to_polygon,
)
from strhub.data.published.matlab_file import load_matlab
from strhub.utils.regular_files import open_regular


def mjsynth(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `annotation_train.txt` with `./2425/1/115_Lube_45484.jpg 45484` per line; the label is
    within the name.
    """
    names = []
    for where, line in read_lines(source.annotations, notes):
        name = line.split()[0]
        if Path(name).name.count("_") < 2:
            notes.problem("no label in the name", where)
        else:
            names.append(name)

    def scene(name: str) -> Scene:
        return Scene(
            str(source.images / name), (Word(Path(name).name.split("_", 1)[1].rpartition("_")[0]),)
        )

    return LazyScenes(names, scene)


def synthtext(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `gt.mat` with `imnames`, `wordBB` (2 x 4 x words) and `txt`, whose words are separated
    by white space.
    """
    content = load_matlab(source.annotations)
    names, boxes, texts = (
        _field(content, key, source.annotations) for key in ("imnames", "wordBB", "txt")
    )

    def scene(number: int) -> Scene:
        corners = np.asarray(boxes[number], dtype=np.float64).reshape(
            2, 4, -1
        )  # x and y; corners; words
        words = list(chain.from_iterable(str(text).split() for text in np.ravel(texts[number])))
        if len(words) != corners.shape[2]:
            raise ValueError(f"{len(words)} words and {corners.shape[2]} boxes")
        polygons = (to_polygon(corners[:, :, index].T.ravel()) for index in range(len(words)))
        return Scene(str(source.images / _text(names[number])), tuple(map(Word, words, polygons)))

    whole = []
    for number in range(len(names)):
        with notes.guard(f"{source.annotations.name}, image {number}"):
            scene(number)
            whole.append(number)
    return LazyScenes(whole, scene)


def iiit5k(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `traindata.mat` or `testdata.mat`: structures with `ImgName` and `GroundTruth`."""
    content = load_matlab(source.annotations)
    entries = _field(content, source.annotations.stem, source.annotations)
    other_labels = _labels_by_name(source.labels) if source.labels else {}
    scenes = []
    for number, entry in enumerate(entries):
        with notes.guard(f"{source.annotations.name}, word {number}"):
            name, label = _text(entry["ImgName"]), _text(entry["GroundTruth"])
            if source.labels and Path(name).name not in other_labels:
                raise ValueError(f"{name} is not in {source.labels.name}")
            label = other_labels.get(Path(name).name, label).strip()
            if notes.accepts(label, frozenset()):
                scenes.append(Scene(locate(source.images, name), (Word(label),)))
    return scenes


def label_files(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read a folder of `1.txt`, `2.txt`, ... with a label each, for images `1.jpg` or `1.png`,
    ...
    """
    if not source.annotations.is_dir():
        raise ValueError(
            f"{source.annotations}: not a folder; --annotations is the folder `label` here"
        )
    scenes = []
    for path in sorted(
        source.annotations.glob("*.txt"), key=lambda path: (len(path.name), path.name)
    ):
        label = next((line.strip() for _, line in read_lines(path, notes)), "")
        if notes.accepts(label, frozenset()):
            scenes.append(Scene(locate(source.images, path.stem), (Word(label),)))
    return scenes


def _field(content: dict[str, Any], key: str, path: Path) -> Any:
    if key not in content:
        raise ValueError(
            f"{path}: has no variable {key!r}, but "
            f"{sorted(name for name in content if name[0] != '_')}"
        )
    return np.ravel(content[key])


def _text(value: Any) -> str:
    """Return a text that may lie in arrays of one element."""
    return str(np.asarray(value).ravel()[0]).strip()


def _labels_by_name(path: Path) -> dict[str, str]:
    """Read lines of `name,label`, and return the labels by the image's name."""
    with TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
        return {
            Path(row[0].strip()).name: row[1]
            for row in csv.reader(file, skipinitialspace=True)
            if len(row) > 1
        }
