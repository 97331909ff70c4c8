"""`Recognizer` of exported models: pictures of words to readings without PyTorch.

    from strhub.inference.onnx_engine import Recognizer
    readings = Recognizer("model.onnx")(["a.png", "b.jpg"])

In: an ONNX file written by `export.py`, which says all about itself. NumPy, Pillow and onnxruntime only.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from strhub.images.options import image_options
from strhub.inference.beam_search import beam_search
from strhub.inference.pipeline import Decode, Decoded, PictureArray, Reader, Reading, available_processors
from strhub.text.tokenizer import AttentionTokenizer, CTCTokenizer, Tokenizer
from strhub.utils.telemetry import import_onnxruntime

__all__ = ["OnnxEngine", "Reading", "Recognizer"]

FORMAT = 1  # of the metadata; a reader takes files of its own format and older ones
METADATA_KEY = "strhub"
IMAGES, LOGITS = "images", "logits"  # names of the graph's input and output

_TOKENIZERS: dict[str, type[Tokenizer]] = {"attention": AttentionTokenizer, "ctc": CTCTokenizer}
_LARGEST_HEADER = 100 << 20  # bytes
_LANES = 8  # each holds the numbers between layers of a batch
_NEEDED = ("architecture", "tokenizer", "charset", "img_size", "normalize")


class Recognizer(Reader):
    """Read words with an exported model; used as `strhub.Recognizer` is.

    model: an .onnx file. device: "cpu" or "cuda"; by default the fastest that the installed onnxruntime offers.
    batch_size: pictures at a time; turn_tall, second_look: as for `Reader`. threads: to compute with; by default
    OMP_NUM_THREADS, else the processors that this process may use. search: options of
    `strhub.inference.beam_search.Search`, such as top_k or a lexicon, of the texts that the logits allow. How it
    decodes otherwise was settled when the file was written. `description`: what the file says.

    Raises:
        ValueError: for a file that is not there, damaged, not of strhub, or too new for the installed packages.
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
        second_look: float | None = None,
        threads: int | None = None,
        **search: Any,
    ) -> None:
        engine = OnnxEngine(model, device=device, threads=threads, **search)
        super().__init__(engine, batch_size=batch_size, turn_tall=turn_tall, second_look=second_look)

    @property
    def description(self) -> dict[str, Any]:
        """What the file says of itself."""
        return self.engine.description


class OnnxEngine:
    """Sessions of ONNX Runtime and how their numbers are read; arguments and errors are those of `Recognizer`.

    A few pictures are computed by all threads together. For many there is a second session, made when it is needed,
    that computes on a share of the threads and is called by several at once. If the file has gone or been replaced by
    then, the first one serves all.
    """

    def __init__(
        self, model: str | Path, *, device: str | None = None, threads: int | None = None, **search: Any
    ) -> None:
        self._model, self._threads = Path(model), threads or _available_threads()
        self._file = _identity(self._model)  # before it is opened
        self.session = open_session(model, device=device, threads=threads)
        self.description = _description(self.session, model)
        _check_weights(self.description, Path(model))
        images = image_options(self.description)
        self.img_size: Sequence[int] = images["img_size"]
        self.normalize, self.keep_aspect = images["normalize"], images["keep_aspect"]
        self.tokenizer = _tokenizer(self.description, model)
        self.temperature = float(self.description.get("temperature", 1.0))
        self.precision = str(self.description.get("precision", "float32"))
        self.search = beam_search(self.tokenizer, search)
        on_cpu = self.session.get_providers() == ["CPUExecutionProvider"]
        self.lanes = min(self._threads, _LANES) if on_cpu else 1

    def decode(self, arrays: Sequence[PictureArray]) -> Sequence[Decoded]:
        """See `strhub.inference.pipeline.Engine`."""
        return self._decode(self.session, arrays)

    @contextmanager
    def side_by_side(self) -> Iterator[Decode]:
        """See `strhub.inference.pipeline.Engine`."""
        yield partial(self._decode, self._shared)

    @cached_property
    def _shared(self) -> Any:
        if _identity(self._model) != self._file:  # another model may be there by now, with other letters
            return self.session
        return open_session(self._model, device="cpu", threads=self._threads // self.lanes)

    def _decode(self, session: Any, arrays: Sequence[PictureArray]) -> Sequence[Decoded]:
        decoded: dict[int, Decoded] = {}
        for places in alike(arrays):
            images = np.stack([arrays[place] for place in places])
            logits = session.run([LOGITS], {IMAGES: images})[0]
            if self.search is not None:
                decoded.update(zip(places, self.search.decode(logits / self.temperature), strict=True))
                continue
            readings = self.tokenizer.decode_characters(_softmax(logits / self.temperature))
            for place, (text, sure, characters) in zip(places, readings, strict=True):
                # However sure a model is that there is nothing to read, no text is no confidence.
                decoded[place] = Decoded(text, sure if text else 0.0, characters)
        return [decoded[place] for place in range(len(arrays))]


def open_session(model: str | Path, *, device: str | None = None, threads: int | None = None) -> Any:
    """ONNX Runtime's session of a file; the arguments and errors are those of `Recognizer`."""
    path = Path(model)
    if not path.is_file():
        raise ValueError(f"there is no file {path}: ./export.py <model> {path.name} makes one")
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}: it must be at least 1")
    try:
        onnxruntime = import_onnxruntime()
    except ModuleNotFoundError as error:
        raise ImportError("onnxruntime is not installed; reading .onnx files needs: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _available_threads()
    options.inter_op_num_threads = 1  # there is one thing to do at a time
    options.log_severity_level = 4  # not even errors, which are raised anyway
    try:
        return onnxruntime.InferenceSession(path, options, providers=_providers(onnxruntime, device))
    except Exception as error:  # of many kinds, all of onnxruntime's own
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path} cannot be loaded by onnxruntime {onnxruntime.__version__}: {reason}. Is the file whole, and "
            "that of its weights, if they are in another? A file written for newer operators needs a newer "
            "onnxruntime, or export it with a lower --opset"
        ) from error


