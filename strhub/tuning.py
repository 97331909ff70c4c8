"""`tune(config)`: from a composed configuration (`configs/tune.yaml`) to the best learning rate and all trials.

Ray Tune runs the trials, Optuna proposes their rates and ASHA stops those that fall behind. A trial is a run of
`strhub.training.train`. The search leaves in `output_dir`

    search.yaml             its configuration, which `tune.resume_dir` checks
    trials.csv              a line a trial, best first
    experiment/best.yaml    the best rate as an experiment of train.py, for `--config-dir <output_dir> +experiment=best`
    ray/                    the state to go on from, and a folder a trial with its logs

Needs the extra `tune`; ray and optuna are imported only when a search runs.
"""

from __future__ import annotations

import csv
import importlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, Checkpoint

from strhub.cluster import ray_session
from strhub.training import model_from_config, train

METRICS = {"val_accuracy": "max", "val_NED": "max", "val_loss": "min"}
MAY_CHANGE = ("output_dir", "tune.resume_dir", "tune.address", "tune.resources_per_trial")  # when a search goes on


class MissingExtra(ImportError):
    """Ray or Optuna is not installed."""


@dataclass(frozen=True)
class Trial:
    """One learning rate and what came of it: its last validation, and how far it got, in percent of its steps."""

    lr: float
    metrics: Mapping[str, float]  # by the names in METRICS, as far as they are finite; empty without a validation
    progress: float = 0.0
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Search:
    """What a search found: its trials, best by `metric` first, and whether it has done all that it was to try."""

    trials: list[Trial]
    metric: str
    folder: Path
    complete: bool

    @property
    def best(self) -> Trial | None:
        """The best trial; None if none was validated."""
        return self.trials[0] if self.trials and self.metric in self.trials[0].metrics else None


def tune(config: DictConfig) -> Search:
    """Search for the learning rate as the configuration says, write the files named above and return the trials.

    Ctrl-C ends the search early: what there is by then is returned, with `complete` False.
    Raises `ValueError` for what is wrong with the configuration or made every trial fail, `MissingExtra` without Ray.
    """
    check_installed()
    check_search(config)
    settings = config.tune
    folder = Path(settings.resume_dir or config.output_dir).absolute()
    if settings.resume_dir:
        check_same_search(config, folder)
    elif (folder / "search.yaml").exists():
        raise ValueError(f"{folder} already holds a search: go on with it by tune.resume_dir, or give another folder")
    with ray_session(settings.address, option="tune.address") as cluster:
        tuner = _tuner(config, folder, cluster)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "search.yaml").write_text(OmegaConf.to_yaml(config), "utf-8")
        grid = tuner.fit()
    trials = ranked([_trial(result) for result in grid if result.config], settings.metric, settings.mode)
    done = [result for result in grid if result.error or (result.metrics or {}).get("done")]
    if trials and all(trial.error for trial in trials):
        raise ValueError(f"every trial failed, one with: {trials[0].error} (see {folder / 'ray'}/*/error.txt)")
    search = Search(trials, settings.metric, folder, complete=len(done) >= settings.num_samples)
    write_results(search)
    return search


