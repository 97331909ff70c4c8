"""A recognition predictor for docTR, whose parts are PyTorch's modules.

predictor = doctr.models.ocr_predictor(pretrained=True)
predictor.reco_predictor = recognition_predictor("strhub-small")
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from strhub.inference.recognizer import EMBEDDED, Recognizer
from strhub.spotting.plugs import onnxtr

__all__ = ["RecognitionPredictor", "recognition_predictor"]


class RecognitionPredictor(nn.Module):
    """Crops of words in, a text and its confidence for each out.

    Moving it to a device moves nothing: the reader was told its device when it was made.
    """

    def __init__(self, reader: Recognizer) -> None:
        super().__init__()
        self.read = onnxtr.RecognitionPredictor(reader)

    def forward(
        self, crops: Sequence[npt.NDArray[np.uint8]], **options: Any
    ) -> list[tuple[str, float]]:
        """Read crops (H, W, 3), RGB, of any sizes. options: for models of docTR's, not used."""
        return self.read(crops)


def recognition_predictor(model: str | Path = EMBEDDED, **options: Any) -> RecognitionPredictor:
    """Return a predictor that reads with a model of strhub, for `OCRPredictor(reco_predictor=)`.

    model and options: as `Recognizer` takes them.
    """
    return RecognitionPredictor(Recognizer(model, **options))
