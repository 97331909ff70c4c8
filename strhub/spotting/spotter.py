"""`Spotter`: photographs and pages to their lines and words, found, read and put in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from PIL import Image

from strhub.errors import ConfigError, DataError, UnreadableImage
from strhub.images.crops import crop_word
from strhub.images.open import open_image
from strhub.images.sources import is_one_image
from strhub.inference.lines import LineEngine, Span, read_lines
from strhub.inference.onnx_engine import OnnxEngine
from strhub.inference.recognizer import Reading, Recognizer
from strhub.spotting.detector import Detector, EmbeddedDetector
from strhub.spotting.page import Line, Page, Quad, Word
from strhub.spotting.reading_order import paragraphs_in_order
from strhub.spotting.regions import Floats, Region, sides_of
from strhub.text.tokenizer import CTCTokenizer
from strhub.weights import EMBEDDED

_ROOM = 0.27  # of a line's height, that is read around its outline
_TALL = 1.5  # height over width from which a line may run up or down
_TURNS = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


class Spotter:
    """Read whole images: find lines of text, read their words, put them in order.

    detector: what finds text, an `EmbeddedDetector` by default; any callable from an RGB image to regions will do.
    reader: what reads, a `Recognizer`, or an id or path for one; it must be a CTC model whose charset has a space, as
        `strhub-small` is, for lines to be cut into words. Any other reads each region as one word.
    reread: words of less confidence are read again by themselves, and the surer reading kept; 0: never.
    least_confidence: words of less are left out.
    turned: read doubtful lines upside down, too, so that turned pages are read.
    keep_images: keep the image in each page, for `Page.draw`.
    threads: to compute with; by default as many as it may use.

    >>> page = Spotter()("street.jpg")
    >>> page.lines[0].words[0].text
    """

    def __init__(
        self,
        detector: Detector | None = None,
        reader: Recognizer | str = EMBEDDED,
        *,
        reread: float = 0.8,
        least_confidence: float = 0.2,
        turned: bool = True,
        keep_images: bool = True,
        threads: int | None = None,
    ) -> None:
        for name, value in (("reread", reread), ("least_confidence", least_confidence)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}: it is a confidence, from 0 to 1")
        self.detector: Detector = EmbeddedDetector(threads=threads) if detector is None else detector
        self.reader = Recognizer(reader, threads=threads) if isinstance(reader, str) else reader
        self.reread, self.least_confidence = reread, least_confidence
        self.turned, self.keep_images = turned, keep_images
        engine = self.reader.engine
        self._line_engine: LineEngine | None = None
        if isinstance(engine, OnnxEngine) and isinstance(engine.tokenizer, CTCTokenizer) and engine.keep_aspect:
            self._line_engine = cast(LineEngine, engine) if " " in engine.tokenizer.charset else None

    def __call__(self, image: Any) -> Page:
        """Return the page of one image of any kind that `Recognizer` takes.

        Raises:
            UnreadableImage: if it is none. `read`, for many, does not raise but sets `error`.
        """
        return self._page(open_image(image), _name(image))

    def read(self, images: Iterable[Any]) -> Iterator[Page]:
        """Yield the page of each image; one that cannot be opened has `error` set and does not stop the others."""
        for image in [images] if is_one_image(images) else images:
            try:
                yield self(image)
            except UnreadableImage as error:
                yield Page((), (0, 0), source=_name(image), error=str(error))

    def _page(self, image: Image.Image, source: str | None) -> Page:
        lines = self._lines(image, self.detector(image))
        rotation = _rotation_of(lines)
        return Page(
            paragraphs_in_order(lines, rotation),
            image.size,
            rotation,
            source,
            image=image if self.keep_images else None,
        )

    def _lines(self, image: Image.Image, regions: Sequence[Region]) -> list[Line]:
        quads, crops = [], []
        for region in regions:
            quad = np.asarray(region.quad, dtype=np.float32)
            try:
                crops.append(_crop(image, quad))
            except DataError:  # it has no area, or lies outside
                continue
            quads.append(quad)
        lines = []
        for quad, (rotation, spans) in zip(quads, self._read_crops(crops), strict=True):
            if spans:
                begun = np.roll(quad, -(rotation // 90), axis=0)  # from the corner where its text begins
                words = tuple(_word(span, begun) for span in spans)
                lines.append(Line(words, _as_quad(begun), rotation))
        lines = self._reread(image, lines) if self.reread else lines
        kept = []
        for line in lines:
            words = tuple(word for word in line.words if word.confidence >= self.least_confidence)
            if words:
                kept.append(replace(line, words=words))
        return kept

    def _read_crops(self, crops: Sequence[Image.Image]) -> list[tuple[int, list[Span]]]:
        """Return for each crop of a line by how many degrees it was turned, and its words then."""
        if self._line_engine is None:
            return [(reading.rotation // 90 * 90, _whole(reading)) for reading in self.reader(list(crops))]
        views: list[tuple[int, int, Image.Image]] = []
        for index, crop in enumerate(crops):
            if crop.height > _TALL * crop.width:
                views += [(index, turn, crop.transpose(_TURNS[turn])) for turn in (90, 270)]
            views.append((index, 0, crop))
        best: dict[int, tuple[float, int, list[Span]]] = {}
        self._keep_best(best, views)
        if self.turned:
            doubtful = [index for index, (sure, turn, _) in best.items() if turn == 0 and sure < self.reread]
            again = [(index, 180, crops[index].transpose(_TURNS[180])) for index in doubtful]
            self._keep_best(best, again)
        return [best[index][1:] for index in range(len(crops))]

    def _keep_best(
        self, best: dict[int, tuple[float, int, list[Span]]], views: Sequence[tuple[int, int, Image.Image]]
    ) -> None:
        assert self._line_engine is not None
        for (index, turn, _), spans in zip(
            views, read_lines(self._line_engine, [view for *_, view in views]), strict=True
        ):
            sure = _mean_confidence(spans)
            if index not in best or sure > best[index][0]:
                best[index] = sure, turn, spans

    def _reread(self, image: Image.Image, lines: Sequence[Line]) -> list[Line]:
        """Return the lines with doubtful words read again by themselves, where that is surer."""
        doubtful = [(n, w) for n, line in enumerate(lines) for w, word in enumerate(line.words)
                    if word.confidence < self.reread and len(line.words) > 1]  # fmt: skip
        words = [list(line.words) for line in lines]
        crops = [_crop(image, np.asarray(lines[n].words[w].quad, dtype=np.float32)) for n, w in doubtful]
        for (n, w), reading in zip(doubtful, self.reader(crops) if crops else (), strict=True):
            found = _one_word(reading)
            if found is not None and found[1] > words[n][w].confidence and not reading.rotation:
                words[n][w] = replace(words[n][w], text=found[0], confidence=found[1], character_confidences=found[2])
        return [replace(line, words=tuple(own)) for line, own in zip(lines, words, strict=True)]


def _one_word(reading: Reading) -> tuple[str, float, tuple[float, ...]] | None:
    """Return text, confidence and those of the characters, without spaces around; None for no word or several.

    There is some room around a word that is read again, so the next word's first letter may be in it.
    """
    text = reading.text.strip(" ")
    if not text or " " in text:
        return None
    start = len(reading.text) - len(reading.text.lstrip(" "))
    return text, reading.confidence, tuple(reading.character_confidences[start : start + len(text)])


def _crop(image: Image.Image, quad: Floats) -> Image.Image:
    """Return what is within a quadrilateral, straightened, with some room of its shorter side around it."""
    width, height = sides_of(quad)
    return crop_word(image, _as_quad(quad), rectified=True, margin=_ROOM * min(width, height) / max(height, 1e-6))


def _word(span: Span, quad: Floats) -> Word:
    """Return a span of a line as a word; quad: the line's, from where its text begins, without the room around it."""
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    width, height = sides_of(quad)
    room = _ROOM * min(width, height) / max(width, 1e-6)
    start, end = (float(np.clip(at * (1 + 2 * room) - room, 0, 1)) for at in (span.start, span.end))
    corners = (quad[0] + start * top, quad[0] + end * top, quad[3] + end * bottom, quad[3] + start * bottom)
    return Word(span.text, _as_quad(np.stack(corners)), span.confidence, tuple(map(float, span.characters)))


