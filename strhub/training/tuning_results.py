"""What a search found: its trials, in order, as a table, a plot and a file for train.py."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from strhub.configs import CONFIG_DIR
from strhub.utils.files import write_whole
from strhub.utils.install import install_command
from strhub.utils.log_axis import log_x_axis, write_figure

__all__ = ["METRICS", "Search", "Trial", "ranked", "rounded", "write_results"]

log = logging.getLogger(__name__)

METRICS = {"val_accuracy": "max", "val_NED": "max", "val_loss": "min"}


@dataclass(frozen=True)
class Trial:
    """One learning rate and what came of it: its last validation, and how far it got, in percent of
    its steps.
    """

    lr: float
    metrics: Mapping[
        str, float
    ]  # by the names in METRICS, as far as they are finite; empty without a validation
    progress: float = 0.0
    seconds: float = 0.0
    error: str = ""
    others: Mapping[str, Any] = field(default_factory=dict)  # values of `tune.space`, by option

    @property
    def values(self) -> dict[str, Any]:
        """Return all values that were searched, by option."""
        return {"model.lr": self.lr, **self.others}


@dataclass(frozen=True)
class Search:
    """What a search found: its trials, best by `metric` first, and whether it has done all that it
    was to try.
    """

    trials: list[Trial]
    metric: str
    folder: Path
    complete: bool

    @property
    def best(self) -> Trial | None:
        """Return the best trial; None if none was validated."""
        return self.trials[0] if self.trials and self.metric in self.trials[0].metrics else None

    @property
    def others(self) -> list[str]:
        """Return the options that were searched besides the learning rate."""
        return list(self.trials[0].others) if self.trials else []


def ranked(trials: list[Trial], metric: str, mode: str) -> list[Trial]:
    """Return the trials, best first, ties by their loss; those without the metric at the end."""
    sign = -1 if mode == "max" else 1

    def order(trial: Trial) -> tuple[bool, float, float]:
        found = trial.metrics
        return metric not in found, sign * found.get(metric, 0.0), found.get("val_loss", math.inf)

    return sorted(trials, key=order)


def rounded(value: Any) -> Any:
    """Return numbers to three digits: a trial trains with the very values that the table and the
    files show.
    """
    return float(f"{value:.3g}") if isinstance(value, float) else value


def write_results(search: Search, config: DictConfig | None = None) -> None:
    """Write `trials.csv`, a plot if there is Matplotlib and, if a trial was validated,
    `experiment/best.yaml`.

    config: of the search, all of which the experiment then holds; None: it holds the values that
        were found alone.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["lr", *search.others, *METRICS, "progress", "seconds", "error"])
    for trial in search.trials:
        values = [*trial.others.values(), *(trial.metrics.get(name, "") for name in METRICS)]
        writer.writerow(
            [trial.lr, *values, f"{trial.progress:.1f}", f"{trial.seconds:.1f}", trial.error]
        )
    write_whole(search.folder / "trials.csv", table.getvalue())
    if search.best is not None:
        found = (
            f"{search.metric} {search.best.metrics[search.metric]:.4f}, the best of "
            f"{len(search.trials)} trials"
        )
        path = search.folder / "experiment" / "best.yaml"
        path.parent.mkdir(exist_ok=True)
        best = best_experiment(search.best.values, config)
        write_whole(path, f"# @package _global_\n# {found}.\n{OmegaConf.to_yaml(best)}")
        plot(search)


def best_experiment(values: Mapping[str, Any], config: DictConfig | None) -> DictConfig:
    """Return the experiment that trains as a trial with these values did, whatever train.py's
    defaults are.

    It holds every option of the search's configuration, and chooses the groups whose other options
    must not be left over from the defaults.
    """
    best = OmegaConf.create()
    if config is not None:
        chosen = [
            {f"override /{group}": name}
            for group in _REPLACED
            if (name := _choice(group, config[group]))
        ]
        content = OmegaConf.to_container(config, resolve=False)
        assert isinstance(content, dict)
        kept = {name: value for name, value in content.items() if name not in _NOT_SEARCHED}
        best = OmegaConf.create({"defaults": chosen, **kept})
    for name, value in values.items():
        OmegaConf.update(best, name, value, force_add=True)
    return best


_REPLACED = ("model", "optimizer", "schedule")
_NOT_SEARCHED = ("tune", "hydra", "output_dir", "ckpt_path", "logger")


def _choice(group: str, options: DictConfig) -> str | None:
    """Return the file of a group that an option of the same architecture, or else the same target,
    comes from.
    """
    key = "architecture" if options.get("architecture") else "_target_"
    for path in sorted((CONFIG_DIR / group).glob("*.yaml")):
        found: Any = OmegaConf.load(path)
        if found.get(key) == options.get(key):
            return path.stem
    return None


def plot(search: Search) -> None:
    """Write `trials.png`: the metric against each option that was searched; how far a trial got is
    its color.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.info("no trials.png: that needs Matplotlib (%s)", install_command("bench"))
        return
    names = ["model.lr", *search.others]
    shown = [trial for trial in search.trials if search.metric in trial.metrics]
    figure = Figure(figsize=(4 * len(names), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = [trial.values[name] for trial in shown]
        numbers = all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        )
        if numbers and min(values) > 0 and max(values) > 10 * min(values):
            log_x_axis(axes, values)
        points = axes.scatter(
            values if numbers else [str(value) for value in values],
            [trial.metrics[search.metric] for trial in shown],
            c=[trial.progress for trial in shown],
            vmin=0,
            vmax=100,
        )
        axes.set(xlabel=name, ylabel=search.metric)
    figure.colorbar(points, ax=axes, label="progress in percent")
    write_figure(figure, search.folder / "trials.png", dpi=100)
