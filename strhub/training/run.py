"""`train(config)`: from a composed configuration to a trained model and its metrics."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import get_object
from omegaconf import DictConfig, ListConfig
from pytorch_lightning.utilities import rank_zero_only

from strhub.checkpoint.adaptation import adapt
from strhub.checkpoint.changes import Adaptation
from strhub.checkpoint.runs import checkpoint_of_run, folder_of_run, last_checkpoint
from strhub.checkpoint.scene_text_model import complete_options
from strhub.checkpoint.zoo import read_model
from strhub.images.options import image_options
from strhub.models.parseq.encoders import OWN, is_of_encoder
from strhub.training.cached_features import cache_features
from strhub.training.callbacks.final_validation import FinalValidation
from strhub.training.checkpoint_io import LAST, latest_checkpoint
from strhub.training.config_checks import build, check_groups, check_model, check_top, plain
from strhub.training.noise import without_noise
from strhub.training.resuming import ResumedPlan
from strhub.training.signals import StoppedEarly
from strhub.training.systems.base import System
from strhub.training.systems.registry import system_class
from strhub.utils.locks import locked
from strhub.utils.options import check_options
from strhub.utils.telemetry import switch_off_telemetry

log = logging.getLogger(__name__)

ORPHANS = 15.0
"""Seconds that the data workers of a killed run, which hold its folder too, take to see that they
are alone.
"""


def train(config: DictConfig, *, data: pl.LightningDataModule | None = None) -> dict[str, float]:
    """Train as the configuration says; return the last metrics by name, accuracies in percent.

    data: what `config.data` describes, if the caller has it already.

    `pretrained` starts from a model's weights (see `start_from`), `ckpt_path` resumes a stopped
    run. Raises `ValueError` for what is wrong with the configuration or the data, or if another run
    is writing to `output_dir`, `strhub.training.callbacks.last_checkpoint.Stopped` if a signal
    ended the run with its state saved.
    """
    switch_off_telemetry()
    with only_run(Path(config.output_dir)), without_noise():
        return _train(config, data)


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Keep a run's folder from other runs; `ValueError` if one is writing there. The first of its
    devices does it.
    """
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        deadline = time.monotonic() + ORPHANS
        while True:
            try:
                stack.enter_context(locked(folder / ".running"))
            except BlockingIOError as error:
                if time.monotonic() < deadline:
                    time.sleep(0.2)
                    continue
                raise ValueError(
                    f"{folder}: another run is writing there. Wait for it or stop it, or give this "
                    "one a folder of its "
                    "own with hydra.run.dir=…"
                ) from error
            except OSError as error:  # a file system without locks
                log.warning("%s cannot be kept from other runs: %s", folder, error)
            break
        yield


def _train(config: DictConfig, data: pl.LightningDataModule | None) -> dict[str, float]:
    check_top(config)
    check_config(config)
    check_groups(config)
    data = data_from_config(config, configured_hparams(config)) if data is None else data
    check_data(config, data)
    pl.seed_everything(config.seed, verbose=False)
    model = model_from_config(config)
    checkpoint = resume_path(config)
    if checkpoint is None and config.pretrained is not None:
        start_from(model, config.pretrained, variants=config.adapt.variants)
    elif checkpoint is None:
        model.load_initial_weights()
    if model.fine_tuning.cache_features:
        if checkpoint is not None:  # the encoder's weights are in it
            model.load_state_dict(torch.load(checkpoint, "cpu", weights_only=True)["state_dict"])
        cuda = torch.cuda.is_available() and config.trainer.get("accelerator") in (
            "auto",
            "gpu",
            "cuda",
        )
        cache_features(model, data, "cuda" if cuda else "cpu")
    if config.compile:
        model.compile_network()
    callbacks = [
        build(callback, f"callbacks.{name}")
        for name, callback in (config.get("callbacks") or {}).items()
        if callback
    ]
    callbacks += [FinalValidation(), ResumedPlan()]
    loggers = [
        make_logger(name, logger) for name, logger in (config.get("logger") or {}).items() if logger
    ]
    trainer: pl.Trainer = build(config.trainer, "trainer", callbacks=callbacks, logger=loggers)
    try:
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except StoppedEarly:
        if trainer.strategy.launcher is not None:  # processes that wait for this one to join them
            trainer.strategy.launcher.kill(signal.SIGTERM)
        raise
    except SystemExit:  # how Lightning ends on Ctrl-C, after shutting down
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def make_logger(name: str, config: DictConfig) -> Any:
    """Return a logger; `ValueError` if what it needs is not installed."""
    try:
        return build(config, f"logger.{name}")
    except ModuleNotFoundError as error:
        raise ValueError(
            f"logger={name} needs a package that is not installed: pip install {name}"
        ) from error


