"""Slices of a test set: words of like length, size, shape, slant, case, digits, blur and
confidence.

In: a `Sample`. Out: the name of its part in each slice. Limits are fixed, so that reports can be
    compared.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from strhub.evaluation.results.sample import Sample

__all__ = ["SLICES", "parts_of", "slices_of"]

_LIMITS: Final[dict[str, tuple[Sequence[float], Sequence[str]]]] = {
    "length": ((4, 7, 10, 15, 26), ("1–3", "4–6", "7–9", "10–14", "15–25", "over 25")),
    "height": (
        (16, 24, 32, 48, 64, 96),
        ("under 16", "16–23", "24–31", "32–47", "48–63", "64–95", "96 and up"),
    ),
    "aspect": ((1, 2, 3, 5, 8), ("under 1", "1–2", "2–3", "3–5", "5–8", "8 and up")),
    "slant": (
        (-20, -10, 10, 20),
        ("under −20°", "−20 to −10°", "−10 to 10°", "10 to 20°", "over 20°"),
    ),
    "blur": ((5, 10, 20, 40), ("very blurred", "blurred", "soft", "clear", "sharp")),
    "confidence": (
        (0.5, 0.7, 0.8, 0.9, 0.95, 0.99),
        ("under 0.5", "0.5–0.7", "0.7–0.8", "0.8–0.9", "0.9–0.95", "0.95–0.99", "0.99 and up"),
    ),
}
_CHOICES: Final[dict[str, Sequence[str]]] = {
    "case": ("no letters", "lower", "UPPER", "Title", "miXed"),
    "digits": ("none", "some", "only"),
    "symbols": ("none", "some"),
}
_UNKNOWN: Final = "unknown"

SLICES: Final = {
    "length": "characters of the label",
    "height": "pixels of the image",
    "aspect": "width over height",
    "slant": "lean of the strokes",
    "blur": "deviation of the Laplacian: 5, 10, 20, 40",
    "case": "of the label as stored",
    "digits": "in the label as stored",
    "symbols": "in the label as stored",
    "confidence": "of the reading",
}
"""Names of the slices, and what they go by."""


def slices_of(sample: Sample) -> dict[str, str]:
    """Return the part that a word belongs to in each slice."""
    readable = sample.height > 0
    values = {
        "length": len(sample.label),
        "height": sample.height if readable else None,
        "aspect": sample.width / sample.height if readable else None,
        "slant": sample.slant,
        "blur": sample.sharpness,
        "confidence": sample.confidence,
    }
    found = {name: _part(name, value) for name, value in values.items()}
    found["case"] = _case(sample.stored_label)
    digits = sum(character.isdigit() for character in sample.stored_label)
    letters = sum(character.isalnum() for character in sample.stored_label)
    found["digits"] = "none" if not digits else "only" if digits == letters else "some"
    found["symbols"] = "none" if letters == len(sample.stored_label.replace(" ", "")) else "some"
    return found


def parts_of(name: str) -> list[str]:
    """Return the parts of a slice in order, the one for words of which nothing is known last."""
    return [*(_CHOICES[name] if name in _CHOICES else _LIMITS[name][1]), _UNKNOWN]


def _part(name: str, value: float | None) -> str:
    limits, parts = _LIMITS[name]
    return _UNKNOWN if value is None else parts[bisect_right(limits, value)]


def _case(text: str) -> str:
    letters = "".join(character for character in text if character.isalpha())
    if not letters:
        return "no letters"
    if letters == letters.lower():
        return "lower"
    if letters == letters.upper():
        return "UPPER"
    return "Title" if letters[0].isupper() and letters[1:] == letters[1:].lower() else "miXed"
