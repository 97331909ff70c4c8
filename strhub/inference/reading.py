"""What a reader gives."""

from __future__ import annotations

from dataclasses import dataclass

from strhub.inference.engine import Decode as Decode
from strhub.inference.engine import Engine as Engine
from strhub.inference.engine import ImageArray as ImageArray
from strhub.inference.rereading import Decoded as Decoded
from strhub.inference.rereading import ViewReading as ViewReading
from strhub.inference.rereading import surest_rotation as surest_rotation


@dataclass(frozen=True)
class Reading:
    """What was read in one image.

    text: "" if there is nothing to read or it could not be read; confidence: in [0, 1], of the
    whole text, 0 if there is none; character_confidences: in [0, 1], one a character; source: the
    path or address given, None for others;
    error: why the input could not be read, or None; alternatives: the best readings with their
    confidences, this one first, if several were asked for; rotation: degrees counter-clockwise by
    which the image was turned to be read, or its line made level: 90 or 270 for words that run up
    or down, others for steep ones, 0 for most;
    words: of a line, where lines are read.
    """

    text: str
    confidence: float
    character_confidences: tuple[float, ...] = ()
    source: str | None = None
    error: str | None = None
    alternatives: tuple[tuple[str, float], ...] = ()
    rotation: int = 0
    words: tuple[LineWord, ...] = ()


@dataclass(frozen=True)
class LineWord:
    """A word of a line. start, end: where it is, as fractions of the image's width, once the image
    is turned.
    """

    text: str
    confidence: float
    start: float
    end: float
    character_confidences: tuple[float, ...] = ()


def reading_of(decoded: Decoded, rotation: int, source: str | None) -> Reading:
    """Return what was decoded as a reading; rotation, source: its own."""
    words = tuple(
        LineWord(word.text, word.confidence, word.start, word.end, tuple(word.characters.tolist()))
        for word in decoded.words
    )
    return Reading(
        decoded.text,
        decoded.confidence,
        tuple(decoded.characters.tolist()),
        source,
        alternatives=decoded.alternatives,
        rotation=rotation,
        words=words,
    )
