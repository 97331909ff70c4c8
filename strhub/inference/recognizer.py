"""`Recognizer`: images of words to readings, in batches. What cannot be read gets a `Reading` with
`error` set.

Importing this imports neither PyTorch nor ONNX Runtime: a recognizer loads the one that its model
needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from strhub.errors import ConfigError
from strhub.inference.beam_search import RENAMED, Search
from strhub.inference.engine import Engine, NetworkEngine
from strhub.inference.engines import Computing, engine_for
from strhub.inference.lines import LineReading
from strhub.inference.pipeline import Reader
from strhub.inference.reading import LineWord, Reading
from strhub.utils.options import take_renamed
from strhub.weights import EMBEDDED as EMBEDDED
from strhub.weights import EMBEDDED_MODELS as EMBEDDED_MODELS
from strhub.weights import embedded_detector as embedded_detector
from strhub.weights import embedded_graph as embedded_graph

if TYPE_CHECKING:
    import torch

    from strhub.checkpoint.scene_text_model import SceneTextModel

__all__ = ["LineWord", "Reading", "Recognizer", "choose_device"]

Part = TypeVar("Part")


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
        allow, and each reading has its `alternatives` if top_k is greater than 1. options: of
        decoding, such as refine_iters=2.

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
        computed = engine_for(
            model, Computing(device, threads, precision, compile, search, options)
        )
        engine: Engine = computed
        if lines:
            if reread_below or upside_down or Search(**search) != Search():
                raise ConfigError(
                    "lines=True reads each line once: reread_below, upside_down and searching have "
                    "no use beside it"
                )
            engine, reread_below = LineReading(computed), 0.0
        super().__init__(
            engine,
            batch_size=batch_size,
            turn_tall=turn_tall,
            reread_below=reread_below,
            upside_down=upside_down,
        )

    @property
    def model(self) -> SceneTextModel:
        """Return the PyTorch model, where there is one."""
        return _of_torch(self.network.model)

    @property
    def device(self) -> torch.device:
        """Return the device of the PyTorch model."""
        return _of_torch(self.network.device)

    @property
    def network(self) -> NetworkEngine:
        """Return the engine that computes its network."""
        engine = self.engine.words if isinstance(self.engine, LineReading) else self.engine
        assert isinstance(engine, NetworkEngine)  # it made it itself
        return engine


def _of_torch(what: Part | None) -> Part:
    if what is None:
        raise AttributeError("this recognizer reads with ONNX Runtime: it has no PyTorch model")
    return what


def choose_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for, or the fastest there is; `ValueError` if it is not there."""
    from strhub.inference.torch_engine import choose_device as choose

    return choose(device)
