"""Regions of an image to lines of words: which way up, cut at spaces, doubtful words read again by
themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from PIL import Image

from strhub.errors import ConfigError, DataError
from strhub.images.crops import crop_word
from strhub.inference.engine import Engine, NetworkEngine
from strhub.inference.lines import LineReading, Span, line_engine, read_lines
from strhub.inference.pipeline import Reader
from strhub.inference.reading import Reading
from strhub.spotting.page import Line, Quad, Word
from strhub.spotting.regions import Floats, Region, sides_of

ROOM: Final = 0.27  # of a line's height, that is read around its outline
_TALL: Final = 1.5  # height over width from which a line may run up or down
_STACKED: Final = 4.0  # height over width from which it must
_TURNS: Final = {
    90: Image.Transpose.ROTATE_90,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_270,
}
_UPRIGHT: Final = 0.5  # fraction of the letters read surely from which no line is read upside down


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How lines are read.

    reread: words of less confidence are read again by themselves, and the surer reading kept; 0:
        never.
    least_confidence: words of less are left out; least_alone: single characters of less that stand
        alone, since marks and ornaments are often taken for such.
    turned: read lines upside down, too, where few of an image's are read surely as they stand.
    word_prior: whether words read with doubt may be taken for known English ones that look nearly
        as likely, where the reader has such a prior.
    """

    reread: float = 0.8
    least_confidence: float = 0.2
    least_alone: float = 0.5
    turned: bool = True
    word_prior: bool = True

    def __post_init__(self) -> None:
        for name in ("reread", "least_confidence", "least_alone"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}: it must be a confidence, from 0 to 1")


