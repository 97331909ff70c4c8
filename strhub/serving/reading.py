"""The models that are served: their names, and what reads with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from strhub.errors import ConfigError, UnreadableImage
from strhub.inference.lines import LineReading, line_engine
from strhub.inference.onnx_engine import OnnxEngine
from strhub.inference.pipeline import Reader
from strhub.inference.reading import Engine, Reading
from strhub.inference.recognizer import Recognizer
from strhub.serving.batching import Queue
from strhub.serving.options import ServeOptions
from strhub.serving.refusals import Refusal
from strhub.spotting.detector import EmbeddedDetector
from strhub.spotting.page import Page
from strhub.spotting.reading import reader_like
from strhub.spotting.spotter import Spotter

__all__ = ["DECODINGS", "ServedModel", "served_models"]

DECODINGS: Final[dict[str, dict[str, Any]]] = {
    "default": {},  # doubtful words are read again, where the model gains by that
    "single": {"reread_below": 0.0},  # each is read once
    "search": {"top_k": 5},  # with alternatives
    "lines": {"lines": True},  # of several words
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,63}")


@dataclass
class _Reading:
    """What reads, and how many threads may call it at once."""

    reader: Reader
    lanes: int


class ServedModel:
    """A model by its name, with a queue for each way of reading, made when it is first used.

    source: an id, a path, or `<name>=<id or path>`.
    """

    def __init__(self, source: str, options: ServeOptions) -> None:
        name, equals, rest = source.partition("=")
        named = bool(equals) and name != "pretrained"
        self.source = rest if named else source
        self.name = name if named else _name_of(source)
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} is not a name for a model: use letters, digits and dots, as in "
                "mine=path/to/model.ckpt"
            )
        self._options = options
        self._lock = Lock()
        self._readings: dict[str, _Reading] = {}
        self._queues: dict[str, Queue] = {}
        self._open("default")

    @property
    def engine(self) -> Engine:
        """Return what computes, as it reads by default."""
        return self._readings["default"].reader.engine

    @property
    def decodings(self) -> tuple[str, ...]:
        """Return the ways in which it reads words."""
        lines = line_engine(self.engine) is not None
        return tuple(name for name in DECODINGS if name != "lines" or lines)

    def reading_queue(self, decoding: str) -> Queue:
        """Return the queue of words that are to be read in a way.

        Raises:
            Refusal: 422 for a way that it does not have.
        """
        if decoding not in self.decodings:
            known = ", ".join(self.decodings)
            raise Refusal(
                422, "unknown_decoding", f"there is no such decoding of {self.name}; known: {known}"
            )
        with self._lock:
            if decoding not in self._queues:
                opened = self._open(decoding)
                self._queues[decoding] = Queue(
                    "read",
                    lambda sources: read_images(opened.reader, sources),
                    opened.lanes,
                    self._options.batch_size,
                    self._options.max_queue,
                )
            return self._queues[decoding]

    def spotting_queue(self) -> Queue:
        """Return the queue of photographs."""
        with self._lock:
            if "spot" not in self._queues:
                opened = self._open("single")
                threads = max(1, self._options.processors // opened.lanes)
                detector = EmbeddedDetector(threads=threads)
                spotter = Spotter(detector, opened.reader, keep_images=False)
                self._queues["spot"] = Queue(
                    "spot",
                    lambda sources: [spot_image(spotter, one) for one in sources],
                    opened.lanes,
                    1,
                    self._options.max_queued_photos,
                )
            return self._queues["spot"]

    def _open(self, decoding: str) -> _Reading:
        if decoding not in self._readings:
            recognizer = Recognizer(
                self.source,
                device=self._options.device,
                threads=self._options.threads,
                batch_size=self._options.batch_size,
                **DECODINGS[decoding],
            )
            self._readings[decoding] = side_by_side(recognizer)
        return self._readings[decoding]


def side_by_side(recognizer: Recognizer) -> _Reading:
    """Return what several threads may read with at once, each on its share of the processors; what
    cannot be shared is for one thread at a time.
    """
    engine: Any = recognizer.engine
    lined = isinstance(engine, LineReading)
    inner: Any = engine.words if lined else engine
    if not (isinstance(inner, OnnxEngine) and inner.lanes > 1):
        return _Reading(recognizer, 1)
    one: Any = inner.side_by_side_engine()
    return _Reading(reader_like(recognizer, LineReading(one) if lined else one), inner.lanes)


def read_images(reader: Reader, sources: Sequence[bytes | UnreadableImage]) -> list[Reading]:
    """Return the readings of images; of those that could not be had, with `error` set."""
    readings = iter(reader([one for one in sources if isinstance(one, bytes)]))
    return [
        next(readings) if isinstance(one, bytes) else Reading("", 0.0, error=str(one))
        for one in sources
    ]


def spot_image(spotter: Spotter, source: bytes | UnreadableImage) -> Page:
    """Return the page of an image; of one that cannot be read, with `error` set."""
    try:
        if isinstance(source, UnreadableImage):
            raise source
        return spotter(source)
    except UnreadableImage as error:
        return Page((), (0, 0), error=str(error))


def served_models(options: ServeOptions) -> dict[str, ServedModel]:
    """Return the models by their names, loaded, the default one first.

    Raises:
        ConfigError: if two have the same name.
        ValueError: if one cannot be loaded.
    """
    models: dict[str, ServedModel] = {}
    for source in options.models:
        model = ServedModel(source, options)
        if model.name in models:
            raise ConfigError(
                f"two models are called {model.name}: name one, as in other={model.source}"
            )
        models[model.name] = model
    return models


def _name_of(source: str) -> str:
    plain = source.removeprefix("pretrained=").partition("#")[0]
    return Path(plain).stem if Path(plain).suffix in (".ckpt", ".pt", ".onnx") else plain
