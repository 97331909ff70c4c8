"""Hyper-parameters of a named experiment, read from the configuration tree without Hydra.

Only what the zoo needs: the `model` part of `main.yaml`, a charset, a model and an experiment,
merged in Hydra's order. A test holds it against Hydra's own composition of every experiment.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from strhub.configs import CONFIG_DIR
from strhub.utils.options import unknown_name_message


def experiment_names() -> list[str]:
    """Return the names of all experiments."""
    return sorted(path.stem for path in (CONFIG_DIR / "experiment").glob("*.yaml"))


def experiment_hyper_parameters(name: str) -> dict[str, Any]:
    """Return what `+experiment=<name>` makes of `model`, less what refers to other parts of the
    configuration.

    A model of `configs/model` that no experiment is named for counts as one.
    `ValueError` names the nearest experiment for an unknown one.
    """
    main = _read(CONFIG_DIR / "main.yaml")
    if name in experiment_names():
        experiment = _read(CONFIG_DIR / "experiment" / f"{name}.yaml")
    elif (CONFIG_DIR / "model" / f"{name}.yaml").is_file():
        experiment = {"defaults": [{"override /model": name}]}
    else:
        raise ValueError(unknown_name_message(name, experiment_names(), "experiment"))
    choices = {**_choices(main["defaults"]), **_choices(experiment.get("defaults", []))}
    model = _read(CONFIG_DIR / "model" / f"{choices['model']}.yaml")
    charset = _read(CONFIG_DIR / "charset" / f"{choices['charset']}.yaml")
    merged = {**main["model"], **model, **charset["model"], **experiment.get("model", {})}
    merged["normalize"] = {**main["data"], **experiment.get("data", {})}["normalize"]
    return {
        key: value for key, value in merged.items() if not (key.startswith("_") or _refers(value))
    }


def _read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text("utf-8"), Loader=_Loader) or {}


class _Loader(yaml.SafeLoader):
    """YAML 1.2's numbers, as Hydra reads them: 7e-4 is a number, not a text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


def _choices(defaults: list[Any]) -> dict[str, str]:
    """Map the groups of a defaults list to their choices: `override /model: parseq` gives {"model":
    "parseq"}.
    """
    pairs = [item for entry in defaults if isinstance(entry, dict) for item in entry.items()]
    return {key.removeprefix("override ").strip("/ "): value for key, value in pairs}


def _refers(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("${")