def _identity(path: Path) -> tuple[int, int, int] | None:
    """What differs when a file has been replaced; none if it has gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _providers(onnxruntime: Any, device: str | None) -> list[str]:
    available = onnxruntime.get_available_providers()
    cuda = "CUDAExecutionProvider"
    if device not in (None, "auto", "cpu", "cuda"):
        raise ValueError(f"there is no device {device!r}; known: cpu, cuda")
    if device == "cuda" and cuda not in available:
        raise ValueError("the device 'cuda' cannot be used here: this onnxruntime has none (onnxruntime-gpu has)")
    return [*([cuda] if device != "cpu" and cuda in available else []), "CPUExecutionProvider"]


def _available_threads() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return available_processors()


def _description(session: Any, model: str | Path) -> dict[str, Any]:
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise ValueError(f"{model} is an ONNX file, but not one of strhub: ./export.py writes those")
    try:
        description = json.loads(text)
        written = int(description["format"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{model}: its description of itself is damaged; export it again") from error
    if written > FORMAT:
        raise ValueError(f"{model} has format {written}, this strhub reads up to {FORMAT}: update strhub")
    missing = [name for name in _NEEDED if name not in description]
    if missing:
        raise ValueError(f"{model} does not say its {', '.join(missing)}; export it again")
    return dict(description)


def header_hash(path: Path) -> str:
    """SHA-256 of a safetensors file's header. It says where each tensor lies, and all about the model."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return hashlib.sha256(file.read(min(length, _LARGEST_HEADER))).hexdigest()


def _check_weights(description: dict[str, Any], model: Path) -> None:
    """Whether the file of weights that a graph points at, if it does, is still the one it was written for."""
    weights = description.get("weights")
    if weights is None:
        return
    path = model.parent / weights["file"]
    if header_hash(path) != weights["header"]:
        raise ValueError(f"{model} was written for other weights than are in {path}: strhub.export.export_beside")


def _tokenizer(description: dict[str, Any], model: str | Path) -> Tokenizer:
    kind = description["tokenizer"]
    if kind not in _TOKENIZERS:
        raise ValueError(f"{model} needs the tokenizer {kind!r}, which this strhub does not have: update strhub")
    build: Any = _TOKENIZERS[kind]
    tokenizer: Tokenizer = build(description["charset"])
    return tokenizer


def alike(arrays: Sequence[Any]) -> list[list[int]]:
    """Places of arrays of one shape, a list each: only those can be computed together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, array in enumerate(arrays):
        groups.setdefault(array.shape, []).append(place)
    return list(groups.values())


def _softmax(logits: PictureArray) -> PictureArray:
    powers: PictureArray = np.exp(logits - logits.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers
