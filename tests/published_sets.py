"""One small data set, drawn, and written down in the published formats.

Two scenes hold words at known places, each on a color of its own: an upright one, a rotated one, a
curved one, and one that no one can read. A third scene is in the annotations, but its image is
missing. Each writer also adds a damaged line where the format has lines.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image, ImageDraw

from strhub.images.crops import Polygon, box_polygon, rotated_box_polygon

BOM = "\ufeff"


@dataclass(frozen=True)
class Rendered:
    label: str
    polygon: Polygon
    color: tuple[int, int, int]
    readable: bool = True

    @property
    def quadrilateral(self) -> Polygon:
        """The polygon, or its upright box where it has more points."""
        return self.polygon if len(self.polygon) == 4 else box_polygon(*self.box)

    @property
    def box(self) -> tuple[int, int, int, int]:
        x, y = zip(*self.polygon, strict=True)
        return math.floor(min(x)), math.floor(min(y)), math.ceil(max(x)), math.ceil(max(y))

    @property
    def bbox(self) -> list[int]:
        left, top, right, bottom = self.box
        return [left, top, right - left, bottom - top]

    def values(self, *, curved: bool = False) -> list[int]:
        return [
            round(value)
            for point in (self.polygon if curved else self.quadrilateral)
            for value in point
        ]


def _arc() -> Polygon:
    upper, lower = (
        [(150 - r * math.cos(a), 260 - r * math.sin(a)) for a in np.linspace(0.6, 2.5, 6)]
        for r in (90, 55)
    )
    return [*upper, *lower[::-1]]


SCENES = {
    1: [
        Rendered("Hello", box_polygon(10, 10, 110, 50), (220, 40, 40)),
        Rendered('two, "3"', rotated_box_polygon(220, 80, 110, 40, 25), (40, 160, 40)),
        Rendered("Curve", _arc(), (60, 60, 230)),
        Rendered("###", box_polygon(10, 100, 60, 130), (128, 128, 128), readable=False),
    ],
    2: [Rendered("Grüße", box_polygon(30, 20, 130, 60), (230, 120, 20))],
    3: [Rendered("lost", box_polygon(30, 20, 130, 60), (0, 0, 0))],
}
MISSING = 3
READABLE = [word for number in (1, 2) for word in SCENES[number] if word.readable]


def draw_scenes(folder: Path, name: str, suffix: str = ".png") -> None:
    """The images of the scenes that are there, by a name with `{}` for the scene's number."""
    for number in (1, 2):
        image = Image.new("RGB", (300, 300), "white")
        draw = ImageDraw.Draw(image)
        for word in SCENES[number]:
            draw.polygon(list(word.polygon), fill=word.color)
            x, y = np.mean(word.polygon, axis=0)
            draw.text((x - 8, y - 5), word.label[:4], fill="black")
        path = folder / (name.format(number) + suffix)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, quality=95)


