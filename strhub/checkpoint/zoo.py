"""Models by name, file or address: configuration to network to weights. The only place that loads a
checkpoint.

`load` takes whatever names a model, `list_models` says which names there are, `save` writes one
file with everything in it that a model needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import safe_open

from strhub.checkpoint.cards import new_card, read_card
from strhub.checkpoint.download import RemoteFile, fetch, find_in_folder, is_remote
from strhub.checkpoint.experiments import experiment_hyper_parameters, experiment_names
from strhub.checkpoint.fitting import differences as differences
from strhub.checkpoint.fitting import mismatch_table as mismatch_table
from strhub.checkpoint.formats import (
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    read_metadata,
    write_checkpoint,
)
from strhub.checkpoint.hub import fetch_address
from strhub.checkpoint.published import published_file, read_published_model
from strhub.checkpoint.released import CLIP4STR, RELEASES, clip4str_file
from strhub.checkpoint.released import RELEASED_FILES as RELEASED_FILES
from strhub.checkpoint.runs import checkpoint_of_run
from strhub.checkpoint.scene_text_model import (
    SceneTextModel,
    architectures,
    network_class,
)
from strhub.checkpoint.sizes import STATISTICS, check_sizes, load_weights
from strhub.text import CHARSET_94
from strhub.utils.options import check_options, check_values, keyword_names, unknown_name_message
from strhub.weights import EMBEDDED as EMBEDDED
from strhub.weights import EMBEDDED_MODELS, PUBLISHED, embedded_weights, is_published

# As published, to the nearest 10,000.
_RELEASED_PARAMETERS = {
    "parseq-tiny": 6_020_000,
    "parseq": 23_830_000,
    "parseq-patch16-224": 24_120_000,
    "abinet": 36_860_000,
    "trba": 49_820_000,
    "vitstr": 21_420_000,
    "crnn": 8_360_000,
}
# Word accuracy in percent, 36 characters, as published (Bautista & Atienza 2022, real training
# data).
_RELEASED_ACCURACY = {
    "parseq": {
        "IIIT5k": 99.1,
        "SVT": 97.9,
        "IC13_1015": 98.4,
        "IC15_2077": 89.6,
        "SVTP": 95.7,
        "CUTE80": 98.3,
        "all 7,672 words": 96.0,
    }
}


class ModelInfo(NamedTuple):
    """A model that has weights.

    id: for `load`, `create_model` and `pretrained=`; source: where the weights come from; licence:
        theirs;
    parameters: how many numbers the network has; charset: the characters it reads; accuracy:
    percent of words read right, by test set, as its makers measured it; empty where nothing is
    known.
    """

    id: str
    source: str
    licence: str
    parameters: int
    charset: str
    accuracy: Mapping[str, float]


class Model(Protocol):
    """What can be saved: a `SceneTextModel`, or a LightningModule after training."""

    model: Any
    hparams: Any


def list_models() -> list[ModelInfo]:
    """Return all models that have weights: the embedded ones, the default first, then the
    reference's released ones, then CLIP4STR's, whose files one puts into torch's cache oneself.
    """
    embedded = [_embedded_info(name) for name in EMBEDDED_MODELS]
    released = [
        ModelInfo(
            name,
            RELEASES + file_name,
            "Apache-2.0",
            _RELEASED_PARAMETERS[name],
            CHARSET_94,
            _RELEASED_ACCURACY.get(name, {}),
        )
        for name, file_name in _released_files().items()
    ]
    clip4str = [
        ModelInfo(name, address, "not stated", parameters, CHARSET_94, accuracy)
        for name, (address, parameters, accuracy) in CLIP4STR.items()
    ]
    return [*embedded, *released, *clip4str]


def _embedded_info(name: str) -> ModelInfo:
    path = embedded_weights(name)
    hparams, card = read_metadata(path)
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if not name.endswith(STATISTICS)]  # noqa: SIM118 (not a mapping)
        count = sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    return ModelInfo(
        name,
        "embedded in the package",
        str(card.get("licence", "Apache-2.0")),
        count,
        hparams["charset_train"],
        {name: round(100 * fraction, 2) for name, fraction in _measured(card).items()},
    )


def _released_files() -> dict[str, str]:
    """Return the released files that this strhub has the architecture of."""
    return {
        name: file
        for name, file in RELEASED_FILES.items()
        if name.partition("-")[0] in architectures()
    }


def _measured(card: Mapping[str, Any]) -> dict[str, float]:
    """Return the accuracies in a card, as fractions by test set."""
    measured = card.get("measured", {})
    return {str(name): value for name, value in measured.items() if isinstance(value, int | float)}


def create_model(experiment: str, pretrained: bool = False, **overrides: Any) -> SceneTextModel:
    """Return a model by the name of its experiment, with fresh or trained weights, in training mode
    as torch's are.

    overrides: hyper-parameters such as decode_ar=False; `ValueError` names the nearest for an
        unknown one.
    """
    if pretrained:
        return load_from_checkpoint(f"pretrained={experiment}", **overrides)
    hparams = experiment_hyper_parameters(experiment)
    _check_overrides(overrides, hparams, f"the model {experiment!r}")
    return SceneTextModel({"normalize": "default", **hparams, **overrides})


def load(source: str | Path, **overrides: Any) -> SceneTextModel:
    """Return a trained model from whatever names it, in training mode as torch's are.

    source: an id of `list_models`, also as `pretrained=<id>`; `ppocrv6-small` or
        `strhub-small-multi`, which are read from another package, see
        `strhub.checkpoint.published`; a file: our safetensors, a Lightning checkpoint of ours or of
        the reference, the reference's bare weights; a folder with such a file in it; a run's folder
        for its best checkpoint, `<run>/last` for its last; a model of Hugging Face's hub,
        `hf://owner/name[/file][@revision][#sha256=…]`, see `strhub.checkpoint.hub`; or an address
        with the file's hash, `https://…/model.safetensors#sha256=…`, which is fetched once to
        torch's cache and checked each time.
    overrides: decoding options such as decode_ar, or what bare weights do not tell.

    The file itself says its architecture, charset, sizes and normalization; no code in it is ever
    run. Raises `CheckpointError` for a file that is not usable and `ValueError` for an unknown id
    or option.
    """
    checkpoint = read_model(source, overrides)
    _check_overrides(overrides, checkpoint.hparams, f"the model {source}")
    hparams = {**checkpoint.hparams, **overrides}
    try:
        check_sizes(hparams, checkpoint.weights, str(source))
    except CheckpointError as error:
        if not checkpoint.card.get("assumed"):
            raise
        assumed = ", ".join(
            f"{name}={value!r}" for name, value in checkpoint.card["assumed"].items()
        )
        raise CheckpointError(
            f"{error}\nThe file does not say, and it was assumed: {assumed}. Set what is wrong"
        ) from error
    model = SceneTextModel(hparams)
    load_weights(model.model, checkpoint.weights, str(source))
    return model


def read_model(source: str | Path, known: Mapping[str, Any] | None = None) -> Checkpoint:
    """Return weights, hyper-parameters and card of whatever names a model, as `load` takes it.

    known: hyper-parameters that the caller will set; see
    `strhub.checkpoint.formats.read_checkpoint` for errors.
    """
    if is_published(source):
        return read_published_model(source, characters=(known or {}).get("charset_train"))
    return read_checkpoint(locate(source), known)


def load_from_checkpoint(source: str | Path, **overrides: Any) -> SceneTextModel:
    """Return the same as `load`, by the name that the reference gives it."""
    return load(source, **overrides)


def save(
    model: Model,
    path: str | Path,
    *,
    metrics: Mapping[str, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
    licence: str | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model as safetensors that `load` takes anywhere: weights, hyper-parameters, charset
    and normalization.

    metrics: accuracies as shares in [0, 1] by test set; provenance: data, commands, the model it
    was started from; both end in the file's card with the versions used. dtype: to store the
    numbers smaller, such as torch.float16.
    """
    save_model(model, path, new_card(metrics, provenance, licence), dtype)