def _as_quad(corners: Floats) -> Quad:
    a, b, c, d = ((float(x), float(y)) for x, y in corners)
    return a, b, c, d


def _whole(reading: Any) -> list[Span]:
    if not reading.text:
        return []
    characters = np.asarray(reading.character_confidences, dtype=np.float32)
    return [Span(reading.text, reading.confidence, characters, 0.0, 1.0)]


def _mean_confidence(spans: Sequence[Span]) -> float:
    """Return the mean confidence of the characters, a little less for few of them; -1 without any."""
    values = np.concatenate([span.characters for span in spans]) if spans else np.zeros(0)
    return float(values.sum() / (len(values) + 0.1)) if len(values) else -1.0


def _rotation_of(lines: Sequence[Line]) -> int:
    """Return the rotation of most characters: how the text runs in the image, and how it was turned to be read."""
    votes: Counter[int] = Counter()
    for line in lines:
        (x0, y0), (x1, y1), *_ = line.quad
        angle = np.degrees(np.arctan2(y1 - y0, x1 - x0))  # clockwise as seen, since y runs down
        votes[round(float(angle) / 90) % 4 * 90] += len(line.text)
    return votes.most_common(1)[0][0] if votes else 0


def _name(image: Any) -> str | None:
    return str(image) if isinstance(image, str) or hasattr(image, "__fspath__") else None
