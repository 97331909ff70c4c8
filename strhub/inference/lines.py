"""Lines of text to words and where they are, by the columns of a CTC network that knows spaces.

`read_lines` is for those who have images of lines at hand, such as `strhub.spotting`; `LineReading`
makes an engine of single words one of lines, for `Recognizer(lines=True)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.errors import ConfigError
from strhub.images.preprocess import image_to_kept_pixels, normalization, normalize_pixels
from strhub.inference.engine import Engine, NetworkEngine
from strhub.text.correction import Calibration
from strhub.text.decoding import Decoded
from strhub.text.tokenizer import CTCTokenizer, Tokenizer, best_of_each_step
from strhub.text.word_prior import with_prior

Floats = npt.NDArray[np.float32]

# probability of a space between two letters, over all columns there, from which there is one
LEAST_SPACE = 0.03
LEAST_IN_WIDE = 0.003  # the same where two letters are far apart
WIDE_GAP = 1.6  # times the usual distance of the line's letters from which they are
_ENDS = 1.6  # columns of room around a line
# half letters between a line's end and its last letter, from which something else is there
_REACH = 3.0
_BATCH = 16
_MEMORY = 48 * 6000  # columns of pixels of a batch, at most


class Span(NamedTuple):
    """A word of a line: start, end: where it is, as parts of the line's length in [0, 1]."""

    text: str
    confidence: float
    characters: Floats
    start: float
    end: float


def read_lines(
    engine: NetworkEngine, images: Sequence[Image.Image], *, word_prior: float = 0
) -> list[list[Span]]:
    """Return the words of RGB images of one line each, from left to right.

    engine: one that `line_engine` lets pass.
    word_prior: weight of known words against what is read with doubt, see `strhub.text.word_prior`;
        0: none.
    """
    pixels = [image_to_kept_pixels(image, engine.img_size, spare=4) for image in images]
    normalize = normalization(engine.normalize)
    found: list[list[Span]] = [[] for _ in images]
    for batch in _similar_widths([array.shape[1] for array in pixels]):
        arrays = [normalize_pixels(pixels[index], normalize) for index in batch]
        for index, array, probabilities in zip(
            batch, arrays, engine.probabilities(arrays), strict=True
        ):
            spans = spans_of(probabilities, engine.tokenizer, array.shape[2], word_prior=word_prior)
            found[index] = [_calibrated(span, engine.calibration) for span in spans]
    return found


def _calibrated(span: Span, calibration: Calibration) -> Span:
    return span._replace(confidence=calibration(span.confidence, span.text))


def _similar_widths(widths: Sequence[int]) -> list[list[int]]:
    """Return indexes of widths in batches, the narrowest first, each of limited size."""
    batches: list[list[int]] = []
    for index in sorted(range(len(widths)), key=lambda index: widths[index]):
        full = (
            not batches
            or len(batches[-1]) == _BATCH
            or (len(batches[-1]) + 1) * widths[index] * 48 > _MEMORY
        )
        if full:
            batches.append([])
        batches[-1].append(index)
    return batches


