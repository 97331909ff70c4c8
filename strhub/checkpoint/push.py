"""`strhub.push`: a model to Hugging Face's hub, as people there expect one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from strhub.checkpoint.cards import new_card, readme
from strhub.checkpoint.download import DEFAULT_FILE
from strhub.checkpoint.hub import explained, hub_options, import_hub
from strhub.checkpoint.hub_config import CONFIG_FILE, config_of
from strhub.checkpoint.zoo import Model, load, model_card, save_model

__all__ = ["push"]

README = "README.md"


def push(
    model: Model | str | Path,
    repository: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    message: str | None = None,
    metrics: Mapping[str, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
    licence: str | None = None,
) -> str:
    """Put a model on Hugging Face's hub, and return its address with the commit, for `load`.

    What is there afterwards: `model.safetensors`, which says all about itself; `config.json`, the
    hyper-parameters, as `PyTorchModelHubMixin` reads them; and `README.md`, the model card, unless
    there is one already.

    model: one that is loaded or trained, or whatever `load` takes, whose card is kept then.
    repository: `owner/name`, made if it is not there. private: of one that is made. revision: a
    branch, made if it is not there; by default main. token: by default `HF_TOKEN` or that of
    `hf auth login`. metrics, provenance, licence: as `strhub.save` takes them.

    Raises:
        CheckpointError: the hub refuses it, or cannot be reached; it says why.
        MissingExtra: huggingface_hub is not installed.
    """
    hub = import_hub("strhub.push")
    before: dict[str, Any] = {}
    if isinstance(model, str | Path):
        before = model_card(model)
        model = load(model)
    new = new_card(metrics, provenance, licence)
    parts = ("measured", "provenance")
    card = {**before, **new, **{part: {**before.get(part, {}), **new[part]} for part in parts}}
    api = hub.HfApi(token=token, **hub_options())
    with explained(f"hf://{repository}"), TemporaryDirectory() as folder:
        weights = Path(folder) / DEFAULT_FILE
        save_model(model, weights, card)
        files = {DEFAULT_FILE: weights, CONFIG_FILE: config_of(model.hparams).encode()}
        api.create_repo(repository, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repository, branch=revision, exist_ok=True)
        if not api.file_exists(repository, README, revision=revision):
            files[README] = readme(repository, model.hparams, card).encode()
        commit = api.create_commit(  # one for all files, so that no half of a model is there
            repository,
            [hub.CommitOperationAdd(name, content) for name, content in files.items()],
            commit_message=message or "A model of strhub",
            revision=revision,
        )
    return f"hf://{repository}@{commit.oid}"
