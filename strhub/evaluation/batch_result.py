"""One batch's scores as the reference's `test_step` returns them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from strhub.evaluation.metrics import Score
from strhub.evaluation.readers import ReadingModel


@dataclass
class BatchResult:
    """Sums over a batch: words, those read right, edit distances divided by lengths, confidences,
    label lengths.
    """

    num_samples: int
    correct: int
    ned: float
    confidence: float
    label_length: int
    loss: Tensor | None = None
    loss_numel: int | None = None


def test_step(model: ReadingModel, batch: tuple[Tensor, Sequence[str]]) -> dict[str, Any]:
    """Read images (B, 3, H, W) and score the readings against labels in the model's tested
    charset.
    """
    images, labels = batch
    score = Score()
    with torch.inference_mode():
        score.add_batch(model.read(images), labels, (), model.charset_adapter)
    samples = int(score.samples)
    sums = (samples - score.similarity, score.confidence, int(score.label_length))
    return {"output": BatchResult(samples, int(score.correct), *sums)}
