"""What a reader gives, and what it reads with:  and the protocol of an engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from strhub.inference.rereading import Decoded as Decoded
from strhub.inference.rereading import ViewReading as ViewReading
from strhub.inference.rereading import surest_rotation as surest_rotation
from strhub.text.correction import Calibration, Correction

ImageArray = npt.NDArray[np.float32]


Decode = Callable[[Sequence[ImageArray]], Sequence[Decoded]]


@dataclass(frozen=True)
class Reading:
    """What was read in one image.

    text: "" if there is nothing to read or it could not be read; confidence: in [0, 1], of the
    whole text, 0 if there is none; character_confidences: in [0, 1], one a character; source: the
    path or address given, None for others;
    error: why the input could not be read, or None; alternatives: the best readings with their
    confidences, this one first, if several were asked for; rotation: degrees counter-clockwise by
    which the image was turned to be read, or
    its line made level: 90 or 270 for words that run up or down, others for steep ones, 0 for most;
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


class Engine(Protocol):
    """A model and how it decodes.

    img_size: height and width of its images in pixels, the width the greatest one if `keep_aspect`;
    normalize: name of a preset. lanes: how many threads may decode at once, each on its share of
        the processors; 1 if none is to.
    precision: what it computes in, such as "float32"; of an exported file, what that was exported
    in. correction: of the confidence of words that are looked at again. calibration: of all.
    """

    img_size: Sequence[int]
    normalize: str
    keep_aspect: bool
    precision: str
    correction: Correction
    calibration: Calibration

    @property
    def lanes(self) -> int: ...

    def decode(self, arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
        """Normalized arrays (3, H, W), at least one, to what is read in each; W may differ if the
        aspect is kept.
        """

    def side_by_side(self) -> AbstractContextManager[Decode]:
        """`decode` on a fraction of the processors, for as many threads at once as there are
        lanes.
        """