def model_from_config(config: DictConfig) -> System:
    """Return the configured model with fresh weights; `ValueError` for options that cannot be."""
    check_config(config)
    model: System = build(config.model, f"the model {config.model.name!r}")
    return model


def configured_hparams(config: DictConfig) -> dict[str, Any]:
    """Return the hyper-parameters of the configured model, which is not built for that."""
    options = plain(config, "model")
    architecture = options.get("architecture") or get_object(options["_target_"]).architecture
    return complete_options({**options, "architecture": architecture})


def check_data(config: DictConfig, data: Any) -> None:
    """Raise `ValueError` if there are no words to train on or, unless the run does without, to
    validate on.

    Before a model is built and fetched, which may take minutes. Shards are read as they come.
    """
    if not getattr(data, "shards", None):
        _ = getattr(data, "train_dataset", None)
    if config.trainer.get("limit_val_batches", 1.0) != 0:
        _ = getattr(data, "val_dataset", None)


def data_from_config(config: DictConfig, hparams: Mapping[str, Any]) -> Any:
    """Return the configured data, whose images are as a model of these hyper-parameters takes them.

    `ValueError` for an option of `data` that contradicts them.
    """
    wanted = image_options(hparams)
    for name, value in wanted.items():
        configured = config.data.get(name)
        if (
            configured is not None
            and (tuple(configured) if isinstance(configured, ListConfig) else configured) != value
        ):
            raise ValueError(
                f"data.{name} is {configured}, but {hparams['architecture']!r} as it is configured "
                f"takes {value}: leave it "
                "out, images are prepared as the model expects them"
            )
    return build(config.data, "data", **wanted)


def start_from(model: System, source: str, *, variants: bool = False) -> Adaptation:
    """Give a model the weights of another, by id, path or address, as far as they serve it; say
    what became of them.

    Charset, label length, image size and patch may differ; see
    `strhub.checkpoint.adaptation.adapt`. What serves training alone, such as a second loss's head,
    is taken along from a run's checkpoint if the charset is the same. Of a model with another
    encoder, all but that is taken; the encoder starts as it does without such a model.
    """
    checkpoint = read_model(source)
    if checkpoint.hparams.get("encoder", OWN) != model.hparams.get("encoder", OWN):
        kept = {name: one for name, one in checkpoint.weights.items() if not is_of_encoder(name)}
        checkpoint = checkpoint._replace(weights=kept)
        model.load_initial_weights()
    adaptation = adapt(model.model, model.hparams, checkpoint, variants=variants)
    log.info("starting from %s\n%s", source, adaptation.table())
    if checkpoint.hparams["charset_train"] == model.hparams["charset_train"]:
        fresh = {
            name: tensor
            for name, tensor in model.named_parameters()
            if not name.startswith("model.")
        }
        known = checkpoint.training
        fitting = [
            name
            for name, tensor in fresh.items()
            if name in known and known[name].shape == tensor.shape
        ]
        model.load_state_dict({name: known[name] for name in fitting}, strict=False)
        if fitting:
            log.info("taken along for training: %s", ", ".join(fitting))
    return adaptation


def check_config(config: DictConfig) -> None:
    """Raise `ValueError` that names the nearest known option for a misspelled one of `model`."""
    target = get_object(config.model["_target_"])
    system: type[System] = (
        target if isinstance(target, type) else system_class(config.model.architecture)
    )
    architecture = config.model.get("architecture") or str(system.architecture)
    names = [str(name) for name in config.model if not str(name).startswith("_")]
    check_options(names, system.known_options(architecture), f"model {config.model.name!r}")
    check_model(config, system, architecture)


def resume_path(config: DictConfig) -> str | None:
    """Return the checkpoint to resume from; `ValueError` if it is not there.

    `last` is the one that an earlier part of this run left in its folder; None if this is the first
    part. The folder of a run means its last one, since that is where it stopped.
    """
    if config.ckpt_path is None:
        return None
    if config.ckpt_path == "last":
        found = latest_checkpoint(Path(config.output_dir) / "checkpoints")
        return None if found is None else str(found)
    path = Path(str(config.ckpt_path)).expanduser()
    if path.is_file() or (path.name == LAST and latest_checkpoint(path.parent)):
        return str(path)
    state = last_checkpoint(path) if path.is_dir() else checkpoint_of_run(path)
    if state is None:
        raise ValueError(
            f"ckpt_path: there is no file {path}, and no run of that name with a checkpoint"
        )
    return str(state)


def resumed_without_options(config: DictConfig) -> str | None:
    """Return the checkpoint that is resumed, if the run's own options are not stored beside it;
    else None.
    """
    path = resume_path(config)
    run = None if path is None else folder_of_run(Path(path))
    return None if run is not None and (run / "config" / "overrides.yaml").is_file() else path