def check_installed() -> None:
    """`MissingExtra` unless Ray Tune and Optuna can be imported."""
    for name in ("ray.tune", "optuna"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise MissingExtra("needs the extra: pip install strhub[tune]", name=name) from error


def check_search(config: DictConfig) -> None:
    """`ValueError` for what is wrong with the search, the model or the data, before anything is started."""
    settings = config.tune
    if not 0 < settings.lr.min < settings.lr.max:
        raise ValueError(f"tune.lr: min {settings.lr.min} must be above 0 and below max {settings.lr.max}")
    if settings.metric not in METRICS:
        raise ValueError(f"tune.metric is {settings.metric!r}: it must be one of {', '.join(METRICS)}")
    if settings.mode != METRICS[settings.metric]:
        raise ValueError(f"tune.mode is {settings.mode!r}: {settings.metric} needs {METRICS[settings.metric]!r}")
    for name in ("num_samples", "max_steps", "reports"):
        if settings[name] is not None and settings[name] < 1:
            raise ValueError(f"tune.{name} is {settings[name]}: it must be at least 1")
    if not 0 < settings.grace_period <= 100 or settings.reduction_factor <= 1:
        raise ValueError("tune.grace_period must be above 0 and at most 100, and tune.reduction_factor above 1")
    if config.ckpt_path is not None:
        raise ValueError("ckpt_path: a checkpoint has a rate of its own; to start from weights alone, set pretrained")
    model_from_config(config)
    data = instantiate(config.data)
    _ = data.train_dataset, data.val_dataset  # making them finds what would fail every trial


def check_same_search(config: DictConfig, folder: Path) -> None:
    """`ValueError` unless `folder` holds a search with this configuration: half of each would mean nothing."""
    if not (folder / "search.yaml").is_file():
        raise ValueError(f"tune.resume_dir: there is no search in {folder}")
    before, now = (_flat(OmegaConf.to_container(part)) for part in (OmegaConf.load(folder / "search.yaml"), config))
    for name in [*before, *now]:
        if not name.startswith(MAY_CHANGE) and before.get(name) != now.get(name):
            raise ValueError(f"tune.resume_dir: that search had {name}={before.get(name)}, this has {now.get(name)}")


def trial_config(config: DictConfig, lr: float, folder: str | Path) -> DictConfig:
    """The configuration of a trial for `train`: its rate, its length, reports, and nothing heavy on disk."""
    trial: Any = OmegaConf.to_container(config)
    settings = trial.pop("tune")
    trial["output_dir"], trial["model"]["lr"] = str(folder), lr
    callbacks = {name: callback for name, callback in (trial.get("callbacks") or {}).items() if callback}
    kept = {name: one for name, one in callbacks.items() if not issubclass(get_class(one["_target_"]), Checkpoint)}
    trial["callbacks"] = {**kept, "report": {"_target_": "strhub.tuning.ReportToRay"}}
    # Ray deals out the devices and shows one to a trial; its log files have no use for a progress bar.
    trial["trainer"] |= {"devices": 1, "enable_checkpointing": False, "enable_progress_bar": False}
    if settings["max_steps"] is not None:
        batches = settings["max_steps"] * trial["trainer"]["accumulate_grad_batches"]
        trial["trainer"] |= {
            "max_steps": settings["max_steps"],
            "max_epochs": -1,
            "val_check_interval": max(1, batches // settings["reports"]),
            "check_val_every_n_epoch": None,  # count the batches across epochs
        }
    return OmegaConf.create(trial)


class ReportToRay(Callback):
    """Report every validation to Ray Tune, which may then end the trial: METRICS and `progress` in percent."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the number of steps."""
        self.steps = trainer.estimated_stepping_batches

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, unless this is the check before training; go on only if the model has not diverged."""
        if trainer.sanity_checking:
            return
        from ray import tune as ray_tune

        metrics = {name: float(trainer.callback_metrics[name]) for name in METRICS}
        ray_tune.report({**metrics, "progress": 100 * trainer.global_step / self.steps})
        if not math.isfinite(metrics["val_loss"]):
            trainer.should_stop = True


def trial_resources(config: DictConfig, cluster: Mapping[str, float]) -> dict[str, float]:
    """What a trial asks of Ray, which has `cluster`, amounts by name; `ValueError` where it would wait for ever."""
    wanted = config.tune.resources_per_trial
    gpu = wanted.gpu
    if gpu is None:
        gpu = int(cluster.get("GPU", 0) >= 1 and config.trainer.accelerator != "cpu")
    if not 0 <= gpu <= 1:
        raise ValueError(f"tune.resources_per_trial.gpu is {gpu}: a trial takes from 0 to 1 of a GPU")
    for name, amount in (("cpu", wanted.cpu), ("gpu", gpu)):
        if amount > cluster.get(name.upper(), 0):
            raise ValueError(f"tune.resources_per_trial.{name} is {amount}: Ray has {cluster.get(name.upper(), 0):g}")
    return {"cpu": wanted.cpu, "gpu": gpu}


def ranked(trials: list[Trial], metric: str, mode: str) -> list[Trial]:
    """Best first, equals by their loss; those without the metric at the end."""
    sign = -1 if mode == "max" else 1

    def order(trial: Trial) -> tuple[bool, float, float]:
        found = trial.metrics
        return metric not in found, sign * found.get(metric, 0.0), found.get("val_loss", math.inf)

    return sorted(trials, key=order)


def write_results(search: Search) -> None:
    """Write `trials.csv` and, if a trial was validated, `experiment/best.yaml`."""
    with (search.folder / "trials.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["lr", *METRICS, "progress", "seconds", "error"])
        for trial in search.trials:
            values = [trial.metrics.get(name, "") for name in METRICS]
            writer.writerow([trial.lr, *values, f"{trial.progress:.1f}", f"{trial.seconds:.1f}", trial.error])
    if search.best is not None:
        found = f"{search.metric} {search.best.metrics[search.metric]:.4f}, the best of {len(search.trials)} trials"
        path = search.folder / "experiment" / "best.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"# @package _global_\n# {found}.\nmodel:\n  lr: {search.best.lr}\n", "utf-8")


def rounded(lr: float) -> float:
    """To three digits: a trial trains with the very rate that the table and the files show."""
    return float(f"{lr:.3g}")


def _tuner(config: DictConfig, folder: Path, cluster: Mapping[str, float]) -> Any:
    """Ray's Tuner for a new search in `folder`, or for what is left of the one there."""
    from ray import tune as ray_tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    settings, here = config.tune, Path.cwd()

    def trial(params: dict[str, float]) -> None:
        os.chdir(here)  # paths in the configuration are relative to where the search was started
        trial_folder = ray_tune.get_context().get_trial_dir()
        train(trial_config(config, rounded(params["lr"]), trial_folder))

    trainable = ray_tune.with_resources(trial, trial_resources(config, cluster))
    if settings.resume_dir:
        if not ray_tune.Tuner.can_restore(str(folder / "ray")):
            raise ValueError(f"tune.resume_dir: {folder} was stopped before its first trial: start a new search")
        return ray_tune.Tuner.restore(str(folder / "ray"), trainable, restart_errored=True)
    asha = {"grace_period": settings.grace_period, "reduction_factor": settings.reduction_factor}
    # stop_last_trials would end a trial at its last report, before its files are closed.
    scheduler = ASHAScheduler(time_attr="progress", max_t=100, stop_last_trials=False, **asha)
    return ray_tune.Tuner(
        trainable,
        param_space={"lr": ray_tune.loguniform(settings.lr.min, settings.lr.max)},
        tune_config=ray_tune.TuneConfig(
            metric=settings.metric,
            mode=settings.mode,
            search_alg=OptunaSearch(seed=config.seed),
            scheduler=scheduler,
            num_samples=settings.num_samples,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=ray_tune.RunConfig(name="ray", storage_path=str(folder), verbose=1),
    )


def _trial(result: Any) -> Trial:
    """Our own record of Ray's `Result`."""
    reported = result.metrics or {}
    cause = getattr(result.error, "cause", None) or result.error
    return Trial(
        lr=rounded(reported["config"]["lr"]),
        metrics={name: reported[name] for name in METRICS if math.isfinite(reported.get(name, math.nan))},
        progress=reported.get("progress", 0.0),
        seconds=reported.get("time_total_s", 0.0),
        error=str(cause).strip().splitlines()[-1] if cause else "",
    )


def _flat(node: Any, name: str = "") -> dict[str, Any]:
    """Values by dotted name."""
    if not isinstance(node, dict):
        return {name: node}
    return {key: value for part in node for key, value in _flat(node[part], f"{name}.{part}".lstrip(".")).items()}
