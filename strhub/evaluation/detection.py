"""Scores of detectors: recall and precision of outlines, whatever is read in them.

`icdar2015`: pairs by intersection over union (Karatzas et al. 2015), for detectors of words.
`icdar2013` and `totaltext`: by how much of each area is covered, with lines that were split or run
together allowed for (Wolf & Jolion 2006); thresholds are those of the two data sets' authors
(Karatzas et al. 2013; Ch'ng & Chan 2017).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from strhub.evaluation.polygons import area, common_area, intersection_over_union
from strhub.evaluation.spotting import IGNORED, LEAST_IOU, Outline, hmean

_SPLIT: Final = 0.8  # credit for a word that was found in several parts

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DetectionScore:
    """Sums, which can be added: outlines that are there, outlines found, and the credit for each
    side.
    """

    true: int = 0
    found: int = 0
    recalled: float = 0.0
    precise: float = 0.0

    def __add__(self, other: DetectionScore) -> DetectionScore:
        return DetectionScore(
            self.true + other.true,
            self.found + other.found,
            self.recalled + other.recalled,
            self.precise + other.precise,
        )

    @property
    def recall(self) -> float:
        """Return the credit over what is there, in [0, 1]."""
        return self.recalled / self.true if self.true else 0.0

    @property
    def precision(self) -> float:
        """Return the credit over what was found, in [0, 1]."""
        return self.precise / self.found if self.found else 0.0

    @property
    def hmean(self) -> float:
        """Return the H-mean of both."""
        return hmean(self.recall * self.precision, self.recall, self.precision)


Protocol = Callable[[Sequence[Outline], Sequence[Outline], Sequence[Outline]], DetectionScore]
"""From the outlines that are there, those that do not count, and those found, to the sums of one
image.
"""


def score_by_iou(
    true: Sequence[Outline],
    ignored: Sequence[Outline],
    found: Sequence[Outline],
    *,
    least: float = LEAST_IOU,
) -> DetectionScore:
    """Return the sums of one image: outlines are pairs whose intersection over union is greater
    than `least`.
    """
    known, candidates = _counted(true, ignored, found)
    overlaps = [
        (intersection_over_union(one, other), t, f)
        for t, one in enumerate(known)
        for f, other in enumerate(candidates)
    ]
    pairs: dict[int, int] = {}
    for iou, t, f in sorted(overlaps, reverse=True):
        if iou > least and t not in pairs and f not in pairs.values():
            pairs[t] = f
    return DetectionScore(len(known), len(candidates), len(pairs), len(pairs))


def score_by_area(
    true: Sequence[Outline],
    ignored: Sequence[Outline],
    found: Sequence[Outline],
    *,
    least_recall: float,
    least_precision: float,
) -> DetectionScore:
    """Return the sums of one image, by how much of each outline's area the others cover.

    least_recall: fraction of what is there that has to be found; least_precision: fraction of what
    was found that has to be there. A word found in several parts counts 0.8, and each part as much;
    several words found as one count in full.
    """
    known, candidates = _counted(true, ignored, found)
    if not known or not candidates:
        return DetectionScore(len(known), len(candidates))
    common = np.array([[common_area(one, other) for other in candidates] for one in known])
    recall = common / np.maximum([[area(one)] for one in known], 1e-9)  # (T, F)
    precision = common / np.maximum([area(other) for other in candidates], 1e-9)
    fits = (recall >= least_recall) & (precision >= least_precision)
    recalled, precise = np.zeros(len(known)), np.zeros(len(candidates))
    for t, f in zip(*np.nonzero(fits), strict=True):
        if fits[t].sum() == fits[:, f].sum() == 1:
            recalled[t] = precise[f] = 1
    for t in np.flatnonzero(recalled == 0):  # found in several parts
        parts = np.flatnonzero((precision[t] >= least_precision) & (precise == 0))
        if len(parts) > 1 and recall[t, parts].sum() >= least_recall:
            recalled[t] = precise[parts] = _SPLIT
    for f in np.flatnonzero(precise == 0):  # several found as one
        parts = np.flatnonzero((recall[:, f] >= least_recall) & (recalled == 0))
        if len(parts) > 1 and precision[parts, f].sum() >= least_precision:
            precise[f] = recalled[parts] = 1
    return DetectionScore(len(known), len(candidates), float(recalled.sum()), float(precise.sum()))


def _counted(
    true: Sequence[Outline], ignored: Sequence[Outline], found: Sequence[Outline]
) -> tuple[list[Floats], list[Floats]]:
    """Return the outlines that are there, and those found that do not lie on one that does not
    count.
    """
    known, left_out, candidates = (
        [np.asarray(outline, dtype=np.float64) for outline in some]
        for some in (true, ignored, found)
    )
    kept = [
        one
        for one in candidates
        if not any(common_area(one, other) > IGNORED * area(one) for other in left_out)
        or any(intersection_over_union(one, other) > LEAST_IOU for other in known)
    ]
    return known, kept


PROTOCOLS: Final[dict[str, Protocol]] = {
    "icdar2015": score_by_iou,
    "icdar2013": partial(score_by_area, least_recall=0.8, least_precision=0.4),
    "totaltext": partial(score_by_area, least_recall=0.7, least_precision=0.6),
}
