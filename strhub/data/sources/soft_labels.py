"""Soft labels: what a word may say, as a teacher reads it, and how likely each reading is.

In: readings with their probabilities. Out: the bytes that are stored for them beside a label, and
back; and one of them, drawn at random, which is what a model is trained on. The mean over many
draws of any loss is its mean over the teacher's readings, so that no loss has to know of them
(sequence-level distillation: Kim and Rush, 2016).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Final, TypeAlias

from numpy.random import Generator

from strhub.utils.json_text import load_json

__all__ = ["MAX_READINGS", "SoftLabel", "draw", "load_soft_label", "store_soft_label"]

SoftLabel: TypeAlias = Sequence[tuple[str, float]]
"""Readings, each with its probability, over 0; those of one image need not sum to 1."""

MAX_READINGS: Final = 100  # of one image
MAX_BYTES: Final = 1 << 16  # of one image, stored


def store_soft_label(readings: SoftLabel) -> bytes:
    """Return the bytes that stand for readings: JSON, a list of [text, probability]."""
    rounded = [[text, float(f"{probability:.4g}")] for text, probability in readings]
    return json.dumps(rounded, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def load_soft_label(stored: bytes) -> SoftLabel:
    """Return the readings that bytes stand for; `ValueError` says what is wrong with them."""
    if len(stored) > MAX_BYTES:
        raise ValueError(f"a soft label takes at most {MAX_BYTES} bytes, not {len(stored)}")
    readings = load_json(stored)
    if not isinstance(readings, list) or not 0 < len(readings) <= MAX_READINGS:
        raise ValueError(f"a soft label is a list of 1 to {MAX_READINGS} readings")
    for one in readings:
        match one:
            case [str(), float() | int() as probability] if (
                isfinite(probability) and 0 < probability <= 1
            ):
                continue
        raise ValueError(f"a reading is a text and its probability, not {str(one)[:80]}")
    return [(text, float(probability)) for text, probability in readings]


def draw(readings: SoftLabel, rng: Generator) -> str:
    """Return one of the readings at random, each as often as its probability says."""
    total = sum(probability for _, probability in readings)
    left = rng.random() * total
    for text, probability in readings:
        left -= probability
        if left < 0:
            return text
    return readings[-1][0]
