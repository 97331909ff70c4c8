"""`Spotter`: photographs and pages to their lines and words, found, read and put in order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from strhub.errors import UnreadableImage
from strhub.images.open import open_image
from strhub.images.sources import Taken, is_one_image, name_of, take
from strhub.inference.batches import available_processors
from strhub.inference.onnx_engine import OnnxEngine
from strhub.inference.pipeline import Reader
from strhub.inference.recognizer import EMBEDDED, Recognizer
from strhub.spotting.adapters import as_detector
from strhub.spotting.detector import Detector, EmbeddedDetector
from strhub.spotting.documents import DPI, open_pages
from strhub.spotting.page import Line, Page
from strhub.spotting.reading import LineReader, ReadingOptions, reader_like
from strhub.spotting.reading_order import paragraphs_in_order
from strhub.spotting.regions import Region

_Read = Callable[[Image.Image, Sequence[Region]], list[Line]]

_LARGE = 16_000_000  # pixels above which images are read one at a time
_LANES = 8  # images that are read side by side, at most: each needs the memory of a detector


class Spotter:
    """Read whole images: find lines of text, read their words, put them in order.

    detector: what finds text, an `EmbeddedDetector` by default; see
        `strhub.spotting.adapters.as_detector` for what else there may be.
    reader: what reads, such as a `Recognizer`, or an id or path for one; it must be a CTC model
        whose charset has a space, as `strhub-small` is, for lines to be cut into words. Any other
        reads each region as one word.
    reread, least_confidence, least_alone, turned, word_prior: see
        `strhub.spotting.reading.ReadingOptions`.
    keep_images: keep the image in each page, for `Page.draw`.
    threads: to compute with; by default as many as it may use.

    >>> page = Spotter()("street.jpg")
    >>> page.lines[0].words[0].text
    """

    def __init__(
        self,
        detector: Detector | Any = None,
        reader: Reader | str = EMBEDDED,
        *,
        reread: float = ReadingOptions.reread,
        least_confidence: float = ReadingOptions.least_confidence,
        least_alone: float = ReadingOptions.least_alone,
        turned: bool = ReadingOptions.turned,
        word_prior: bool = ReadingOptions.word_prior,
        keep_images: bool = True,
        threads: int | None = None,
    ) -> None:
        self.options = ReadingOptions(
            reread=reread,
            least_confidence=least_confidence,
            least_alone=least_alone,
            turned=turned,
            word_prior=word_prior,
        )
        self.detector: Detector = (
            EmbeddedDetector(threads=threads) if detector is None else as_detector(detector)
        )
        if isinstance(reader, str):
            # One look at each word: more took twice as long, and read no more of them right.
            reader = Recognizer(reader, threads=threads, reread_below=0)
        self.reader = reader
        self.keep_images = keep_images
        self._read_lines = LineReader(self.reader, self.options)
        self._threads = threads
        self._lanes = min(_LANES, threads or available_processors())

    def __call__(self, image: Any) -> Page:
        """Return the page of one image of any kind that `Recognizer` takes.

        Raises:
            UnreadableImage: if it is none. `read`, for many, does not raise but sets `error`.
        """
        return self._page(take(image), self.detector, self._read_lines)

    def read(self, images: Iterable[Any]) -> Iterator[Page]:
        """Yield the page of each image; one that cannot be opened has `error` set and does not stop
        the others.

        Several are read side by side, each on its own share of the processors.
        """
        images = [images] if is_one_image(images) else images
        alone = isinstance(images, Sequence) and len(images) < 2
        if alone or self._lanes < 2:
            yield from (
                self._page_or_error(take(image), self.detector, self._read_lines)
                for image in images
            )
            return
        find, read = self._side_by_side()
        large = Lock()
        waiting: deque[Future[Page]] = deque()
        with ThreadPoolExecutor(self._lanes, thread_name_prefix="strhub") as pool:
            try:
                for image in images:
                    taken = take(image, copy=not isinstance(images, Sequence))
                    waiting.append(pool.submit(self._page_or_error, taken, find, read, large))
                    if len(waiting) > self._lanes:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def read_document(self, source: Any, *, dpi: float = DPI) -> Iterator[Page]:
        """Yield the pages of a PDF or a TIFF, one after the other; of any other image, its one.

        dpi: in which PDFs are rendered. Pages that are damaged have `error` set.

        Raises:
            UnreadableImage: if the file as a whole cannot be read.
            MissingExtra: for a PDF without pypdfium2, which the extra `spot` brings.
        """
        numbers: deque[int] = deque()

        def images() -> Iterator[Any]:
            for number, _, image in open_pages(source, dpi=dpi):
                numbers.append(number)
                yield image

        name = name_of(source)
        for page in self.read(images()):
            yield replace(page, source=name, number=numbers.popleft())

    def _side_by_side(self) -> tuple[Detector, _Read]:
        """Return what finds and what reads in several threads at once.

        Those of others take one image at a time, so that one finds while the other reads.
        """
        threads = max(1, (self._threads or available_processors()) // self._lanes)
        find: Detector = _OneAtATime(self.detector)
        if isinstance(self.detector, EmbeddedDetector):
            find = self.detector.with_threads(threads)
        read: _Read = _OneAtATime(self._read_lines)
        engine = self.reader.engine
        if isinstance(engine, OnnxEngine) and engine.lanes > 1:
            read = LineReader(reader_like(self.reader, engine.side_by_side_engine()), self.options)
        return find, read

    def _page_or_error(
        self, taken: Taken, find: Detector, read: _Read, large: Lock | None = None
    ) -> Page:
        try:
            return self._page(taken, find, read, large)
        except UnreadableImage as error:
            return Page((), (0, 0), source=taken.name, error=str(error))

    def _page(self, taken: Taken, find: Detector, read: _Read, large: Lock | None = None) -> Page:
        """Return the page of an image. large: held while a large one is in memory."""
        with ExitStack() as held:

            def wait_if_large(width: int, height: int) -> None:
                if large is not None and width * height > _LARGE:
                    held.enter_context(large)

            image = open_image(taken.source, on_size=wait_if_large)
            lines = read(image, find(image))
        rotation = _rotation_of(lines)
        kept = image if self.keep_images else None
        return Page(
            paragraphs_in_order(lines, rotation), image.size, rotation, taken.name, image=kept
        )


class _OneAtATime:
    """A callable that is called by one thread at a time."""

    def __init__(self, called: Callable[..., Any]) -> None:
        self._called = called
        self._lock = Lock()

    def __call__(self, *args: Any) -> Any:
        with self._lock:
            return self._called(*args)


def _rotation_of(lines: Sequence[Line]) -> int:
    """Return the rotation of most characters: how the text runs in the image, and how it was turned
    to be read.
    """
    votes: Counter[int] = Counter()
    for line in lines:
        (x0, y0), (x1, y1), *_ = line.quad
        angle = np.degrees(np.arctan2(y1 - y0, x1 - x0))  # clockwise as seen, since y runs down
        votes[round(float(angle) / 90) % 4 * 90] += len(line.text)
    return votes.most_common(1)[0][0] if votes else 0
