"""Whatever reads, as one thing: words in, readings out, in their order.

`Recognizer`s of any model, a bare network as training scores it, and readings that another program
made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.data.sources.word_sets import LabeledWord
from strhub.errors import UnreadableImage
from strhub.evaluation.predictions import Predictions
from strhub.evaluation.results.measures import gray_of, sharpness_of, slant_of
from strhub.evaluation.results.sample import WordReading

if TYPE_CHECKING:
    import torch

    from strhub.data.module import SceneTextDataModule
    from strhub.data.transforms import WordTransform

__all__ = [
    "NetworkReader",
    "Opened",
    "PredictionsReader",
    "RecognizerReader",
    "WordReader",
    "opened",
]

_AHEAD: Final = 64  # words that are opened before they are read


class Opened(NamedTuple):
    """A word whose image has been opened, or `error` says why not; the measures are None then."""

    word: LabeledWord
    image: Image.Image | None
    slant: float | None = None
    sharpness: float | None = None
    error: str | None = None


class ReadingModel(Protocol):
    """A network that reads tensors; `strhub.checkpoint.scene_text_model.SceneTextModel` is one."""

    @property
    def hparams(self) -> Mapping[str, Any]: ...
    @property
    def charset_adapter(self) -> Callable[[str], str]: ...

    def read(self, images: torch.Tensor) -> Sequence[tuple[str, float, npt.NDArray[np.float32]]]:
        """Return text, confidence and that of each character, of images (B, 3, H, W)."""
        ...

    def eval(self) -> object:
        """Bring it to evaluation mode."""
        ...

    def to(self, device: torch.device | str, /) -> object:
        """Move it to a device."""
        ...


class ImageReading(Protocol):
    """What is read in an image; see `strhub.inference.reading.Reading`."""

    @property
    def text(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def character_confidences(self) -> tuple[float, ...]: ...
    @property
    def rotation(self) -> int: ...
    @property
    def error(self) -> str | None: ...


class ImageReader(Protocol):
    """Anything that reads images, such as `strhub.Recognizer`."""

    def read(self, inputs: Iterator[Image.Image]) -> Iterator[ImageReading]:
        """Yield what is read in each image, in order."""
        ...


class WordReader(Protocol):
    """Anything that reads words.

    description: what it is, fit for JSON: name, kind, what reproduces it; `confidences` is false if
        it gives none.
    """

    @property
    def description(self) -> Mapping[str, Any]: ...

    def read(self, set_name: str, words: Iterable[Opened]) -> Iterator[tuple[Opened, WordReading]]:
        """Yield each word with its reading, in order; words without an image get one with
        `error`.
        """
        ...


def opened(words: Iterable[LabeledWord], *, threads: int = 2) -> Iterator[Opened]:
    """Yield words with their images, opened and measured by threads a little ahead; in order."""
    with ThreadPoolExecutor(threads, thread_name_prefix="strhub-open") as pool:
        waiting: deque[Future[Opened]] = deque()
        for word in words:
            waiting.append(pool.submit(_open, word))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _open(word: LabeledWord) -> Opened:
    try:
        image = word.load()
        gray = gray_of(image)
    except UnreadableImage as error:
        return Opened(word, None, error=str(error))
    return Opened(word, image, slant_of(gray), sharpness_of(gray))


@dataclass
class RecognizerReader:
    """A `strhub.Recognizer`, with all that it does: re-reading, beams, a lexicon."""

    recognizer: ImageReader
    description: Mapping[str, Any]

    def read(self, set_name: str, words: Iterable[Opened]) -> Iterator[tuple[Opened, WordReading]]:
        """See `WordReader`."""
        waiting: deque[Opened] = deque()

        def images() -> Iterator[Image.Image]:
            for word in words:
                waiting.append(word)
                if word.image is not None:
                    yield word.image

        for reading in self.recognizer.read(images()):
            while waiting[0].image is None:
                yield _unread(waiting.popleft())
            one = WordReading(
                reading.text,
                reading.confidence,
                reading.character_confidences,
                reading.rotation,
                reading.error,
            )
            yield waiting.popleft(), one
        while waiting:
            yield _unread(waiting.popleft())


@dataclass
class NetworkReader:
    """A `SceneTextModel` as training and the tables of the field score it: one image size, no
    re-reading.

    transform: of `SceneTextDataModule.get_transform`; batch_size: images at a time.
    """

    model: ReadingModel
    description: Mapping[str, Any]
    transform: WordTransform
    batch_size: int = 64
    device: torch.device | str = "cpu"

    def read(self, set_name: str, words: Iterable[Opened]) -> Iterator[tuple[Opened, WordReading]]:
        """See `WordReader`."""
        import torch

        self.model.eval()
        self.model.to(self.device)
        unused = np.random.default_rng(0)  # nothing is drawn
        remaining = iter(words)
        while batch := list(islice(remaining, self.batch_size)):
            images = [word.image for word in batch if word.image is not None]
            found: Iterator[Any] = iter(())
            if images:
                tensor = self.transform.batch(images, [unused] * len(images))
                with torch.inference_mode():
                    found = iter(self.model.read(tensor.to(self.device)))
            for word in batch:
                if word.image is None:
                    yield _unread(word)
                else:
                    text, confidence, characters = next(found)
                    yield (
                        word,
                        WordReading(
                            text, float(confidence), tuple(float(one) for one in characters)
                        ),
                    )


def network_reader(
    model: ReadingModel,
    data: SceneTextDataModule,
    description: Mapping[str, Any],
    batch_size: int,
    device: torch.device | str,
) -> NetworkReader:
    """Return the reader of a model whose images are prepared as a data module prepares them."""
    transform = data.get_transform(
        data.img_size, False, data.rotation, data.normalize, data.keep_aspect
    )
    return NetworkReader(model, description, transform, batch_size, device)


@dataclass
class PredictionsReader:
    """The readings of a file. `DataError` where they do not fit the words; see `Predictions`."""

    predictions: Predictions
    description: Mapping[str, Any]

    def read(self, set_name: str, words: Iterable[Opened]) -> Iterator[tuple[Opened, WordReading]]:
        """See `WordReader`."""
        for one in words:
            yield (
                one,
                self.predictions.find(set_name, one.word.source, one.word.name, one.word.label),
            )


def _unread(word: Opened) -> tuple[Opened, WordReading]:
    return word, WordReading("", 0.0, error=word.error)
