"""Within docTR and OnnxTR: by stand-ins that call a predictor as they do, and by the toolkits
themselves where they are installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from torch import nn

from strhub.inference.recognizer import Recognizer
from strhub.spotting.plugs import doctr as for_doctr
from strhub.spotting.plugs import onnxtr as for_onnxtr

ROOT = Path(__file__).resolve().parents[2]
CROPS = [
    np.asarray(Image.open(path).convert("RGB"))
    for path in sorted((ROOT / "demo_images").glob("*"))[:4]
]
PLUGS = [for_doctr, for_onnxtr]


@pytest.fixture(scope="module")
def expected() -> list[tuple[str, float]]:
    readings = Recognizer("strhub-small")(CROPS)
    return [(reading.text, reading.confidence) for reading in readings]


def page() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """The crops below each other on one page, and where they are, as fractions."""
    height, width = (
        sum(len(crop) + 20 for crop in CROPS),
        40 + max(crop.shape[1] for crop in CROPS),
    )
    sheet = np.full((height, width, 3), 255, np.uint8)
    boxes, top = [], 10
    for crop in CROPS:
        sheet[top : top + len(crop), 20 : 20 + crop.shape[1]] = crop
        box = (20 / width, top / height, (20 + crop.shape[1]) / width, (top + len(crop)) / height)
        boxes.append((*box, 0.9))
        top += len(crop) + 20
    return sheet, np.asarray(boxes, np.float32)


@pytest.mark.parametrize("plug", PLUGS)
def test_crops_to_texts_with_confidences(plug: Any, expected: list[tuple[str, float]]) -> None:
    predictor = plug.recognition_predictor("strhub-small", threads=1)
    assert predictor(CROPS) == expected
    assert predictor([]) == []
    assert predictor([np.zeros((0, 7, 3), np.uint8), CROPS[0]], any_option=1) == [
        ("", 0.0),
        expected[0],
    ]
    assert "RecognitionPredictor" in repr(predictor)


def test_it_takes_the_place_of_a_part_of_a_module(expected: list[tuple[str, float]]) -> None:
    """docTR's predictors are modules, whose parts PyTorch lets modules alone replace."""

    class OCRPredictor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reco_predictor: nn.Module = nn.Identity()

        def forward(self, crops: list[npt.NDArray[np.uint8]]) -> Any:
            return self.reco_predictor(crops, return_preds=True)

    whole = OCRPredictor()
    whole.reco_predictor = for_doctr.recognition_predictor("strhub-small")
    assert whole.eval().to("cpu")(CROPS) == expected


def found(texts: Any) -> list[str]:
    return [
        word.value
        for page in texts.pages
        for block in page.blocks
        for line in block.lines
        for word in line.words
    ]


def test_within_doctr_itself(expected: list[tuple[str, float]]) -> None:
    pytest.importorskip("doctr")
    from doctr.models.predictor import OCRPredictor

    sheet, boxes = page()

    class Detector(nn.Module):
        def forward(self, pages: list[Any], **_: Any) -> list[dict[str, Any]]:
            return [{"words": boxes} for _ in pages]

    predictor = OCRPredictor(Detector(), for_doctr.recognition_predictor("strhub-small"))
    document = predictor([sheet])
    assert sorted(found(document)) == sorted(text for text, _ in expected)
    predictor.reco_predictor = for_doctr.recognition_predictor("strhub-tiny")
    assert len(found(predictor([sheet]))) == 4


def test_within_onnxtr_itself(expected: list[tuple[str, float]]) -> None:
    pytest.importorskip("onnxtr")
    from onnxtr.models.predictor import OCRPredictor

    sheet, boxes = page()
    predictor = OCRPredictor(
        lambda pages, **_: [boxes for _ in pages],  # a detection predictor
        for_onnxtr.recognition_predictor("strhub-small"),
    )
    document = predictor([sheet])
    assert sorted(found(document)) == sorted(text for text, _ in expected)
    assert "RecognitionPredictor" in repr(predictor)
