"""Models by name or file: configuration to network to weights. The only place that loads a checkpoint into a model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from strhub.checkpoints import Checkpoint, CheckpointError, read_checkpoint, write_checkpoint
from strhub.experiments import experiment_hyper_parameters, experiment_names
from strhub.options import check_options, keyword_names, unknown_option_message
from strhub.scene_text_model import SceneTextModel, network_class

EMBEDDED = "strhub-tiny"
RELEASES = "https://github.com/baudm/parseq/releases/download/v1.0.0/"
# Files of the reference's release. The last eight characters before the suffix begin the file's SHA-256.
RELEASED_FILES = {
    "parseq-tiny": "parseq_tiny-e7a21b54.pt",
    "parseq": "parseq-bb5792a6.pt",
    "parseq-patch16-224": "parseq_small_patch16_224-fcf06f5a.pt",
}


class ModelInfo(NamedTuple):
    """id: for `pretrained=` and `create_model`; source: where the weights come from; licence: theirs."""

    id: str
    source: str
    licence: str


def list_models() -> list[ModelInfo]:
    """All models that have weights: the embedded one, then the reference's released ones."""
    embedded = ModelInfo(EMBEDDED, "embedded in the package", "Apache-2.0")
    return [embedded, *(ModelInfo(name, RELEASES + file, "Apache-2.0") for name, file in RELEASED_FILES.items())]


def create_model(experiment: str, pretrained: bool = False, **overrides: Any) -> SceneTextModel:
    """A model by the name of its experiment, with fresh or trained weights, in training mode as torch's are.

    overrides: hyper-parameters such as decode_ar=False; `ValueError` names the nearest for an unknown one.
    """
    if pretrained:
        return load_from_checkpoint(f"pretrained={experiment}", **overrides)
    hparams = experiment_hyper_parameters(experiment)
    check_options(overrides, _known(hparams), f"the model {experiment!r}")
    return SceneTextModel({"normalize": "default", **hparams, **overrides})


def load_from_checkpoint(source: str | Path, **overrides: Any) -> SceneTextModel:
    """A trained model from a file, or by id: `strhub-tiny`, `parseq-tiny`, also as `pretrained=<id>`.

    The file itself says its architecture, charset, sizes and normalisation. overrides: decoding options, or what bare
    weights do not tell. Raises `CheckpointError` for a file that is not usable and `ValueError` for an unknown id.
    """
    checkpoint = read_checkpoint(locate(source), overrides)
    check_options(overrides, _known(checkpoint.hparams), f"the model {source}")
    model = SceneTextModel({**checkpoint.hparams, **overrides})
    load_weights(model.model, checkpoint.weights, str(source))
    return model


def save_model(
    model: SceneTextModel, path: str | Path, card: Mapping[str, Any], dtype: torch.dtype | None = None
) -> None:
    """Write a model as safetensors, its hyper-parameters and `card` inside; `dtype` to store its numbers smaller."""
    weights = {name: tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
               for name, tensor in model.model.state_dict().items()}  # fmt: skip
    write_checkpoint(path, Checkpoint(weights, dict(model.hparams), dict(card)))


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Put weights into a network; `CheckpointError` lists what is missing, left over or of another shape."""
    expected = network.state_dict()
    problems = [
        f"{name}: the file has {tuple(weights[name].shape)}, the model {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    problems += [f"missing: {name}" for name in expected if name not in weights]
    problems += [f"left over: {name}" for name in weights if name not in expected]
    if problems:
        shown = "\n  ".join(problems[:12] + ([f"and {len(problems) - 12} more"] if len(problems) > 12 else []))
        raise CheckpointError(f"the weights of {source} do not fit the model:\n  {shown}")
    network.load_state_dict(weights)


def locate(source: str | Path) -> Path:
    """The file of an id or path, fetched to torch's cache if it is a released one that is not there yet."""
    name = str(source).removeprefix("pretrained=")
    if name == EMBEDDED:
        return Path(str(files("strhub") / "weights" / f"{EMBEDDED}.safetensors"))
    if name in RELEASED_FILES:
        return _released_file(RELEASED_FILES[name])
    if name == str(source) and (Path(name).suffix or Path(name).exists()):
        return Path(name)
    known = [model.id for model in list_models()]
    trained = " (an experiment of that name exists, but no trained weights)" if name in experiment_names() else ""
    raise ValueError(unknown_option_message(name, known, "the list of pretrained models") + trained)


def _released_file(file_name: str) -> Path:
    path = Path(torch.hub.get_dir()) / "checkpoints" / file_name
    digest = Path(file_name).stem.rpartition("-")[2]
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(RELEASES + file_name, str(path), hash_prefix=digest)
        except (OSError, RuntimeError) as error:
            raise CheckpointError(
                f"{file_name} could not be fetched from {RELEASES} ({error}). "
                f"Offline, put the file at {path}; its SHA-256 must begin with {digest}"
            ) from error
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if not actual.startswith(digest):
        raise CheckpointError(f"{path} is damaged: its SHA-256 begins with {actual[:8]}, not {digest}. Delete it")
    return path


def _known(hparams: Mapping[str, Any]) -> list[str]:
    return [*hparams, *keyword_names(network_class(hparams["architecture"]))]
