"""`train(config)`: from a composed configuration to a trained model and its metrics."""

from __future__ import annotations

import logging
from pathlib import Path

import pytorch_lightning as pl
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from strhub.checkpoints import read_checkpoint
from strhub.models.base import System
from strhub.options import check_options, keyword_names
from strhub.scene_text_model import network_class
from strhub.zoo import load_weights, locate

log = logging.getLogger(__name__)


def train(config: DictConfig) -> dict[str, float]:
    """Train as the configuration says; return the last metrics by name, accuracies in percent.

    `pretrained` starts from a model's weights, `ckpt_path` goes on with a stopped run. Raises `ValueError` for what
    is wrong with the configuration or the data.
    """
    pl.seed_everything(config.seed, verbose=False)
    model = model_from_config(config)
    if config.pretrained is not None:
        load_weights(model.model, read_checkpoint(locate(config.pretrained)).weights, config.pretrained)
    data = instantiate(config.data)
    callbacks = [instantiate(callback) for callback in (config.get("callbacks") or {}).values() if callback]
    loggers = [instantiate(logger) for logger in (config.get("logger") or {}).values() if logger]
    trainer: pl.Trainer = instantiate(config.trainer, callbacks=callbacks, logger=loggers)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=resume_path(config), weights_only=True)
    except SystemExit:  # how Lightning ends on Ctrl-C, after shutting down
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def model_from_config(config: DictConfig) -> System:
    """The configured model with fresh weights, its options checked."""
    check_config(config)
    model: System = instantiate(config.model)
    return model


def check_config(config: DictConfig) -> None:
    """`ValueError` that names the nearest known option for a misspelt one of `model`."""
    system: type[System] = get_class(config.model["_target_"])
    names = [str(name) for name in config.model if not str(name).startswith("_")]
    check_options(names, system.known_options(), f"model {config.model.name!r}")


def resume_path(config: DictConfig) -> str | None:
    """The checkpoint to resume from; `ValueError` if it is not there."""
    if config.ckpt_path is None:
        return None
    path = Path(config.ckpt_path)
    if not path.is_file():
        raise ValueError(f"ckpt_path: there is no file {path}")
    return str(path)


def adopt_pretrained(config: DictConfig, overrides: list[str]) -> None:
    """Give the configuration the sizes of the model it starts from, but for what the command line itself sets.

    overrides: the command line's, such as `model.embed_dim=192` or `+experiment=parseq-tiny`. An experiment or model
    chosen there decides the sizes itself.
    """
    if config.pretrained is None:
        return
    names = [override.lstrip("+~").partition("=")[0] for override in overrides]
    if "model" in names or "experiment" in names:
        return
    hparams = read_checkpoint(locate(config.pretrained)).hparams
    shape = [*keyword_names(network_class(hparams["architecture"])), "name", "charset_train", "charset_test"]
    if "charset" in names:
        shape = [name for name in shape if not name.startswith("charset_t")]
    with open_dict(config):
        for name in shape:
            if name in hparams and f"model.{name}" not in names:
                OmegaConf.update(config, f"model.{name}", hparams[name])
        if "data.normalize" not in names:
            config.data.normalize = hparams.get("normalize", "default")
    log.info("starting from %s: sizes and charset are its own", config.pretrained)
