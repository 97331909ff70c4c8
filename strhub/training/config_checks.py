"""A composed configuration, checked before anything is built: names, types and ranges of its
values.

Names and types come from the signatures of what a group instantiates, so that a new option needs no
entry here; ranges are listed. A mistake is one line: the option's dotted name, what it got and what
it takes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from strhub.checkpoint.scene_text_model import network_class
from strhub.configs.former import present_data
from strhub.errors import ConfigError
from strhub.utils.option_types import check_group, check_types, parameters_of

__all__ = ["build", "check_groups", "check_model", "check_top", "plain"]

# Lowest and highest value; an integer as the lowest means that the option is an integer.
RANGES: dict[str, tuple[float, float]] = {
    "adapt.variants": (0, 1),
    "data.augment_on_device": (0.0, 1.0),
    "data.batch_size": (1, math.inf),
    "data.render.blanks": (0.0, 1.0),
    "data.render.max_length": (1, math.inf),
    "data.render.validation": (0, math.inf),
    "data.render.words": (0, math.inf),
    "data.echo": (1, math.inf),
    "data.limit_words": (0, math.inf),
    "data.min_image_dim": (0, math.inf),
    "data.mixture_size": (1, math.inf),
    "data.num_workers": (0, math.inf),
    "data.shard_words": (1, math.inf),
    "data.val_fraction": (0.0, 1.0),
    "model.batch_size": (1, math.inf),
    "model.dropout": (0.0, 1.0),
    "model.lr": (0.0, math.inf),
    "model.max_label_length": (1, math.inf),
    "model.warmup_pct": (0.0, 1.0),
    "model.weight_decay": (0.0, math.inf),
    "seed": (0, 2**32 - 1),
    "trainer.accumulate_grad_batches": (1, math.inf),
    "trainer.log_every_n_steps": (0, math.inf),
    "trainer.num_nodes": (1, math.inf),
}

_TOP = {
    "seed": int,
    "compile": bool,
    "pretrained": str | None,
    "pretrained_encoder": str | None,
    "ckpt_path": str | None,
    "output_dir": str,
}
_OF_EVERY_MODEL = {"name": str, "charset_train": str, "charset_test": str | None, "normalize": str}
_INNER = ("optimizer", "schedule")  # groups whose targets get further arguments by the model


def check_top(config: DictConfig) -> None:
    """Raise `ConfigError` for options of no group that cannot be."""
    for name, kind in _TOP.items():
        if name in config:
            value = config[name]
            if isinstance(value, bool | int | float) and kind not in (int, bool):
                value = str(value)  # as a name it is valid
            check_one(name, value, kind)
    check_one("adapt.variants", config.adapt.variants, bool)
    _check_ranges({"seed": config.seed})


def check_one(name: str, value: Any, kind: Any) -> None:
    """Raise `ConfigError` unless an option's value is of a kind."""
    group, _, own = name.rpartition(".")
    try:
        check_types({own: value}, {own: kind}, group)
    except ConfigError as error:
        raise ConfigError(str(error).removeprefix(".")) from None


def check_model(config: DictConfig, system: type, architecture: str) -> None:
    """Raise `ConfigError` for values of `model`, `optimizer` and `schedule` that cannot be."""
    values = plain(config, "model")
    own = {
        name: value
        for name, value in values.items()
        if not (name.startswith("_") or _is_left_open(name, value))
    }
    parameters = {
        **parameters_of(system)[0],
        **parameters_of(network_class(architecture))[0],
        **_OF_EVERY_MODEL,
    }
    check_types(own, parameters, "model")
    _check_ranges({f"model.{name}": value for name, value in own.items()})
    for name in _INNER:
        if isinstance(own.get(name), Mapping):
            check_recipe(own[name], name)


def check_groups(config: DictConfig) -> None:
    """Raise `ConfigError` for values of `data`, `trainer`, `callbacks` and `logger` that cannot
    be.
    """
    check_recipe(present_data(plain(config, "data")), "data")
    check_recipe(plain(config, "trainer"), "trainer")
    for name in ("callbacks", "logger"):
        for inner, recipe in plain(config, name).items():
            if recipe is not None:
                check_recipe(recipe, f"{name}.{inner}")


def _is_left_open(name: Any, value: Any) -> bool:
    """Return whether an option is left to the model, which says what images it takes."""
    return name in ("img_size", "keep_aspect", "normalize") and value is None


def check_recipe(recipe: Any, where: str) -> None:
    """Raise `ConfigError` unless what `_target_` names takes the values beside it."""
    if not isinstance(recipe, Mapping) or not isinstance(recipe.get("_target_"), str):
        raise ConfigError(f"{where} is {recipe!r}: it must be a mapping with a `_target_`, or null")
    module, _, name = recipe["_target_"].rpartition(".")
    try:
        target = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"{where}._target_ is {recipe['_target_']!r}, which cannot be imported: {error}"
        ) from error
    values = {
        name: value
        for name, value in recipe.items()
        if not (str(name).startswith("_") or _is_left_open(name, value))
    }
    check_group(values, target, where)
    nested = {
        f"{group}.{name}": value
        for group, inner in values.items()
        if isinstance(inner, Mapping)
        for name, value in inner.items()
    }
    _check_ranges({f"{where}.{name}": value for name, value in {**values, **nested}.items()})


def build(recipe: DictConfig, where: str, **arguments: Any) -> Any:
    """Instantiate a group; raise `ConfigError`, one line of what its class says, if that cannot be
    done.
    """
    try:
        return instantiate(recipe, **arguments)
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(
            cause, ValueError | OSError | ImportError
        ):  # ours, or one that says what is wrong
            raise cause from error
        lines = str(cause).strip().splitlines() or [type(cause).__name__]
        raise ConfigError(f"{where} cannot be made: {lines[0]}") from error


def plain(config: DictConfig, group: str) -> dict[str, Any]:
    """Return a group's values, references resolved; `ConfigError` for one that is missing or refers
    to nothing.
    """
    node = config.get(group)
    try:
        content = (
            OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
            if node is not None
            else {}
        )
    except OmegaConfBaseException as error:
        raise ConfigError(f"{group}: {str(error).splitlines()[0]}") from error
    assert isinstance(content, dict)
    return {str(name): value for name, value in content.items()}


def _check_ranges(values: Mapping[str, Any]) -> None:
    """Raise `ConfigError` for the first value, by dotted name, that is out of its range."""
    for name, (least, greatest) in RANGES.items():
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not least <= value <= greatest:
            reach = (
                f"of at least {least}" if greatest == math.inf else f"from {least} to {greatest}"
            )
            raise ConfigError(f"{name} is {value}: it must be a number {reach}")
    size = values.get("model.img_size")
    if size is not None and not (
        isinstance(size, Sequence)
        and len(size) == 2
        and all(type(side) is int and side > 0 for side in size)
    ):
        raise ConfigError(
            f"model.img_size is {size!r}: it must be [height, width] in pixels, two integers"
        )
