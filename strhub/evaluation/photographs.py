"""`evaluate_photographs`: how many words of whole photographs are found and read right, image by
image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.data.sources.annotated_photos import Annotated
from strhub.errors import DataError, UnreadableImage
from strhub.evaluation.detection import PROTOCOLS, DetectionScore
from strhub.evaluation.spotting import Matches, Outline, SpottingScore, match_words


class Word(Protocol):
    """What is needed of a word that was read: `strhub.spotting.page.Word` is one."""

    @property
    def text(self) -> str: ...
    @property
    def quad(self) -> Outline: ...
    @property
    def confidence(self) -> float: ...


class Page(Protocol):
    """What is needed of what was read in one photograph: `strhub.Page` is one."""

    @property
    def words(self) -> Sequence[Word]: ...
    @property
    def error(self) -> str | None: ...
    @property
    def image(self) -> Image.Image | None: ...


class Found(Protocol):
    """A region that a detector found: `strhub.spotting.regions.Region` is one."""

    @property
    def quad(self) -> npt.NDArray[np.float32]: ...


class PhotoResult(NamedTuple):
    """What was found on a photograph, and what became of its words."""

    photo: Annotated
    page: Page
    matches: Matches

    def to_dict(self) -> dict[str, Any]:
        """Return counts and errors, fit for JSON."""
        true, found, score = self.photo.words, self.page.words, self.matches.score
        return {
            "image": self.photo.path.name,
            "error": self.page.error,
            "true": score.true,
            "found": score.found,
            "paired": score.paired,
            "right": score.right,
            "end_to_end": round(score.end_to_end, 4),
            "wrong": [
                [true[t].text, found[f].text] for t, f, right in self.matches.pairs if not right
            ],
            "missed": [true[t].text for t in self.matches.missed],
            "extra": [found[f].text for f in self.matches.extra],
        }


def evaluate_photographs(
    photos: Sequence[Annotated],
    pages: Iterable[Page],
    *,
    progress: Callable[[Iterable[Page]], Iterable[Page]] = iter,
) -> Iterator[PhotoResult]:
    """Yield the result of each photograph; one that cannot be read has no words found.

    pages: of the same photographs, in their order, such as `Spotter.read` yields them; progress:
        wraps them.
    """
    for photo, page in zip(photos, progress(pages), strict=True):
        found = [(word.quad, word.text) for word in page.words]
        yield PhotoResult(photo, page, match_words(photo.words, found))


def total(results: Iterable[PhotoResult]) -> SpottingScore:
    """Return the counts of all photographs together."""
    return sum((result.matches.score for result in results), SpottingScore())


def evaluate_detector(
    photos: Sequence[Annotated], detector: Callable[[Image.Image], Sequence[Found]], protocol: str
) -> Iterator[DetectionScore]:
    """Yield the sums of each photograph for what a detector finds.

    protocol: of `strhub.evaluation.detection.PROTOCOLS`. A detector of lines is measured by
    `icdar2013` or `totaltext`, which allow for words that were found as one.

    Raises:
        DataError: for a photograph that cannot be opened.
    """
    score = PROTOCOLS[protocol]
    for photo in photos:
        try:
            image = photo.open()
        except UnreadableImage as error:
            raise DataError(f"{photo.path} cannot be read: {error}") from error
        words = photo.words
        true = [word.outline for word in words if word.text is not None]
        ignored = [word.outline for word in words if word.text is None]
        found = [tuple((float(x), float(y)) for x, y in region.quad) for region in detector(image)]
        yield score(true, ignored, found)


def write_results(path: Path, results: Iterable[PhotoResult]) -> None:
    """Write a line of JSON for each photograph."""
    from strhub.utils.files import write_whole

    rows = (json.dumps(result.to_dict(), ensure_ascii=False) for result in results)
    write_whole(path, "".join(f"{row}\n" for row in rows))


def format_score(score: SpottingScore, photos: int) -> str:
    """Return the table of a folder's score."""

    def row(name: str, pairs: int) -> str:
        precision, recall = pairs / max(score.found, 1), pairs / max(score.true, 1)
        hmean = 200 * pairs / max(score.found + score.true, 1)
        return f"| {name:<10} | {100 * precision:>9.2f} | {100 * recall:>6.2f} | {hmean:>6.2f} |"

    head = f"{photos} photographs, {score.true} words that count, {score.found} found"
    return "\n".join(
        [
            head,
            "| words      | precision | recall | H-mean |",
            "|:-----------|----------:|-------:|-------:|",
            row("found", score.paired),
            row("read right", score.right),
        ]
    )


def format_detection(score: DetectionScore, photos: int, protocol: str) -> str:
    """Return the line of a detector's score."""
    values = (
        f"precision {100 * score.precision:.2f}, recall {100 * score.recall:.2f}, H-mean "
        f"{100 * score.hmean:.2f}"
    )
    return (
        f"{photos} photographs, {score.true} outlines that count, {score.found} found; {protocol}: "
        f"{values}"
    )
