"""`Recognizer`: images of words to readings, in batches. What cannot be read gets a `Reading` with
`error` set.

Importing this imports neither PyTorch nor ONNX Runtime: a recognizer loads the one that its model
needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.errors import ConfigError
from strhub.inference.beam_search import RENAMED
from strhub.inference.lines import LineReading
from strhub.inference.pipeline import Reader
from strhub.inference.reading import Engine, LineWord, Reading
from strhub.utils.install import not_installed
from strhub.utils.options import check_options, check_values, take_renamed
from strhub.weights import EMBEDDED as EMBEDDED
from strhub.weights import EMBEDDED_MODELS as EMBEDDED_MODELS
from strhub.weights import embedded_graph as embedded_graph
from strhub.weights import is_published

if TYPE_CHECKING:
    import torch

    from strhub.checkpoint.scene_text_model import SceneTextModel
    from strhub.inference.torch_engine import TorchEngine

__all__ = ["LineWord", "Reading", "Recognizer", "choose_device"]

ARCHIVE = ".pt2"


class Recognizer(Reader):
    """Read words.

    model: an id (`strhub-small`), the path of a checkpoint or of an exported .onnx or .pt2 file, or
        a loaded model, which is copied.
    device: such as "cpu" or "cuda"; by default the fastest there is, but the CPU for the embedded
        models.
    batch_size: images at a time; turn_tall, reread_below: read tall images on their sides too, and
        in other ways what is read with less confidence than that, as `Reader` says; upside_down:
        then turned by 180 degrees, too.
    lines: each image is a line of several words: readings are its text, with spaces, and its
        `words` with where they are. Nothing is read again then, and no word preferred for being
        known. For models that read spaces.
    threads: to compute with; by default as many as it may use.
    precision: "float32", which reads the same on every machine, "bfloat16", "float16", or "auto":
        bfloat16 where the device computes in it. Its rounding changes confidences, and a text here
        and there.
    compile: let PyTorch compile the model, which takes a minute, then reads faster on a GPU; "auto"
        does not.
    beam_width, top_k, length_normalization, lexicon, whitelist: see
        `strhub.inference.beam_search.Search`; texts are searched among those that a model's steps
        allow, and each reading has its `alternatives` if top_k is greater
    than 1. options: of decoding, such as refine_iters=2.

    `strhub-small` and `strhub-tiny` are read by ONNX Runtime, which starts in a fraction of
    PyTorch's time and takes half as long a word, unless another device, precision or way of
    decoding is asked for. That, and all other models but .onnx files, need PyTorch: `pip install
    strhub[torch]`.

    >>> readings = Recognizer()(["a.png", "b.jpg"])
    """

    def __init__(
        self,
        model: str | Path | SceneTextModel = EMBEDDED,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 32,
        turn_tall: bool = True,
        reread_below: float | None = None,
        upside_down: bool = False,
        lines: bool = False,
        threads: int | None = None,
        precision: str = "float32",
        compile: bool | str = "auto",
        beam_width: int | None = None,
        top_k: int = 1,
        length_normalization: float = 0.0,
        lexicon: Iterable[str] | None = None,
        whitelist: str | None = None,
        **options: Any,
    ) -> None:
        options = take_renamed(options, RENAMED)
        reread_below = options.pop("reread_below", reread_below)
        search = {
            "beam_width": beam_width,
            "top_k": top_k,
            "length_normalization": options.pop("length_normalization", length_normalization),
            "lexicon": lexicon if lexicon is None or isinstance(lexicon, str) else tuple(lexicon),
            "whitelist": whitelist,
        }
        engine: Engine | None = None
        if isinstance(model, str | Path):
            model = str(model).removeprefix("pretrained=")
            plain = precision in ("auto", "float32") and compile in ("auto", False)
            engine = _onnx_engine(model, device, threads, options, search, plain=plain)
            if engine is None and Path(model).suffix == ARCHIVE:
                engine = _archive_engine(model, device, threads, options, search, plain=plain)
        if engine is None:
            build = _torch_engine(
                f"reading with {model if isinstance(model, str) else 'a loaded model'} like this"
            )
            engine = build(
                model,
                device=device,
                threads=threads,
                precision=precision,
                compile=compile,
                search=search,
                **options,
            )
        if lines:
            searched = (
                beam_width
                or top_k > 1
                or length_normalization
                or lexicon is not None
                or whitelist is not None
            )
            if reread_below or upside_down or searched:
                raise ConfigError(
                    "lines=True reads each line once: reread_below, upside_down and searching have "
                    "no use beside it"
                )
            engine, reread_below = LineReading(engine), 0.0
        super().__init__(
            engine,
            batch_size=batch_size,
            turn_tall=turn_tall,
            reread_below=reread_below,
            upside_down=upside_down,
        )

    @property
    def model(self) -> SceneTextModel:
        """The PyTorch model, where there is one."""
        return self._torch.model

    @property
    def device(self) -> torch.device:
        """Where the PyTorch model is."""
        return self._torch.device

    @property
    def _torch(self) -> TorchEngine:
        engine: Any = self.engine.words if isinstance(self.engine, LineReading) else self.engine
        if not hasattr(engine, "model"):
            raise AttributeError("this recognizer reads with ONNX Runtime: it has no PyTorch model")
        return engine


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """The device asked for, or the fastest there is; `ValueError` if it is not there."""
    from strhub.inference.torch_engine import choose_device as choose

    return choose(device)


def _onnx_engine(
    model: str,
    device: str | torch.device | None,
    threads: int | None,
    options: dict[str, Any],
    search: dict[str, Any],
    *,
    plain: bool,
) -> Engine | None:
    """The engine of an .onnx file, or of an embedded model where it does what is asked for; else
    none.
    """
    exported = Path(model).suffix == ".onnx" and not is_published(model)
    light = model in EMBEDDED_MODELS and str(device or "auto") in ("auto", "cpu") and plain
    if not (exported or light):
        return None
    from strhub.inference.onnx_engine import OnnxEngine

    if exported and not plain:
        raise ValueError(f"{model}: precision and compile are settled when a model is exported")
    try:
        engine = OnnxEngine(
            model if exported else embedded_graph(model),
            device=str(device or "auto"),
            threads=threads,
            **search,
        )
    except ImportError:
        if exported:
            raise
        return None  # PyTorch alone is installed
    settled = engine.description.get("decoding", {})
    check_options(options, settled, f"the model {model}")
    check_values(options, settled, f"the model {model}", counts=settled)
    if "word_prior" in options:  # what is made of the logits, not what the graph computes
        engine.word_prior = int(options["word_prior"])
        settled = {**settled, "word_prior": options["word_prior"]}
    differ = [name for name, value in options.items() if settled[name] != value]
    if differ and exported:
        raise ValueError(
            f"{model} was exported with {differ[0]}={settled[differ[0]]}: export it again to "
            "change that"
        )
    return None if differ else engine


def _archive_engine(
    model: str,
    device: str | torch.device | None,
    threads: int | None,
    options: dict[str, Any],
    search: dict[str, Any],
    *,
    plain: bool,
) -> Engine:
    """Return the engine of a .pt2 file; `ConfigError` for options that were settled when it was
    exported.
    """
    try:
        from strhub.inference.archive_engine import ArchiveEngine
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            not_installed(error, "torch", f"reading {model}"), name=error.name
        ) from error
    if not plain or options:
        what = next(iter(options), "precision and compile")
        raise ConfigError(
            f"{model}: {what} was settled when the model was exported; export it again to change "
            "that"
        )
    return ArchiveEngine(model, device=str(device or "auto"), threads=threads, **search)


def _torch_engine(what: str) -> type[TorchEngine]:
    try:
        from strhub.inference.torch_engine import TorchEngine
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(not_installed(error, "torch", what), name=error.name) from error
    return TorchEngine