class LineReader:
    """Read the regions of images.

    reader: whose engine reads lines, if it is a CTC model that keeps the aspect of its images and
        whose charset has a space; otherwise each region is read as one word.
    """

    def __init__(self, reader: Reader, options: ReadingOptions) -> None:
        engine: Engine = reader.engine
        if isinstance(engine, LineReading):  # a reader of lines: its words are read here, too
            engine = engine.words
            reader = reader_like(reader, engine)
        if isinstance(engine, NetworkEngine) and engine.word_prior and not options.word_prior:
            engine = engine.with_word_prior(0)
            reader = reader_like(reader, engine)
        self.reader, self.options = reader, options
        self.engine = line_engine(engine)

    @property
    def word_prior(self) -> float:
        """Return the weight of known words, 0 for none."""
        return self.engine.word_prior if self.engine is not None and self.options.word_prior else 0

    def __call__(self, image: Image.Image, regions: Sequence[Region]) -> list[Line]:
        """Return the lines of an RGB image in the order of its regions, less those in which nothing
        is read.
        """
        quads, crops = [], []
        for region in regions:
            quad = np.asarray(region.quad, dtype=np.float32)
            try:
                crops.append(crop_line(image, quad))
            except DataError:  # it has no area, or lies outside
                continue
            quads.append(quad)
        lines = []
        for quad, (rotation, spans) in zip(quads, self._read(crops), strict=True):
            if spans:
                begun = np.roll(
                    quad, -(rotation // 90), axis=0
                )  # from the corner where its text begins
                words = tuple(_word(span, begun) for span in spans)
                lines.append(Line(words, as_quad(begun), rotation))
        lines = self._reread(image, lines) if self.options.reread else lines
        kept = []
        for line in lines:
            alone = len(line.words) == 1
            words = tuple(word for word in line.words if self._is_kept(word, alone=alone))
            if words:
                kept.append(replace(line, words=words))
        return kept

    def _is_kept(self, word: Word, *, alone: bool) -> bool:
        one = alone and sum(char.isalnum() for char in word.text) < 2
        least = self.options.least_alone if one else self.options.least_confidence
        return word.confidence >= max(least, self.options.least_confidence)

    def _read(self, crops: Sequence[Image.Image]) -> list[tuple[int, list[Span]]]:
        """Return for each crop of a line by how many degrees it was turned, and its words then."""
        if self.engine is None:
            return [
                (reading.rotation // 90 * 90, _whole(reading))
                for reading in self.reader(list(crops))
            ]
        views: list[tuple[int, int]] = []  # index of the crop, degrees
        for index, crop in enumerate(crops):
            if crop.height > _TALL * crop.width:
                views += [(index, 90), (index, 270)]
            if crop.height <= _STACKED * crop.width:
                views.append((index, 0))
        best: dict[int, _View] = {}
        self._keep_best(best, crops, views)
        if self.options.turned and not self._mostly_sure(best):
            doubtful = [
                index
                for index, view in best.items()
                if not view.turn and view.sure < self.options.reread
            ]
            self._keep_best(best, crops, [(index, 180) for index in doubtful])
        return [(best[index].turn, best[index].spans) for index in range(len(crops))]

    def _mostly_sure(self, best: dict[int, _View]) -> bool:
        """Return whether most letters were read surely as they stand, so that the image is not
        upside down.
        """
        letters = sum(view.letters for view in best.values())
        sure = sum(view.letters for view in best.values() if view.sure >= self.options.reread)
        return sure > _UPRIGHT * letters

    def _keep_best(
        self, best: dict[int, _View], crops: Sequence[Image.Image], views: Sequence[tuple[int, int]]
    ) -> None:
        assert self.engine is not None
        images = [
            crops[index].transpose(_TURNS[turn]) if turn else crops[index] for index, turn in views
        ]
        for (index, turn), spans in zip(
            views, read_lines(self.engine, images, word_prior=self.word_prior), strict=True
        ):
            view = _View(turn, spans, _mean_confidence(spans))
            if index not in best or view.sure > best[index].sure:
                best[index] = view

    def _reread(self, image: Image.Image, lines: Sequence[Line]) -> list[Line]:
        """Return the lines with doubtful words read again by themselves, where that is surer."""
        words = [list(line.words) for line in lines]
        doubtful, crops = [], []
        for n, line in enumerate(lines):
            for w, word in enumerate(line.words if len(line.words) > 1 else ()):
                if word.confidence < self.options.reread:
                    with suppress(
                        DataError
                    ):  # a word at the edge may have no area within the image
                        crops.append(crop_line(image, np.asarray(word.quad, dtype=np.float32)))
                        doubtful.append((n, w))
        for (n, w), reading in zip(doubtful, self.reader(crops) if crops else (), strict=True):
            found = one_word(reading)
            if found is not None and found[1] > words[n][w].confidence and not reading.rotation:
                words[n][w] = replace(
                    words[n][w], text=found[0], confidence=found[1], character_confidences=found[2]
                )
        return [replace(line, words=tuple(own)) for line, own in zip(lines, words, strict=True)]


def reader_like(reader: Reader, engine: Engine) -> Reader:
    """Return a reader with the options of another one, in the thread that calls it."""
    return Reader(
        engine,
        batch_size=reader.batch_size,
        workers=1,
        turn_tall=reader.turn_tall,
        reread_below=reader.reread_below,
    )


@dataclass(frozen=True)
class _View:
    """A line turned by so many degrees, its words then, and how sure they are."""

    turn: int
    spans: list[Span]
    sure: float

    @property
    def letters(self) -> int:
        return sum(len(span.text) for span in self.spans)


def one_word(reading: Reading) -> tuple[str, float, tuple[float, ...]] | None:
    """Return text, confidence and those of the characters, without spaces around; None for no word
    or several.

    There is some room around a word that is read again, so the next word's first letter may be in
    it.
    """
    text = reading.text.strip(" ")
    if not text or " " in text:
        return None
    start = len(reading.text) - len(reading.text.lstrip(" "))
    return text, reading.confidence, tuple(reading.character_confidences[start : start + len(text)])


def crop_line(image: Image.Image, quad: Floats) -> Image.Image:
    """Return what is within a quadrilateral, straightened, with some room of its shorter side
    around it.
    """
    width, height = sides_of(quad)
    return crop_word(
        image, as_quad(quad), rectified=True, margin=ROOM * min(width, height) / max(height, 1e-6)
    )


def as_quad(corners: Floats) -> Quad:
    """Return corners (4, 2) as plain numbers."""
    a, b, c, d = ((float(x), float(y)) for x, y in corners)
    return a, b, c, d


def _word(span: Span, quad: Floats) -> Word:
    """Return a span of a line as a word; quad: the line's, from where its text begins, without the
    room around it.
    """
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    width, height = sides_of(quad)
    room = ROOM * min(width, height) / max(width, 1e-6)
    start, end = (float(np.clip(at * (1 + 2 * room) - room, 0, 1)) for at in (span.start, span.end))
    corners = (
        quad[0] + start * top,
        quad[0] + end * top,
        quad[3] + end * bottom,
        quad[3] + start * bottom,
    )
    return Word(
        span.text, as_quad(np.stack(corners)), span.confidence, tuple(map(float, span.characters))
    )


def _whole(reading: Reading) -> list[Span]:
    if not reading.text:
        return []
    characters = np.asarray(reading.character_confidences, dtype=np.float32)
    return [Span(reading.text, reading.confidence, characters, 0.0, 1.0)]


def _mean_confidence(spans: Sequence[Span]) -> float:
    """Return the mean confidence of the characters, a little less for few of them; -1 without
    any.
    """
    values = np.concatenate([span.characters for span in spans]) if spans else np.zeros(0)
    return float(values.sum() / (len(values) + 0.1)) if len(values) else -1.0
