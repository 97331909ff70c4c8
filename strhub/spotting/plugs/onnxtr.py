"""A recognition predictor for OnnxTR, and for whatever else calls one as OnnxTR does.

predictor = onnxtr.models.ocr_predictor()
predictor.reco_predictor = recognition_predictor("strhub-small")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from strhub.inference.recognizer import EMBEDDED, Recognizer

__all__ = ["RecognitionPredictor", "recognition_predictor"]


class RecognitionPredictor:
    """Crops of words in, a text and its confidence for each out: what docTR and OnnxTR ask of one.

    reader: what reads; whatever is not an image, such as a crop without area, is ("", 0.0).
    """

    def __init__(self, reader: Recognizer) -> None:
        self.reader = reader

    def __call__(
        self, crops: Sequence[npt.NDArray[np.uint8]], **options: Any
    ) -> list[tuple[str, float]]:
        """Read crops (H, W, 3), RGB, of any sizes. options: for models of theirs, not used."""
        return [
            ("", 0.0) if reading.error else (reading.text, float(reading.confidence))
            for reading in self.reader(list(crops))
        ]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.reader.engine).__name__})"


def recognition_predictor(model: str | Path = EMBEDDED, **options: Any) -> RecognitionPredictor:
    """Return a predictor that reads with a model of strhub, for `OCRPredictor(reco_predictor=)`.

    model and options: as `Recognizer` takes them.
    """
    return RecognitionPredictor(Recognizer(model, **options))
