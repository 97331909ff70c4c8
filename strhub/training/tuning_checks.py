"""Checks of a search before it begins."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from strhub.configs.former import FORMER_OPTIONS, present_data
from strhub.errors import MissingExtra
from strhub.training.run import data_from_config, model_from_config
from strhub.training.tuning_results import METRICS
from strhub.utils.install import install_command
from strhub.utils.options import take_renamed
from strhub.utils.yaml_text import read_yaml_text

DISTRIBUTIONS = {
    "uniform": 2,
    "loguniform": 2,
    "randint": 2,
    "choice": None,
}  # how many values each takes


_MISSING = object()
_LARGEST = 1 << 20  # bytes of a stored search

MAY_CHANGE = (
    "output_dir",
    "tune.resume_dir",
    "tune.trust",
    "tune.address",
    "tune.resources_per_trial",
)  # when a search is resumed


def check_installed() -> None:
    """Raise `MissingExtra` unless Ray Tune and Optuna can be imported."""
    for name in ("ray.tune", "optuna"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtra(
                f"install the extra: {install_command('tune')}", name=name
            ) from error


def check_search(config: DictConfig) -> pl.LightningDataModule:
    """Raise `ValueError` for what is wrong with the search, the model or the data, before anything
    is started; return the data.
    """
    settings = config.tune
    if not 0 < settings.lr.min < settings.lr.max:
        raise ValueError(
            f"tune.lr: min {settings.lr.min} must be above 0 and below max {settings.lr.max}"
        )
    if settings.metric not in METRICS:
        raise ValueError(
            f"tune.metric is {settings.metric!r}: it must be one of {', '.join(METRICS)}"
        )
    if settings.mode != METRICS[settings.metric]:
        raise ValueError(
            f"tune.mode is {settings.mode!r}: {settings.metric} needs {METRICS[settings.metric]!r}"
        )
    for name, spec in search_space(config).items():
        _check_distribution(name, spec)
        if OmegaConf.select(config, name, default=_MISSING) is _MISSING:
            raise ValueError(
                f"tune.space: there is no option {name!r} to search; see ./train.py --help"
            )
    for name in ("num_samples", "max_steps", "reports"):
        if settings[name] is not None and settings[name] < 1:
            raise ValueError(f"tune.{name} is {settings[name]}: it must be at least 1")
    if not 0 < settings.grace_period <= 100 or settings.reduction_factor <= 1:
        raise ValueError(
            "tune.grace_period must be above 0 and at most 100, and tune.reduction_factor above 1"
        )
    if config.ckpt_path is not None:
        raise ValueError(
            "ckpt_path: a checkpoint has its own learning rate; to start from weights alone, set "
            "pretrained"
        )
    data = data_from_config(config, model_from_config(config).hparams)
    _ = data.train_dataset, data.val_dataset  # making them finds what would fail every trial
    return data


def search_space(config: DictConfig) -> dict[str, dict[str, Any]]:
    """Return distributions by option: that of the learning rate and those of `tune.space`."""
    settings: Any = OmegaConf.to_container(config.tune)
    return {
        "model.lr": {"loguniform": [settings["lr"]["min"], settings["lr"]["max"]]},
        **take_renamed(settings["space"] or {}, FORMER_OPTIONS),
    }


def _check_distribution(name: str, spec: Any) -> None:
    kind, values = (
        next(iter(spec.items())) if isinstance(spec, dict) and len(spec) == 1 else ("", None)
    )
    if kind not in DISTRIBUTIONS or not isinstance(values, list) or not values:
        raise ValueError(
            f"tune.space: {name} is {spec!r}; write one of {', '.join(DISTRIBUTIONS)} with its "
            "values, such as "
            f"{name}: {{uniform: [0.0, 0.3]}} or {{choice: [a, b]}}"
        )
    if DISTRIBUTIONS[kind] is not None:
        ordered = (
            len(values) == 2
            and all(isinstance(one, int | float) for one in values)
            and values[0] < values[1]
        )
        if not ordered or (kind == "loguniform" and values[0] <= 0):
            raise ValueError(
                f"tune.space: {name}: {kind} needs a lowest and a highest number, not {values}"
            )


def check_same_search(config: DictConfig, folder: Path) -> None:
    """Raise `ValueError` unless `folder` holds a search with this configuration: half of each would
    mean nothing.
    """
    if not (folder / "search.yaml").is_file():
        raise ValueError(f"tune.resume_dir: there is no search in {folder}")
    before, now = (
        _flat(_named_as_now(OmegaConf.to_container(part)))
        for part in (_stored_search(folder / "search.yaml"), config)
    )
    for name in [*before, *now]:
        if not name.startswith(MAY_CHANGE) and before.get(name) != now.get(name):
            raise ValueError(
                f"tune.resume_dir: that search had {name}={before.get(name)}, this has "
                f"{now.get(name)}"
            )


def _stored_search(path: Path) -> Any:
    try:
        return OmegaConf.create(read_yaml_text(path, max_bytes=_LARGEST))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{path} cannot be read: {ascii(reason)[1:-1][:200]}") from error


def _named_as_now(content: Any) -> Any:
    """Return a search's configuration with the names that its data's options have now."""
    if isinstance(content, dict) and isinstance(content.get("data"), dict):
        return {**content, "data": present_data(content["data"])}
    return content


def _flat(node: Any, name: str = "") -> dict[str, Any]:
    """Return values by dotted name."""
    if not isinstance(node, dict):
        return {name: node}
    return {
        key: value
        for part in node
        for key, value in _flat(node[part], f"{name}.{part}".lstrip(".")).items()
    }
