"""Readings and pages as answers, fit for JSON."""

from __future__ import annotations

import io
from typing import Any, Final

from PIL import Image

from strhub.inference.reading import Reading
from strhub.spotting.page import Page

__all__ = ["BLANK", "page_to_dict", "reading_to_dict"]


def _blank() -> bytes:
    file = io.BytesIO()
    Image.new("L", (96, 48), 255).save(file, "PNG")
    return file.getvalue()


BLANK: Final = _blank()  # an image without a word


def reading_to_dict(index: int, name: str | None, reading: Reading) -> dict[str, Any]:
    """Return a reading as `strhub.serving.schemas.ReadResult` describes it."""
    return {
        "index": index,
        "name": name,
        "text": reading.text,
        "confidence": _fraction(reading.confidence),
        "character_confidences": [_fraction(value) for value in reading.character_confidences],
        "alternatives": [
            {"text": text, "confidence": _fraction(confidence)}
            for text, confidence in reading.alternatives
        ],
        "words": [
            {
                "text": word.text,
                "confidence": _fraction(word.confidence),
                "start": round(word.start, 4),
                "end": round(word.end, 4),
            }
            for word in reading.words
        ],
        "rotation": reading.rotation,
        "error": reading.error,
    }


def page_to_dict(index: int, name: str | None, page: Page) -> dict[str, Any]:
    """Return a page as `strhub.serving.schemas.PageResult` describes it."""
    content = page.to_dict()
    kept = ("size", "rotation", "text", "paragraphs", "error")
    return {"index": index, "name": name, **{key: content[key] for key in kept}}


def _fraction(value: float) -> float:
    return round(min(1.0, max(0.0, float(value))), 4)