def save_model(
    model: Model, path: str | Path, card: Mapping[str, Any], dtype: torch.dtype | None = None
) -> None:
    """Write a model as safetensors with a card of one's own; see `save`."""
    weights = {
        name: tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor
        for name, tensor in model.model.state_dict().items()
    }
    write_checkpoint(path, Checkpoint(weights, dict(model.hparams), dict(card)))


def model_card(source: str | Path) -> dict[str, Any]:
    """Return what a file says of its model: what was measured, where it comes from; empty for files
    of others.
    """
    if is_published(source):
        return {"licence": "Apache-2.0", "provenance": {"weights": str(source)}}
    path = locate(source)
    return read_card(path)


def locate(source: str | Path) -> Path:
    """Return the file of an id, path, folder or address, fetched to torch's cache if it is not
    there yet.
    """
    name = str(source).removeprefix("pretrained=")
    if name in EMBEDDED_MODELS:
        return embedded_weights(name)
    if is_published(source):
        return published_file(source)
    if file_name := _released_files().get(name):
        return fetch(
            RemoteFile(RELEASES + file_name, Path(file_name).stem.rpartition("-")[2], file_name),
            _cache(),
        )
    if name in CLIP4STR:
        return clip4str_file(name, _cache())
    if is_remote(name):
        return fetch_address(name, _cache())
    path = Path(name).expanduser()
    if path.is_dir():
        return find_in_folder(path)
    if of_run := checkpoint_of_run(path):
        return of_run
    if path.suffix or path.exists():
        return path
    known = [*(model.id for model in list_models()), *PUBLISHED]
    trained = (
        " (an experiment of that name exists, but no trained weights)"
        if name in experiment_names()
        else ""
    )
    raise ValueError(unknown_name_message(name, known, "pretrained model") + trained)


def _cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _check_overrides(overrides: Mapping[str, Any], hparams: Mapping[str, Any], where: str) -> None:
    network = network_class(hparams["architecture"])
    check_options(overrides, [*hparams, *keyword_names(network)], where)
    check_values(overrides, hparams, where, counts=network.decoding_options)