def draw_words(folder: Path, name: str = "word_{}.png") -> list[tuple[str, str]]:
    """Images of single words, and all names with labels, the last image's missing."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, word in enumerate(READABLE, start=1):
        Image.new("RGB", (64, 24), word.color).save(folder / name.format(number))
    labels = [word.label for word in READABLE]
    return [(name.format(number), label) for number, label in enumerate([*labels, "lost"], start=1)]


@dataclass(frozen=True)
class Published:
    """A written data set, and what is expected of it."""

    annotations: Path
    images: Path
    damaged: int = 1
    """How many annotations are damaged."""
    options: tuple[str, ...] = ()


def write(path: Path, content: str, *, bom: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(((BOM if bom else "") + content).encode("utf-8"))
    return path


def quoted(label: str) -> str:
    return '"' + label.replace('"', '\\"') + '"'


def _line_files(
    root: Path,
    *,
    name: str,
    line: Callable[[Rendered], str],
    image: str,
    damaged: str,
    bom: bool = False,
) -> Published:
    """A text file a scene, with CRLF line ends and a damaged line in the first."""
    draw_scenes(root / "images", image)
    for number, words in SCENES.items():
        lines = [line(word) for word in words] + ([damaged] if number == 1 else [])
        write(root / "gt" / name.format(number), "".join(f"{line}\r\n" for line in lines), bom=bom)
    return Published(root / "gt", root / "images")


def _commas(values: Any) -> str:
    return ",".join(str(value) for value in values)


ic13 = partial(
    _line_files,
    name="gt_img_{}.txt",
    line=lambda word: f"{', '.join(map(str, word.box))}, {quoted(word.label)}",
    image="img_{}",
    damaged='1, 2, three, 4, "bad"',
)


ic13_training = partial(
    _line_files,
    name="gt_{}.txt",
    line=lambda word: f"{' '.join(map(str, word.box))} {quoted(word.label)}",
    image="{}",
    damaged='1 2 3 "bad"',
)


ic15 = partial(
    _line_files,
    name="gt_img_{}.txt",
    line=lambda word: f"{_commas(word.values())},{word.label}",
    image="img_{}",
    damaged="1,2,3,4,5,6,7,bad",
    bom=True,
)


mlt19 = partial(
    _line_files,
    name="tr_img_{:05}.txt",
    line=lambda word: f"{_commas(word.values())},Latin,{word.label}",
    image="tr_img_{:05}",
    damaged="1,2,3,4,5,6,7,Latin,bad",
)


rctw17 = partial(
    _line_files,
    name="image_{}.txt",
    line=lambda word: f"{_commas(word.values())},{int(not word.readable)},{quoted(word.label)}",
    image="image_{}",
    damaged="1,2,3",
    bom=True,
)


uber_text = partial(
    _line_files,
    name="truth_img_{}.txt",
    line=lambda word: f"{' '.join(map(str, word.values(curved=True)))}\t{word.label}\tBusinessName",
    image="img_{}",
    damaged="1 2 3 4 5 6 7\tbad\tNone",
)


def _coco_text(root: Path, outline: str, name: str, mark: str) -> Published:
    draw_scenes(root / "images", name, ".jpg")
    document: dict[str, Any] = {"imgs": {}, "anns": {}, "imgToAnns": {}}
    identity = 100
    for number, words in SCENES.items():
        file_name = f"train/{name.format(number)}.jpg"
        document["imgs"][str(number)] = {
            "id": number,
            "file_name": file_name,
            "set": "train" if number != 2 else "val",
        }
        document["imgToAnns"][str(number)] = []
        for word in words:
            identity += 1
            annotation = {
                "bbox": word.bbox,
                "utf8_string": word.label if word.readable else mark,
                "language": "english",
            }
            annotation |= {"legibility": "legible" if word.readable or mark else "illegible"}
            annotation |= {outline: word.values(curved=True)} if outline else {}
            document["anns"][str(identity)] = annotation
            document["imgToAnns"][str(number)].append(identity)
    document["anns"]["101"]["class"] = "machine printed"
    document["imgToAnns"]["1"].append(9999)  # there is no such annotation
    return Published(write(root / "labels.json", json.dumps(document)), root / "images")


def coco_text(root: Path) -> Published:
    return _coco_text(root, "", "COCO_train2014_{:012}", "")


def coco_text_2(root: Path) -> Published:
    return _coco_text(root, "mask", "COCO_train2014_{:012}", "")


def textocr(root: Path) -> Published:
    return _coco_text(root, "points", "{:016x}", ".")


def openvino(root: Path) -> Published:
    draw_scenes(root / "images", "train_1/{}", ".jpg")
    images = [{"id": number, "file_name": f"train_1/{number}.jpg"} for number in SCENES]
    annotations: list[Any] = [
        {
            "id": 10 * number + index,
            "image_id": number,
            "bbox": word.bbox,
            "segmentation": [word.values(curved=True)],
            "attributes": {
                "transcription": word.label,
                "legible": word.readable,
                "language": "english",
            },
        }
        for number, words in SCENES.items()
        for index, word in enumerate(words)
    ]
    annotations.append(
        {"id": 99, "image_id": 1, "bbox": [1, 2], "attributes": {"transcription": "bad"}}
    )
    document = {"images": images, "annotations": annotations}
    return Published(write(root / "train_1.json", json.dumps(document)), root / "images")


def art(root: Path) -> Published:
    draw_scenes(root / "images", "gt_{}", ".jpg")
    document: dict[str, Any] = {
        f"gt_{number}": [
            {
                "points": [list(point) for point in word.polygon],
                "transcription": word.label,
                "language": "Latin",
                "illegibility": not word.readable,
            }
            for word in words
        ]
        for number, words in SCENES.items()
    }
    document["gt_1"].append(
        {"points": [[1, 2], [3]], "transcription": "bad", "illegibility": False}
    )
    return Published(
        write(root / "train_labels.json", json.dumps(document), bom=True), root / "images"
    )


def rects(root: Path) -> Published:
    draw_scenes(root / "images", "train_ReCTS_{:06}", ".jpg")
    for number, words in SCENES.items():
        lines: list[Any] = [
            {"points": word.values(), "transcription": word.label, "ignore": int(not word.readable)}
            for word in words
        ]
        lines += [{"points": [1, 2, 3], "transcription": "bad", "ignore": 0}] if number == 1 else []
        write(
            root / "gt" / f"train_ReCTS_{number:06}.json",
            json.dumps({"lines": lines, "chars": lines[:1]}),
        )
    return Published(root / "gt", root / "images")


def svt(root: Path) -> Published:
    draw_scenes(root / "img", "14_{:02}", ".jpg")
    images = ""
    for number, words in SCENES.items():
        rectangles = "".join(
            '<taggedRectangle height="{3}" width="{2}" x="{0}" '
            'y="{1}"><tag>{4}</tag></taggedRectangle>'.format(*word.bbox, escape(word.label))
            for word in words
        )
        rectangles += (
            '<taggedRectangle height="3"><tag>bad</tag></taggedRectangle>' if number == 1 else ""
        )
        images += (
            f"<image><imageName>img/14_{number:02}.jpg</imageName><taggedRectangles>{rectangles}"
        )
        images += "</taggedRectangles></image>"
    document = f"<?xml version='1.0' encoding='utf-8'?><tagset>{images}</tagset>"
    return Published(write(root / "test.xml", document), root)


def ic13_words(root: Path) -> Published:
    lines = [f"{name}, {quoted(label)}" for name, label in draw_words(root / "images")]
    return Published(
        write(root / "gt.txt", "\r\n".join([*lines, "word_9.png"]), bom=True), root / "images"
    )


def mlt19_words(root: Path) -> Published:
    lines = [f"{name},Latin,{label}" for name, label in draw_words(root / "images")]
    return Published(
        write(root / "gt.txt", "\n".join([*lines, "word_9.png,Latin"])), root / "images"
    )


def coco_text_words(root: Path) -> Published:
    lines = [
        f"{name.removesuffix('.jpg')},{label}"
        for name, label in draw_words(root / "images", "{}.jpg")
    ]
    return Published(write(root / "gt.txt", "\n".join([*lines, "x,bad"])), root / "images")


def word_list(root: Path) -> Published:
    lines = [f"image/{name} {label}" for name, label in draw_words(root / "image")]
    return Published(write(root / "list.txt", "\n".join([*lines, "image/word_1.png"])), root)


def case_sensitive(root: Path) -> Published:
    for name, label in draw_words(root / "IMG", "{}.png"):
        write(root / "label" / name.replace("png", "txt"), f"{label}\n", bom=True)
    return Published(root / "label", root / "IMG", damaged=0)


def art_words(root: Path) -> Published:
    document = {
        name.removesuffix(".jpg"): [
            {"transcription": label, "language": "Latin", "illegibility": False}
        ]
        for name, label in draw_words(root / "images", "gt_{}.jpg")
    }
    document["gt_9"] = [{"language": "Latin"}]  # type: ignore[dict-item]
    path = write(root / "train_task2_labels.json", json.dumps(document))
    return Published(path, root / "images", options=("--cropped",))


def union14m(root: Path) -> Published:
    named = draw_words(root / "art_curve")
    lines = [json.dumps({"filename": f"art_curve/{name}", "text": label}) for name, label in named]
    return Published(write(root / "train_easy.jsonl", "\n".join([*lines, "{broken"])), root)


def union14m_benchmark(root: Path) -> Published:
    entries: list[Any] = [
        {"img_path": name, "instances": [{"text": label}]}
        for name, label in draw_words(root / "imgs")
    ]
    document = {"metainfo": {}, "data_list": [*entries, {"img_path": "bad.png", "instances": []}]}
    return Published(write(root / "annotation.json", json.dumps(document)), root / "imgs")
