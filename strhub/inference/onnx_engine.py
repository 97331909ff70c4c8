"""`Recognizer` of exported models: images of words to readings without PyTorch.

    from strhub.inference.onnx_engine import Recognizer
    readings = Recognizer("model.onnx")(["a.png", "b.jpg"])

In: an ONNX file written by `export.py`, which says all about itself. NumPy, Pillow and onnxruntime
    only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from strhub.errors import CheckpointError
from strhub.inference.beam_search import beam_search
from strhub.inference.engine import Decode, ImageArray, NetworkEngine
from strhub.inference.onnx_description import (
    IMAGES,
    LOGITS,
    check_graph,
    read_description,
)
from strhub.inference.onnx_session import available_threads, identity, open_session, reason
from strhub.inference.pipeline import Reader
from strhub.inference.reading import Reading
from strhub.text.decoding import Decoded, Decoding, as_array
from strhub.text.tokenizer import TOKENIZERS, Tokenizer
from strhub.utils.processes import PerProcess

__all__ = ["OnnxEngine", "Reading", "Recognizer", "tokenizer_of"]

_LANES = 8  # each holds the numbers between layers of a batch


class Recognizer(Reader):
    """Read words with an exported model; used as `strhub.Recognizer` is.

    model: an .onnx file. device: "cpu" or "cuda"; by default the fastest that the installed
        onnxruntime offers.
    batch_size: images at a time; turn_tall, reread_below: as for `Reader`. threads: to compute
    with; by default OMP_NUM_THREADS, else the processors that this process may use. search: options
    of `strhub.inference.beam_search.Search`, such as top_k or a lexicon, of the texts that the
    logits allow. How it decodes otherwise was settled when the file was written. `description`:
    what the file says.

    Raises:
        ValueError: for a file that is not there, damaged, not of strhub, or too new for the
            installed packages.
        ImportError: without onnxruntime.
    """

    engine: OnnxEngine

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | None = None,
        batch_size: int = 32,
        turn_tall: bool = True,
        reread_below: float | None = None,
        threads: int | None = None,
        **search: Any,
    ) -> None:
        engine = OnnxEngine(model, device=device, threads=threads, **search)
        super().__init__(
            engine, batch_size=batch_size, turn_tall=turn_tall, reread_below=reread_below
        )

    @property
    def description(self) -> dict[str, Any]:
        """Return what the file says about itself."""
        return self.engine.description


class OnnxEngine(NetworkEngine):
    """Sessions of ONNX Runtime and how their numbers are read; arguments and errors are those of
    `Recognizer`.

    A few images are computed by all threads together. For many there is a second session, made when
    it is needed, that computes on a fraction of the threads and is called by several at once. If
    the file has gone or been replaced by then, the first one serves all.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | None = None,
        threads: int | None = None,
        **search: Any,
    ) -> None:
        self._model, self._threads = Path(model), threads or available_threads()
        self._file = identity(self._model)  # before it is opened
        self.description = read_description(model)
        self._tried = [3, *self.description["img_size"]]
        session = open_session(model, device=device, threads=threads, tried=self._tried)
        check_graph(session, self.description, model)
        self._alone = PerProcess(partial(self._opened, device=device, threads=threads), session)
        self._shared = PerProcess(self._open_shared)
        self._adopt_description(search)
        self._on_cpu = session.get_providers() == ["CPUExecutionProvider"]
        self._lanes = min(self._threads, _LANES) if self._on_cpu else 1

    def _adopt_description(self, search: Mapping[str, Any]) -> None:
        """Set what reading asks of an engine from what the file says of itself."""
        self.adopt(self.description)
        self.precision = str(self.description.get("precision", "float32"))
        self.padding: Sequence[int] | None = self.description.get("padding")
        tokenizer = tokenizer_of(self.description, self._model)
        self.search = beam_search(tokenizer, search)
        self._decoding = Decoding(
            tokenizer,
            temperature=float(self.description.get("temperature", 1.0)),
            word_prior=int(self.description.get("decoding", {}).get("word_prior", 0)),
            search=self.search,
            source=str(self._model),
        )

    def own_decoding(self) -> Decoding:
        """Return how its logits are read, as the file says."""
        return self._decoding

    @property
    def lanes(self) -> int:
        """See `Engine`."""
        return self._lanes

    @property
    def device_name(self) -> str:
        """See `Engine`."""
        return "cpu" if self._on_cpu else "cuda"

    @property
    def session(self) -> Any:
        """Return ONNX Runtime's session, for all threads; a forked child and an unpickled copy open
        one of their own.
        """
        return self._alone.get()

    def decode(self, arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
        """See `Engine`."""
        return self._decode(self.session, arrays)

    def probabilities(self, arrays: Sequence[ImageArray]) -> list[ImageArray]:
        """See `NetworkEngine`."""
        found: dict[int, ImageArray] = {}
        for indices, logits in self._computed(self.session, arrays):
            probabilities = as_array(self.decoding.probabilities(logits))
            found.update(zip(indices, probabilities, strict=True))
        return [found[index] for index in range(len(arrays))]

    @contextmanager
    def side_by_side(self) -> Iterator[Decode]:
        """See `Engine`."""
        yield partial(self._decode, self._shared.get())

    def side_by_side_engine(self) -> OnnxEngine:
        """Return the same engine for several threads at once, each on a fraction of the
        processors.
        """
        one = copy(self)
        one._alone, one._lanes = self._shared, 1
        return one

    def _opened(self, *, device: str | None, threads: int | None) -> Any:
        """Open the file once more; `ValueError` if it is another model's by now."""
        if read_description(self._model) != self.description:
            raise CheckpointError(
                f"{self._model} holds another model than when this reader was made: make a new one"
            )
        session = open_session(self._model, device=device, threads=threads, tried=self._tried)
        check_graph(session, self.description, self._model)
        return session

    def _open_shared(self) -> Any:
        # another model may be there by now, with other letters
        if identity(self._model) != self._file:
            return self.session
        threads = self._threads // self._lanes
        return open_session(self._model, device="cpu", threads=threads, tried=self._tried)

    def _logits(self, session: Any, images: ImageArray) -> ImageArray:
        """Map images (B, 3, H, W) to logits (B, L, C); `CheckpointError` if the graph returns
        anything else.
        """
        try:
            logits: ImageArray = session.run([LOGITS], {IMAGES: images})[0]
        except CheckpointError:
            raise
        except Exception as error:  # of many kinds, all of onnxruntime's own
            raise CheckpointError(
                f"{self._model} cannot be computed: {reason(error)[:300]}"
            ) from error
        return self._checked(logits, len(images))

    def _checked(self, logits: ImageArray, count: int) -> ImageArray:
        """Return logits of so many images; `CheckpointError` if they are of another shape."""
        if (
            logits.ndim != 3
            or len(logits) != count
            or not 1 <= logits.shape[2] <= len(self.tokenizer)
        ):
            raise CheckpointError(
                f"{self._model} does not return what its description says; export it again"
            )
        return logits

    def _computed(
        self, session: Any, arrays: Sequence[ImageArray]
    ) -> Iterator[tuple[list[int], ImageArray]]:
        """Yield the indices of arrays (3, H, W) of one shape, and their logits (B, L, C)."""
        # as the network does it itself, but so that more of them have one shape
        if self.padding is not None:
            arrays = [padded(array, *self.padding) for array in arrays]
        for indices in group_by_shape(arrays):
            yield indices, self._logits(session, np.stack([arrays[index] for index in indices]))

    def _decode(self, session: Any, arrays: Sequence[ImageArray]) -> Sequence[Decoded]:
        decoded: dict[int, Decoded] = {}
        for indices, logits in self._computed(session, arrays):
            decoded.update(zip(indices, self.decoding(logits), strict=True))
        return [decoded[index] for index in range(len(arrays))]


def tokenizer_of(description: dict[str, Any], model: str | Path) -> Tokenizer:
    """Return the tokenizer that a description names; `CheckpointError` for one that this strhub
    does not have.
    """
    kind = description["tokenizer"]
    if kind not in TOKENIZERS:
        raise CheckpointError(
            f"{model} needs the tokenizer {kind!r}, which this strhub does not have: update strhub"
        )
    return TOKENIZERS[kind](description["charset"])


def padded(array: ImageArray, least: int, step: int) -> ImageArray:
    """Return an array (3, H, W) with zeros on the right, at least so wide and a multiple of
    `step`.
    """
    width = array.shape[2]
    missing = -(-max(width, least) // step) * step - width
    return np.pad(array, ((0, 0), (0, 0), (0, missing))) if missing else array


def group_by_shape(arrays: Sequence[Any]) -> list[list[int]]:
    """Return the indices of equally shaped arrays, a list for each shape: only those can be
    computed together.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, array in enumerate(arrays):
        groups.setdefault(array.shape, []).append(index)
    return list(groups.values())
