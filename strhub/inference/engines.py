"""The engine that a model is read with: ONNX Runtime where it does what is asked for, else PyTorch.

Importing this imports neither: the one that is needed is imported when it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.errors import ConfigError
from strhub.inference.engine import NetworkEngine
from strhub.utils.install import not_installed
from strhub.utils.options import check_options, check_values
from strhub.weights import EMBEDDED_MODELS, embedded_graph, is_published

if TYPE_CHECKING:
    import torch

    from strhub.checkpoint.scene_text_model import SceneTextModel

ARCHIVE = ".pt2"


@dataclass(frozen=True)
class Computing:
    """How a model is to be computed and read; the fields are arguments of `strhub.Recognizer`.

    search: options of `strhub.inference.beam_search.Search`; options: of decoding.
    """

    device: str | torch.device | None
    threads: int | None
    precision: str
    compile: bool | str
    search: Mapping[str, Any]
    options: Mapping[str, Any]

    @property
    def device_name(self) -> str:
        """Return the device, "auto" if none is asked for."""
        return str(self.device or "auto")

    @property
    def is_plain(self) -> bool:
        """Return whether neither another precision nor compiling is asked for."""
        return self.precision in ("auto", "float32") and self.compile in ("auto", False)


def engine_for(model: str | Path | SceneTextModel, asked: Computing) -> NetworkEngine:
    """Return the engine of a model, which is an id, a path or a loaded model.

    Raises:
        ConfigError, ValueError: for what the model cannot do, or was settled when it was exported.
        ImportError: for a runtime that is needed and not installed.
    """
    if isinstance(model, str | Path):
        model = str(model).removeprefix("pretrained=")
        engine = _onnx_engine(model, asked)
        if engine is not None:
            return engine
        if Path(model).suffix == ARCHIVE:
            return _archive_engine(model, asked)
    return _torch_engine(model, asked)


def _onnx_engine(model: str, asked: Computing) -> NetworkEngine | None:
    """Return the engine of an .onnx file, or of an embedded model where it does what is asked for;
    else none.
    """
    exported = Path(model).suffix == ".onnx" and not is_published(model)
    light = model in EMBEDDED_MODELS and asked.device_name in ("auto", "cpu") and asked.is_plain
    if not (exported or light):
        return None
    from strhub.inference.onnx_engine import OnnxEngine

    if exported and not asked.is_plain:
        raise ValueError(f"{model}: precision and compile are fixed when a model is exported")
    try:
        opened = OnnxEngine(
            model if exported else embedded_graph(model),
            device=asked.device_name,
            threads=asked.threads,
            **asked.search,
        )
    except ImportError:
        if exported:
            raise
        return None  # PyTorch alone is installed
    engine: NetworkEngine = opened
    options, settled = asked.options, opened.description.get("decoding", {})
    check_options(options, settled, f"the model {model}")
    check_values(options, settled, f"the model {model}", counts=settled)
    if "word_prior" in options:  # options of decoding the logits, not of the graph
        engine = engine.with_word_prior(int(options["word_prior"]))
        settled = {**settled, "word_prior": options["word_prior"]}
    differ = [name for name, value in options.items() if settled[name] != value]
    if differ and exported:
        raise ValueError(
            f"{model} was exported with {differ[0]}={settled[differ[0]]}: export it again to "
            "change that"
        )
    return None if differ else engine


def _archive_engine(model: str, asked: Computing) -> NetworkEngine:
    """Return the engine of a .pt2 file; `ConfigError` for options that were settled when it was
    exported.
    """
    try:
        from strhub.inference.archive_engine import ArchiveEngine
    except ModuleNotFoundError as error:
        raise _missing_torch(error, f"reading {model}") from error
    if not asked.is_plain or asked.options:
        what = next(iter(asked.options), "precision and compile")
        raise ConfigError(
            f"{model}: {what} was fixed when the model was exported; export it again to change that"
        )
    return ArchiveEngine(model, device=asked.device_name, threads=asked.threads, **asked.search)


def _torch_engine(model: str | SceneTextModel, asked: Computing) -> NetworkEngine:
    try:
        from strhub.inference.torch_engine import TorchEngine
    except ModuleNotFoundError as error:
        named = model if isinstance(model, str) else "a loaded model"
        raise _missing_torch(error, f"reading with {named} like this") from error
    return TorchEngine(
        model,
        device=asked.device,
        threads=asked.threads,
        precision=asked.precision,
        compile=asked.compile,
        search=asked.search,
        **asked.options,
    )


def _missing_torch(error: ModuleNotFoundError, what: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(not_installed(error, "torch", what), name=error.name)
