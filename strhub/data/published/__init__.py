"""Published annotation formats: a parser each, and the table that the command line is made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from strhub.data.published import documents, large, lines
from strhub.data.published.common import Notes, Scene, Source

__all__ = ["CONVERTERS", "Converter", "Notes", "Scene", "Source"]


@dataclass(frozen=True)
class Converter:
    """One data set in one published form."""

    name: str
    help: str
    annotations: str
    """What `--annotations` is."""
    images: str
    """What `--images` is."""
    parse: Callable[[Source, Notes], Sequence[Scene]]
    options: tuple[str, ...] = ()
    """Which of --split, --language, --level, --cropped, --separator and --labels it takes."""


_TABLE = (
    Converter(
        "ic13",
        "ICDAR 2013, focused scene text",
        'gt.txt of `word_1.png, "label"`, or a folder of gt_*.txt with `left, top, right, bottom, '
        '"label"`',
        "folder of the words' images, or of the scenes",
        lines.icdar13,
        ("separator",),
    ),
    Converter(
        "ic15",
        "ICDAR 2015, incidental scene text",
        'gt.txt of `word_1.png, "label"`, or a folder of gt_img_*.txt with `x1,y1,...,y4,label`',
        "folder of the words' images, or of the scenes",
        lines.icdar15,
        ("separator",),
    ),
    Converter(
        "iiit5k",
        "IIIT 5K-word",
        "traindata.mat or testdata.mat",
        "the set's folder, above train/ and test/",
        large.iiit5k,
        ("labels",),
    ),
    Converter(
        "svt",
        "Street View Text",
        "train.xml or test.xml",
        "the set's folder, above img/",
        documents.svt,
    ),
    Converter(
        "case-sensitive",
        "IIIT5k, SVT, SVTP or CUTE80 with case-sensitive labels: the folders IMG/ and label/",
        "folder label/ of 1.txt, 2.txt, ...",
        "folder IMG/ of 1.jpg or 1.png, ...",
        large.label_files,
    ),
    Converter(
        "word-list",
        "any set of words' images with a list of names and labels, such as SVTP and CUTE80",
        "list of a name and a label a line, parted by a tab, a comma or a blank",
        "folder that the names begin in",
        lines.named_words,
        ("separator",),
    ),
    Converter(
        "coco-text",
        "COCO-Text 1.4 or 2.0, scenes",
        "COCO_Text.json or cocotext.v2.json",
        "folder of COCO's train2014 images",
        documents.coco_text,
        ("split", "language"),
    ),
    Converter(
        "coco-text-words",
        "COCO-Text 1.4, cropped words of the 2017 challenge",
        "train_words_gt.txt or val_words_gt.txt",
        "folder train_words/ or val_words/",
        lines.coco_text_words,
    ),
    Converter(
        "textocr",
        "TextOCR 0.1",
        "TextOCR_0.1_train.json or TextOCR_0.1_val.json",
        "folder of the images, train_val_images/ as published",
        documents.textocr,
        ("split",),
    ),
    Converter(
        "openvino",
        "Open Images V5 text (OpenVINO)",
        "text_spotting_openimages_v5_*.json",
        "folder that the file names begin in",
        documents.openvino,
        ("language",),
    ),
    Converter(
        "art",
        "ICDAR 2019 ArT",
        "train_labels.json, or train_task2_labels.json",
        "folder train_images/, or train_task2_images/",
        documents.art,
        ("language", "cropped"),
    ),
    Converter(
        "lsvt",
        "ICDAR 2019 LSVT",
        "train_full_labels.json",
        "folder of all the full images",
        documents.art,
    ),
    Converter(
        "mlt19",
        "ICDAR 2019 MLT",
        "folder of tr_img_*.txt, or gt.txt of `word_1.png,Latin,label`",
        "folder of the scenes, or of the words' images",
        lines.mlt19,
        ("language",),
    ),
    Converter("rctw17", "RCTW-17", "folder of image_*.txt", "folder of image_*.jpg", lines.rctw17),
    Converter(
        "rects",
        "ICDAR 2019 ReCTS",
        "folder of train_ReCTS_*.json",
        "folder of the images",
        documents.rects,
        ("level",),
    ),
    Converter(
        "uber-text",
        "Uber-Text",
        "folder of truth_img_*.txt",
        "folder of img_*.jpg",
        lines.uber_text,
    ),
    Converter(
        "mjsynth",
        "MJSynth, rendered words",
        "annotation_train.txt, annotation_val.txt or annotation_test.txt",
        "folder that the names begin in, 90kDICT32px/",
        large.mjsynth,
    ),
    Converter(
        "synthtext",
        "SynthText, rendered words",
        "gt.mat",
        "the set's folder, above 1/ to 200/",
        large.synthtext,
    ),
    Converter(
        "union14m",
        "Union14M-L and Union14M-Benchmark",
        "train_*.jsonl or annotation.jsonl, or the same as .json",
        "folder that the names begin in",
        documents.union14m,
    ),
)
CONVERTERS: Final = {converter.name: converter for converter in _TABLE}
