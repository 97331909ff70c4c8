"""What is made of several looks at a word: which text is kept, and how sure it may be called.

The text is kept for which most speaks. The surest of several looks is surer than it is right, so
what is reported is corrected by what was measured on words of which the labels are known
(`strhub-model calibrate` fits the correction). A view that cuts a part of the image away never
makes a text surer than the whole image allows: what it cut off may be a part of the text, or
another line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from strhub.text.correction import CALIBRATION as CALIBRATION
from strhub.text.correction import CORRECTION as CORRECTION
from strhub.text.correction import Calibration as Calibration
from strhub.text.correction import Correction as Correction
from strhub.text.decoding import Decoded as Decoded

DOUBT: Final = 0.7
"""Confidence below which a word is read with doubt, and above which no view that cuts the image
lifts it.
"""


class ViewReading(NamedTuple):
    """What was read in one view of an image.

    rotation: degrees counter-clockwise by which the image was turned; cut: whether the view lacks a
        part of the image; letters: how many characters it shows, if that is known.
    """

    rotation: int
    decoded: Decoded
    cut: bool = False
    letters: int | None = None

    @property
    def counts(self) -> bool:
        """Return whether the text may be what stands there."""
        return self.letters is None or len(self.decoded.text) == self.letters


def surest_rotation(views: Mapping[int, Decoded]) -> int:
    """Return the rotation with the surest reading; upright, unless what is read on a side has at
    least two characters.

    A single character fills a tall image as it stands, and most of them look like another one on
    their side.
    """
    turned = [rotation for rotation, (text, *_) in views.items() if rotation and len(text) > 1]
    return max([0, *turned], key=lambda rotation: views[rotation][1])


def best_supported(view_readings: Sequence[ViewReading]) -> ViewReading:
    """Return the surest look of the text with the greatest sum of confidences.

    So a text that several looks agree on beats one that a single look is surer of.
    """
    sums: dict[str, float] = {}
    for view_reading in view_readings:
        sums[view_reading.decoded.text] = (
            sums.get(view_reading.decoded.text, 0.0) + view_reading.decoded.confidence
        )
    best = max(sums, key=sums.__getitem__)
    return max(
        (view_reading for view_reading in view_readings if view_reading.decoded.text == best),
        key=lambda view_reading: view_reading.decoded.confidence,
    )


def evidence(view_readings: Sequence[ViewReading], text: str) -> tuple[float, float]:
    """Return what a correction takes: how sure the looks are of a text at most, and the first look
    of its own.

    Looks at a part of the image count up to `DOUBT`. At least one look must have read the text.
    """
    same = [one for one in view_readings if one.decoded.text == text]
    sure = [
        min(one.decoded.confidence, DOUBT) if one.cut else one.decoded.confidence for one in same
    ]
    return max(sure), view_readings[0].decoded.confidence


def conclude(view_readings: Sequence[ViewReading], correction: Correction) -> ViewReading:
    """Return the best supported of several looks, the first of which was at the whole image, with
    its confidence corrected; of a single look, that look.
    """
    if len(view_readings) == 1:
        return view_readings[0]
    chosen = best_supported(view_readings)
    text = chosen.decoded.text
    confidence = correction(*evidence(view_readings, text)) if text else 0.0
    return chosen._replace(decoded=chosen.decoded.called(confidence))
