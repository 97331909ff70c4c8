"""What every reader shares, with PyTorch or without: images in any form to readings, in batches.

NumPy and Pillow only. A reader prepares the images, in threads beside the model; an engine is the
model.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from strhub.images.open import UnreadableImage
from strhub.images.preprocess import (
    Pixels,
    image_to_kept_pixels,
    image_to_pixels,
    normalization,
)
from strhub.images.sources import Taken, is_one_image, take
from strhub.inference.batches import available_processors, in_batches, taken_batches, thread_pool
from strhub.inference.engine import Decode, Engine
from strhub.inference.further_looks import FurtherLooks
from strhub.inference.preparation import SPARE, Preparation, Prepared
from strhub.inference.reading import Reading, reading_of
from strhub.inference.rereading import DOUBT, conclude
from strhub.inference.rereading import Decoded as Decoded
from strhub.inference.rereading import ViewReading as ViewReading
from strhub.inference.rereading import surest_rotation as surest_rotation
from strhub.utils.processes import PerProcess

REREAD_BELOW = DOUBT  # confidence below which a word is looked at again, by default
_AHEAD = 2  # batches that are prepared, or read, while another one is waited for
_SMALLEST_PART = 4  # images that a thread reads alone, at least
# images that a thread prepares at a time: handing over each would cost as much as a small image
_CHUNK = 8


_Waiting = list[Future[list[Prepared | UnreadableImage]]]


class Reader(Preparation):
    """Images to readings, in batches. An input that cannot be read gets a `Reading` with `error`
    set.

    batch_size: images at a time, in each of the engine's lanes. workers: threads that prepare
    images while the model reads, if it has but one lane; by default as many as there are
    processors, at most 4. turn_tall: read images over 1.5 times as high as wide upright and on
    either side, and keep the surest reading, so that words that run up or down are read; a single
    character is never turned. Unless `reread_below` is 0, doubtful ones are also read as a column
    of letters one above the other. reread_below: what is read with less confidence than that, in
    [0, 1], is looked at in other ways, too (see `strhub.inference.further_looks`), and the text
    kept for which most speaks, with its confidence corrected (see `strhub.inference.rereading`);
    0: never; by default what the model's file says, else 0.7, and 0 where the aspect is kept, since
    of lines as long as such models read none is sure. upside_down: then look at it turned by 180
    degrees, too.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        batch_size: int,
        workers: int | None = None,
        turn_tall: bool = True,
        reread_below: float | None = None,
        upside_down: bool = False,
    ) -> None:
        for name, value in (
            ("batch_size", batch_size),
            ("workers", 1 if workers is None else workers),
        ):
            if value < 1:
                raise ValueError(f"{name} is {value}: it must be at least 1")
        if reread_below is None:
            usual = 0.0 if engine.keep_aspect else REREAD_BELOW
            reread_below = usual if engine.reread_below is None else engine.reread_below
        if not 0 <= reread_below <= 1:
            raise ValueError(
                f"reread_below is {reread_below}: it must be a confidence, from 0 (never) to 1"
            )
        self.engine = engine
        self.batch_size = batch_size
        self.turn_tall = turn_tall
        self.upside_down = upside_down
        self.reread_below = float(reread_below)
        self._further_looks = FurtherLooks(
            below=self.reread_below,
            height=int(engine.img_size[0]),
            keep_aspect=engine.keep_aspect,
            upside_down=upside_down,
        )
        self.correction, self.calibration = engine.correction, engine.calibration
        self.workers = min(4, available_processors()) if workers is None else workers
        self._one_large = PerProcess(threading.Lock)
        self._one_large.get()  # before there are threads
        self._img_size = (int(engine.img_size[0]), int(engine.img_size[1]))
        self._normalize = normalization(engine.normalize)
        self._to_pixels: Callable[..., Pixels] = (
            image_to_kept_pixels if engine.keep_aspect else image_to_pixels
        )
        # How large a JPEG has to be decoded. Where the aspect is kept, its exact size decides on
        # the width.
        height, width = self._img_size
        self._at_least = None if engine.keep_aspect else (SPARE * width, SPARE * height)

    @property
    def precision(self) -> str:
        """Return what is computed in, such as "float32"; of an exported file, what it was exported
        in.
        """
        return self.engine.precision

    def __call__(self, inputs: Any) -> list[Reading]:
        """Return the readings of images of any kind, in any mix and number, in their order; of one,
        a list of one.

        Paths, addresses, bytes, file objects, PIL images and arrays: see
        `strhub.images.open_image`. Nothing raises for a bad input: its reading has `error` set.
        """
        return list(self.read(inputs))

    def view_readings(self, inputs: Sequence[Any]) -> Iterator[list[ViewReading]]:
        """Yield the looks at each image, the first one first; none of an image that cannot be
        opened.

        `read` concludes from them; fitting its correction needs them as they are.
        """
        for part in taken_batches(inputs, self.batch_size, copy=False):
            for found in self._view_readings(part, self._prepare(part), self.engine.decode):
                yield [] if isinstance(found, UnreadableImage) else found

    def read(self, inputs: Any) -> Iterator[Reading]:
        """Yield the same, one after the other as batches are done, from any iterable.

        An iterator is asked for no more than the batch that is to be read, and may yield the same
        object again with other pixels; of lists, a few batches are read ahead. The caller's PIL
        images stay as they are.
        """
        inputs = [inputs] if is_one_image(inputs) else inputs
        count = len(inputs) if isinstance(inputs, Sequence) else None
        if count == 1:
            yield from self._read_part([take(inputs[0])], self.engine.decode)
        elif self.engine.lanes > 1 and (count is None or count >= 2 * _SMALLEST_PART):
            yield from self._read_side_by_side(inputs, count)
        else:
            yield from self._read_ahead(inputs, count)

    def _read_side_by_side(self, inputs: Iterable[Any], count: int | None) -> Iterator[Reading]:
        """Read in several threads, each of which prepares a batch and has it read on its share of
        the processors. So nothing waits for the slowest thread at every operator, and a batch ends
        when its own texts do.
        """
        lanes = self.engine.lanes
        size = (
            self.batch_size
            if count is None
            else min(self.batch_size, max(_SMALLEST_PART, -(-count // lanes)))
        )
        with self.engine.side_by_side() as decode, thread_pool(lanes) as pool:
            waiting: deque[Future[list[Reading]]] = deque()
            for batch in taken_batches(inputs, size, copy=count is None):
                size_of_part = (
                    size if count is not None else max(_SMALLEST_PART, -(-len(batch) // lanes))
                )
                waiting += [
                    pool.submit(self._read_part, part, decode)
                    for part in in_batches(batch, size_of_part)
                ]
                while waiting and (count is None or len(waiting) > _AHEAD * lanes):
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()

    def _read_part(self, images: Sequence[Taken], decode: Decode) -> list[Reading]:
        return self._finish(images, self._prepare(images), decode)

    def _read_ahead(self, inputs: Iterable[Any], count: int | None) -> Iterator[Reading]:
        """Prepare images in threads, and have them read in this one. Lists are prepared ahead of
        the model.
        """
        with thread_pool(self.workers) as pool:
            waiting: deque[tuple[list[Taken], _Waiting]] = deque()
            for batch in taken_batches(inputs, self.batch_size, copy=count is None):
                waiting.append(
                    (
                        batch,
                        [pool.submit(self._prepare, part) for part in in_batches(batch, _CHUNK)],
                    )
                )
                if count is None or len(waiting) > _AHEAD:
                    yield from self._finish_next(waiting)
            while waiting:
                yield from self._finish_next(waiting)

    def _finish_next(self, waiting: deque[tuple[list[Taken], _Waiting]]) -> list[Reading]:
        batch, parts = waiting.popleft()
        return self._finish(
            batch, [prepared for part in parts for prepared in part.result()], self.engine.decode
        )

    def _finish(
        self,
        inputs: Sequence[Taken],
        prepared: Sequence[Prepared | UnreadableImage],
        decode: Decode,
    ) -> list[Reading]:
        view_readings = self._view_readings(inputs, prepared, decode)
        return [
            self._reading(found, source.name)
            for found, source in zip(view_readings, inputs, strict=True)
        ]

    def _view_readings(
        self,
        inputs: Sequence[Taken],
        prepared: Sequence[Prepared | UnreadableImage],
        decode: Decode,
    ) -> list[list[ViewReading] | UnreadableImage]:
        arrays = [
            array
            for one in prepared
            if not isinstance(one, UnreadableImage)
            for array in one.views.values()
        ]
        decoded = iter(decode(arrays) if arrays else [])
        view_readings: list[list[ViewReading] | UnreadableImage] = []
        for one in prepared:
            if isinstance(one, UnreadableImage):
                view_readings.append(one)
            else:
                found = {turn: next(decoded) for turn in one.views}
                turn = surest_rotation(found)
                view_readings.append([ViewReading(turn, found[turn])])
        self._reread(inputs, prepared, view_readings, decode)
        return view_readings

    def _reread(
        self,
        inputs: Sequence[Taken],
        prepared: Sequence[Prepared | UnreadableImage],
        view_readings: Sequence[list[ViewReading] | UnreadableImage],
        decode: Decode,
    ) -> None:
        """Add further looks to doubtful ones. Images that were not kept are opened again."""
        views: list[
            tuple[int, ViewReading, Pixels]
        ] = []  # index of the image, the look without its text, and what it sees
        for index, (one, found) in enumerate(zip(prepared, view_readings, strict=True)):
            if isinstance(one, UnreadableImage) or isinstance(found, UnreadableImage):
                continue
            doubts = self._further_looks.doubts(found[0], tall=len(one.views) > 1)
            if any(doubts):
                with (
                    suppress(UnreadableImage, MemoryError),
                    self._opened_again(one.image, inputs[index].source) as source,
                ):  # a file may be gone
                    for look, view in self._further_looks(found[0], source, doubts):
                        views.append((index, look, self._scaled(view)))
        for part in in_batches(views, self.batch_size):
            decoded = decode(list(self._normalize_pixels([pixels for *_, pixels in part])))
            for (index, view_reading, _), text in zip(part, decoded, strict=True):
                known, look = view_readings[index], view_reading._replace(decoded=text)
                assert not isinstance(known, UnreadableImage)
                if look.counts:
                    known.append(look)

    def _reading(
        self, view_readings: Sequence[ViewReading] | UnreadableImage, source: str | None
    ) -> Reading:
        if isinstance(view_readings, UnreadableImage):
            return Reading("", 0.0, source=source, error=str(view_readings))
        chosen = conclude(view_readings, self.correction)
        decoded = chosen.decoded
        decoded = decoded.called(self.calibration(decoded.confidence, decoded.text))
        return reading_of(decoded, chosen.rotation, source)
