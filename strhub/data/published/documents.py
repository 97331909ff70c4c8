"""JSON and XML: COCO-Text, TextOCR, OpenVINO's Open Images, ArT, LSVT, ReCTS, SVT and
Union14M-L.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from strhub.data.published.common import (
    DONT_CARE,
    Notes,
    Scene,
    Source,
    Word,
    annotation_files,
    load_json,
    locate,
    read_lines,
    to_polygon,
)
from strhub.images.crops import Polygon, box_polygon, from_top_left
from strhub.utils import json_text
from strhub.utils.regular_files import open_regular


def coco_text(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `COCO_Text.json` (1.4) or `cocotext.v2.json`: `imgs`, `anns`, `imgToAnns`."""

    def parse(annotation: dict[str, Any]) -> Word | None:
        if annotation.get("legibility") == "illegible":
            notes.left_out["illegible"] += 1
            return None
        if not notes.accepts_language(str(annotation.get("language", "")), source):
            return None
        outline = annotation.get("mask") or annotation.get("polygon")
        polygon = from_top_left(to_polygon(outline)) if outline else _from_bbox(annotation["bbox"])
        return _word(annotation.get("utf8_string", ""), polygon, notes)

    return _indexed_scenes(source, notes, parse)


def textocr(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `TextOCR_0.1_train.json`: as COCO-Text 2, with `points` for `mask`; `.` marks what
    cannot be read.
    """

    def parse(annotation: dict[str, Any]) -> Word | None:
        polygon = to_polygon(annotation["points"])
        return _word(annotation["utf8_string"], polygon, notes, frozenset({"."}))

    return _indexed_scenes(source, notes, parse)


def openvino(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `text_spotting_openimages_v5_*.json`, in COCO's form: `images`, `annotations`."""
    path = source.annotations
    document = _an_object(path)
    images, annotations = (_part(document, key, list, path) for key in ("images", "annotations"))
    of_image = defaultdict(list)
    for annotation in annotations:
        with notes.guard(path.name):
            of_image[annotation["image_id"]].append(annotation)
    scenes = []
    for number, entry in enumerate(images):
        with notes.guard(f"{path.name}: image {number}"):
            words = []
            for annotation in of_image[entry["id"]]:
                with notes.guard(f"{entry['file_name']}: annotation {annotation.get('id')}"):
                    words += _openvino_words(annotation, source, notes)
            if words:
                scenes.append(Scene(locate(source.images, entry["file_name"]), tuple(words)))
    return scenes


def art(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `train_labels.json`, `train_task2_labels.json` or LSVT's `train_full_labels.json`:
    `{"gt_1": [...]}`.
    """
    scenes = []
    for name, annotations in _an_object(source.annotations).items():
        words = []
        with notes.guard(name):
            for number, annotation in enumerate(annotations):
                with notes.guard(f"{name}, annotation {number}"):
                    words += _art_words(annotation, source, notes)
        if words:
            scenes.append(Scene(locate(source.images, name), tuple(words)))
    return scenes


def rects(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read a folder of `train_ReCTS_*.json` with `lines` and `chars`."""
    scenes = []
    for path in annotation_files(source.annotations, "*.json"):
        words = []
        with notes.guard(path.name):
            for number, annotation in enumerate(load_json(path)[source.level]):
                with notes.guard(f"{path.name}, {source.level} {number}"):
                    if int(annotation.get("ignore", 0)):
                        notes.left_out["ignored"] += 1
                        continue
                    word = _word(
                        annotation["transcription"],
                        to_polygon(annotation["points"]),
                        notes,
                        DONT_CARE,
                    )
                    words += [word] if word else []
        if words:
            scenes.append(Scene(locate(source.images, path.stem), tuple(words)))
    return scenes


def svt(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `train.xml` or `test.xml` with `taggedRectangle`s."""
    try:
        with open_regular(source.annotations) as file:
            images = ElementTree.parse(file).getroot().iter("image")
    except (ElementTree.ParseError, LookupError) as error:  # an encoding that nobody knows, too
        raise ValueError(
            f"{source.annotations}: not an XML file: {error}. Download it again"
        ) from error
    scenes = []
    for number, image in enumerate(images):
        name = image.findtext("imageName", default="").strip()
        words = []
        for rectangle in image.iter("taggedRectangle"):
            with notes.guard(f"{source.annotations.name}: image {number} {name}"):
                box = [float(rectangle.attrib[key]) for key in ("x", "y", "width", "height")]
                word = _word(rectangle.findtext("tag", default=""), _from_bbox(box), notes)
                words += [word] if word else []
        with notes.guard(f"{source.annotations.name}: image {number}"):
            if words:
                scenes.append(Scene(locate(source.images, name), tuple(words)))
    return scenes


def union14m(source: Source, notes: Notes) -> Sequence[Scene]:
    """Read `train_*.jsonl` with `{"filename": ..., "text": ...}` per line, or the same as `*.json`
    with a `data_list`.
    """
    scenes = []
    for where, entry in _union_entries(source.annotations, notes):
        with notes.guard(where):
            label = str(entry["text"]).strip()
            if notes.accepts(label, frozenset()):
                scenes.append(Scene(locate(source.images, entry["filename"]), (Word(label),)))
    return scenes


def _union_entries(path: Path, notes: Notes) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".json":
        for number, entry in enumerate(_part(_an_object(path), "data_list", list, path)):
            with notes.guard(f"{path.name}: {number}"):
                yield (
                    f"{path.name}: {number}",
                    {"filename": entry["img_path"], "text": entry["instances"][0]["text"]},
                )
    else:
        for where, line in read_lines(path, notes):
            with notes.guard(where):
                yield where, json_text.load_json(line)


def _indexed_scenes(source: Source, notes: Notes, parse: Any) -> Sequence[Scene]:
    """Read the form of COCO-Text: images and annotations by number, and which annotations are of
    which image.
    """
    path = source.annotations
    document = _an_object(path)
    images, annotations, index = (
        _part(document, key, dict, path) for key in ("imgs", "anns", "imgToAnns")
    )
    scenes = []
    for key, of_image in index.items():
        with notes.guard(f"image {key}"):
            entry = images[str(key)]
            if source.split and entry.get("set") != source.split:
                continue
            words = []
            for identity in of_image:
                with notes.guard(f"{entry['file_name']}: annotation {identity}"):
                    word = parse(annotations[str(identity)])
                    words += [word] if word else []
            if words:
                scenes.append(Scene(locate(source.images, entry["file_name"]), tuple(words)))
    return scenes


def _openvino_words(annotation: dict[str, Any], source: Source, notes: Notes) -> list[Word]:
    attributes = annotation["attributes"]
    if not attributes.get("legible", True):
        notes.left_out["illegible"] += 1
        return []
    if not notes.accepts_language(str(attributes.get("language", "")), source):
        return []
    outline = annotation.get("segmentation")
    polygon = to_polygon(outline[0]) if outline else _from_bbox(annotation["bbox"])
    word = _word(attributes["transcription"], polygon, notes, frozenset({"###"}))
    return [word] if word else []


def _art_words(annotation: dict[str, Any], source: Source, notes: Notes) -> list[Word]:
    if annotation.get("illegibility"):
        notes.left_out["illegible"] += 1
        return []
    if not notes.accepts_language(str(annotation.get("language", "")), source):
        return []
    polygon = (
        None
        if source.cropped
        else to_polygon(value for point in annotation["points"] for value in point)
    )
    word = _word(annotation["transcription"], polygon, notes, DONT_CARE)
    return [word] if word else []


def _word(
    text: str, polygon: Polygon | None, notes: Notes, marks: frozenset[str] = DONT_CARE
) -> Word | None:
    if not isinstance(text, str):
        raise ValueError(f"the transcription is {text!r}, no text")
    label = text.strip()
    return Word(label, polygon) if notes.accepts(label, marks) else None


def _from_bbox(values: Sequence[float]) -> Polygon:
    left, top, width, height = (float(value) for value in values)
    return box_polygon(left, top, left + width, top + height)


def _an_object(path: Path) -> dict[str, Any]:
    document = load_json(path)
    if not isinstance(document, dict):
        raise ValueError(
            f"{path}: a JSON object is needed at the top, not a {type(document).__name__}"
        )
    return document


def _part(document: dict[str, Any], key: str, kind: type, path: Path) -> Any:
    part = document.get(key)
    if not isinstance(part, kind):
        raise ValueError(
            f"{path}: has no {kind.__name__} {key!r}; is it a file of another data set?"
        )
    return part