def spans_of(
    probabilities: Floats,
    tokenizer: Tokenizer,
    width: int,
    column_width: int = 8,
    *,
    word_prior: float = 0,
) -> list[Span]:
    """Return the words that probabilities (L, C) spell, cut at spaces.

    width: of the image in pixels, of which each column is `column_width`; columns beyond it are
    padding. A word's confidence is the product of the likeliest ids' probabilities over its
    columns, as of a text read alone.
    """
    ids, sure = best_of_each_step(probabilities)
    indices, _ = tokenizer.select(ids)
    if not len(indices):
        return []
    columns = max(1, round(width / column_width))
    centers = _centers(ids, indices, sure) + 0.5
    space = tokenizer.charset.find(" ") + 1  # 0, the blank, if the charset has none
    letters = np.array(
        [c for c, index in zip(centers, indices, strict=True) if ids[index] != space]
    )
    usual = float(np.median(np.diff(letters))) if len(letters) > 1 else 0.0
    words: list[list[int]] = [[]]
    for number, index in enumerate(indices):
        if space and ids[index] == space:
            words.append([])
            continue
        if space and number:
            seen = float(probabilities[indices[number - 1] + 1 : index, space].sum())
            wide = centers[number] - centers[number - 1] > WIDE_GAP * usual
            if seen > (LEAST_IN_WIDE if wide else LEAST_SPACE):
                words.append([])
        words[-1].append(number)
    words = [word for word in words if word]
    half = _half_letter(centers, words)
    spans = []
    for number, word in enumerate(words):
        before = centers[words[number - 1][-1]] if number else -half
        after = centers[words[number + 1][0]] if number + 1 < len(words) else columns + half
        first, last = centers[word[0]], centers[word[-1]]
        start = max(first - half, (before + first) / 2)
        end = min(last + half, (last + after) / 2)
        if number == 0 and first < _ENDS + _REACH * half:
            start = 0.0
        if number + 1 == len(words) and columns - last < _ENDS + _REACH * half:
            end = float(columns)
        own = slice(int(max(0, (before + first) / 2)), int(np.ceil((last + after) / 2)) + 1)
        reading = (
            tokenizer.text_of(ids[indices[word]]),
            float(sure[own].prod()),
            sure[indices[word]],
        )
        if word_prior:
            (reading,) = with_prior([reading], probabilities[None, own], tokenizer, word_prior)
        spans.append(
            Span(
                *reading,
                float(np.clip(start / columns, 0, 1)),
                float(np.clip(end / columns, 0, 1)),
            )
        )
    return spans


def _centers(ids: np.ndarray, indices: np.ndarray, sure: Floats) -> Floats:
    """Return the middle of each character's columns: those after its first that repeat it count,
    too.
    """
    centers = []
    for index in indices:
        end = index + 1
        while end < len(ids) and ids[end] == ids[index]:
            end += 1
        weights = sure[index:end]
        centers.append(float((np.arange(index, end) * weights).sum() / weights.sum()))
    return np.asarray(centers, dtype=np.float32)


def _half_letter(centers: Floats, words: Sequence[Sequence[int]]) -> float:
    """Return half of the usual distance between letters of a word, in columns."""
    steps = [centers[b] - centers[a] for word in words for a, b in pairwise(word)]
    return float(np.median(steps)) / 2 + 0.25 if steps else 1.0


def line_engine(engine: Engine) -> NetworkEngine | None:
    """Return an engine as one that lines can be read with; none if it cannot tell words by their
    columns.
    """
    if not isinstance(engine, NetworkEngine) or not engine.keep_aspect:
        return None
    tokenizer = engine.tokenizer
    return engine if isinstance(tokenizer, CTCTokenizer) and " " in tokenizer.charset else None


class LineReading(Engine):
    """An engine that reads lines: what it decodes is a line's text, with its words and where they
    are.

    engine: one of single words; `ConfigError` if it cannot read lines. Nothing is read again: views
    for that are made for single words.
    """

    def __init__(self, engine: Engine) -> None:
        able = line_engine(engine)
        if able is None:
            raise ConfigError(
                "lines=True needs a CTC model that keeps the aspect of images and whose charset "
                "has a space, "
                "such as strhub-small"
            )
        self.words = able
        self.img_size, self.normalize = able.img_size, able.normalize
        self.keep_aspect, self.precision = able.keep_aspect, able.precision
        self.correction = able.correction  # the calibration is each word's
        self.reread_below = 0.0

    def decode(self, arrays: Sequence[Floats]) -> list[Decoded]:
        """Decode as `Engine` says; confidences are those of all words together."""
        found = self.words.probabilities(arrays)
        return [
            line_of(
                [
                    _calibrated(span, self.words.calibration)
                    for span in spans_of(probabilities, self.words.tokenizer, array.shape[2])
                ]
            )
            for array, probabilities in zip(arrays, found, strict=True)
        ]


def line_of(spans: Sequence[Span]) -> Decoded:
    """Return the words of a line as what is read of it, with a space between them.

    A space's confidence is that of the less sure one of the characters beside it.
    """
    if not spans:
        return Decoded("", 0.0, np.zeros(0, dtype=np.float32))
    parts = [spans[0].characters]
    for before, after in pairwise(spans):
        space = min(before.characters[-1:].min(initial=1), after.characters[:1].min(initial=1))
        parts += [np.array([space], dtype=np.float32), after.characters]
    sure = float(np.prod([span.confidence for span in spans]))
    return Decoded(
        " ".join(span.text for span in spans), sure, np.concatenate(parts), words=tuple(spans)
    )
