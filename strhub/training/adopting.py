"""What a run takes over from the model that it starts from: sizes and architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from strhub.checkpoint.scene_text_model import network_class
from strhub.checkpoint.sizes import check_sizes
from strhub.checkpoint.zoo import read_model
from strhub.configs import CONFIG_DIR
from strhub.models.parseq.encoders import ENCODER_OPTIONS, OWN
from strhub.training.run import log
from strhub.utils.options import keyword_names


def adopt_pretrained(config: DictConfig, overrides: list[str], source: str | None = None) -> None:
    """Give the configuration the sizes of the model it starts from, but for what the command line
    itself sets.

    overrides: the command line's, such as `model.embed_dim=192` or `+experiment=parseq-tiny`. A
    model chosen there decides the sizes itself, and so does an experiment, unless that one says
    `pretrained`: it is for fine-tuning, and what it sets counts as if the command line did. Words
    are scored with all characters of a charset that is set.
    source: a checkpoint instead of `config.pretrained`, such as one that is resumed.
    """
    source = config.pretrained if source is None else source
    if source is None:
        return
    values = {
        key.lstrip("+~"): value
        for key, _, value in (override.partition("=") for override in overrides)
    }
    names = {*values}
    if "experiment" in names:
        own = experiment_keys(values["experiment"])
        if "pretrained" not in own:
            return
        names |= own
    if "model" in names:
        return
    checkpoint = read_model(source)
    check_sizes(checkpoint.hparams, checkpoint.weights, str(source), whole=False)
    hparams = checkpoint.hparams
    network = keyword_names(network_class(hparams["architecture"]))
    shape = [*network, "name", "charset_train", "charset_test", "img_size", "keep_aspect"]
    other_encoder = "model.encoder" in names and config.model.encoder != hparams.get("encoder", OWN)
    if other_encoder:
        shape = [name for name in shape if name not in ENCODER_OPTIONS]
    if "charset" in names:
        shape = [name for name in shape if not name.startswith("charset_t")]
    with open_dict(config):
        adopt_architecture(config, hparams["architecture"], names)
        for name in shape:
            if name in hparams and f"model.{name}" not in names:
                OmegaConf.update(config, f"model.{name}", hparams[name])
        if "model.charset_train" in names and "model.charset_test" not in names:
            config.model.charset_test = config.model.charset_train
        if "data.normalize" not in names and not other_encoder:
            config.data.normalize = hparams.get("normalize", "default")
    log.info("starting from %s: sizes and charset are its own, but for what is set", source)


def adopt_architecture(config: DictConfig, architecture: str, names: set[str]) -> None:
    """Replace the options of the configured architecture by those of another, but for `names`,
    which are set.
    """
    before = config.model.architecture
    if before == architecture:
        return
    groups = [_yaml(path) for path in sorted((CONFIG_DIR / "model").glob("*.yaml"))]
    target = "strhub.training.systems.registry.create_system"
    chosen = {"_target_": target} | next(
        group for group in groups if group.get("architecture") == architecture
    )
    replaced = {name for group in groups if group.get("architecture") == before for name in group}
    for name in replaced - {*chosen}:
        config.model.pop(name, None)
    for name, value in chosen.items():
        if f"model.{name}" not in names:
            config.model[name] = value


def experiment_keys(name: str) -> set[str]:
    """Return what an experiment of the package sets, by dotted names two levels deep; nothing for
    one from elsewhere.
    """
    path = CONFIG_DIR / "experiment" / f"{name}.yaml"
    content = _yaml(path) if path.is_file() else {}
    inner = {
        f"{key}.{sub}" for key, value in content.items() if isinstance(value, dict) for sub in value
    }
    return {key for key in content if key not in ("model", "defaults")} | inner


def _yaml(path: Path) -> dict[str, Any]:
    """Return a file of the configuration tree as it is written."""
    content = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(content, dict)
    return {str(name): value for name, value in content.items()}
