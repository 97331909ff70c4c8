"""`tune(config)`: from a composed configuration (`configs/tune.yaml`) to the best learning rate and
all trials.

Ray Tune runs the trials, Optuna proposes their rates and whatever else `tune.space` has, and ASHA
stops those that fall behind. A trial is a run of `strhub.training.run.train`; one that is killed
resumes from its last state. The search leaves in `output_dir`

    search.yaml             its configuration, which `tune.resume_dir` checks
    trials.csv, trials.png  a line a trial, best first, and a plot
    experiment/best.yaml    the best values, for train.py:
                        `--config-dir <output_dir> +experiment=best`
    ray/                    the state to resume from, and a folder a trial with its logs

Needs the extra `tune`; ray and optuna are imported only when a search runs.
"""

from __future__ import annotations

import copy
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.callbacks import Callback, Checkpoint

from strhub.training.callbacks.last_checkpoint import LastCheckpoint
from strhub.training.callbacks.step_guard import StepGuard
from strhub.training.own_searches import check_own, mark_own
from strhub.training.run import train
from strhub.training.systems.base import System
from strhub.training.tuning_checks import (
    check_installed,
    check_same_search,
    check_search,
    search_space,
)
from strhub.training.tuning_results import METRICS, Search, Trial, ranked, rounded, write_results
from strhub.utils.cluster import ray_session
from strhub.utils.files import write_whole
from strhub.utils.telemetry import switch_off_telemetry


def tune(config: DictConfig) -> Search:
    """Search for the learning rate as the configuration says, write the files named above and
    return the trials.

    Ctrl-C ends the search early: what there is by then is returned, with `complete` False.
    Raises `ValueError` for what is wrong with the configuration or made every trial fail,
    `MissingExtra` without Ray.
    """
    switch_off_telemetry()
    check_installed()
    data = check_search(config)
    settings = config.tune
    folder = Path(settings.resume_dir or config.output_dir).absolute()
    if settings.resume_dir:
        check_same_search(config, folder)
        if not settings.trust:
            check_own(folder)
    elif (folder / "search.yaml").exists():
        raise ValueError(
            f"{folder} already holds a search: resume it by tune.resume_dir, or choose another "
            "folder"
        )
    with ray_session(settings.address, option="tune.address") as cluster:
        tuner = _tuner(config, folder, cluster, data)
        folder.mkdir(parents=True, exist_ok=True)
        if not settings.resume_dir:
            mark_own(folder)
        write_whole(folder / "search.yaml", OmegaConf.to_yaml(config))
        grid = tuner.fit()
    trials = ranked(
        [_trial(result) for result in grid if result.config], settings.metric, settings.mode
    )
    done = [result for result in grid if result.error or (result.metrics or {}).get("done")]
    if trials and all(trial.error for trial in trials):
        raise ValueError(
            f"every trial failed, one with: {trials[0].error} (see {folder / 'ray'}/*/error.txt)"
        )
    search = Search(trials, settings.metric, folder, complete=len(done) >= settings.num_samples)
    write_results(search, config)
    if search.complete:
        for states in folder.glob("ray/*/checkpoints"):
            shutil.rmtree(states, ignore_errors=True)
    return search


def trial_config(config: DictConfig, values: Mapping[str, Any], folder: str | Path) -> DictConfig:
    """Return the configuration of a trial for `train`: its values by option, its length, reports,
    and one state on disk.

    What `StepGuard` would mend is left as it is: a rate that makes steps go wrong is to look bad.
    """
    changed = config.copy()
    for name, value in values.items():
        OmegaConf.update(changed, name, value)
    trial: Any = OmegaConf.to_container(changed)
    settings = trial.pop("tune")
    trial["output_dir"], trial["ckpt_path"] = str(folder), "last"
    kept = {}
    for name, callback in (trial.get("callbacks") or {}).items():
        kind = get_class(callback["_target_"]) if callback else Checkpoint
        if issubclass(kind, LastCheckpoint):
            kept[name] = {**callback, "dirpath": f"{folder}/checkpoints"}
        elif not issubclass(kind, Checkpoint | StepGuard):
            kept[name] = callback
    trial["callbacks"] = {**kept, "report": {"_target_": "strhub.training.tuning.ReportToRay"}}
    # Ray deals out the devices and shows one to a trial; its log files have no use for a progress
    # bar.
    trial["trainer"] |= {"devices": 1, "strategy": "auto", "enable_progress_bar": False}
    if settings["max_steps"] is not None:
        batches = settings["max_steps"] * trial["trainer"]["accumulate_grad_batches"]
        trial["trainer"] |= {
            "max_steps": settings["max_steps"],
            "max_epochs": -1,
            "val_check_interval": max(1, batches // settings["reports"]),
            "check_val_every_n_epoch": None,  # count the batches across epochs
        }
    return OmegaConf.create(trial)


def run_trial(
    config: DictConfig,
    params: Mapping[str, Any],
    folder: str | Path,
    shared_data: pl.LightningDataModule | None,
) -> None:
    """Train with proposed values, from the last state in the folder if there is one.

    lent: what `config.data` describes, unless an option of it is searched; None: it is read anew.
    """
    own = trial_config(config, {name: rounded(value) for name, value in params.items()}, folder)
    same = OmegaConf.to_container(own.data, resolve=True) == OmegaConf.to_container(
        config.data, resolve=True
    )
    train(own, data=copy.copy(shared_data) if same else None)


class ReportToRay(Callback):
    """Report every validation to Ray Tune, which may then end the trial: METRICS and `progress` in
    percent.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find the number of steps."""
        assert isinstance(pl_module, System)
        self.steps = pl_module.total_steps()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report, unless this is the check before training; go on only if the model has not
        diverged.
        """
        if trainer.sanity_checking:
            return
        from ray import tune as ray_tune

        metrics = {name: float(trainer.callback_metrics[name]) for name in METRICS}
        ray_tune.report({**metrics, "progress": 100 * trainer.global_step / self.steps})
        if not math.isfinite(metrics["val_loss"]):
            trainer.should_stop = True


def trial_resources(config: DictConfig, cluster: Mapping[str, float]) -> dict[str, float]:
    """Return what a trial asks of Ray, which has `cluster`, amounts by name; `ValueError` where it
    would wait for ever.
    """
    wanted = config.tune.resources_per_trial
    gpu = wanted.gpu
    if gpu is None:
        gpu = int(cluster.get("GPU", 0) >= 1 and config.trainer.accelerator != "cpu")
    if not 0 <= gpu <= 1:
        raise ValueError(
            f"tune.resources_per_trial.gpu is {gpu}: a trial takes from 0 to 1 of a GPU"
        )
    for name, amount in (("cpu", wanted.cpu), ("gpu", gpu)):
        if amount > cluster.get(name.upper(), 0):
            raise ValueError(
                f"tune.resources_per_trial.{name} is {amount}: Ray has "
                f"{cluster.get(name.upper(), 0):g}"
            )
    return {"cpu": wanted.cpu, "gpu": gpu}


def _tuner(
    config: DictConfig, folder: Path, cluster: Mapping[str, float], data: pl.LightningDataModule
) -> Any:
    """Return Ray's Tuner for a new search in `folder`, or for the rest of the one there.

    data: read once, here, and lent to every trial that does not search an option of it.
    """
    from ray import tune as ray_tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    settings, here = config.tune, Path.cwd()

    def trial(params: dict[str, Any], shared_data: pl.LightningDataModule) -> None:
        os.chdir(here)  # paths in the configuration are relative to where the search was started
        trial_folder = ray_tune.get_context().get_trial_dir()
        run_trial(config, params, trial_folder, shared_data)

    with_data = ray_tune.with_parameters(trial, shared_data=data)
    trainable = ray_tune.with_resources(with_data, trial_resources(config, cluster))
    if settings.resume_dir:
        if not ray_tune.Tuner.can_restore(str(folder / "ray")):
            raise ValueError(
                f"tune.resume_dir: {folder} was stopped before its first trial: start a new search"
            )
        return ray_tune.Tuner.restore(
            str(folder / "ray"), trainable, resume_unfinished=True, restart_errored=True
        )
    asha = {"grace_period": settings.grace_period, "reduction_factor": settings.reduction_factor}
    # stop_last_trials would end a trial at its last report, before its files are closed.
    scheduler = ASHAScheduler(time_attr="progress", max_t=100, stop_last_trials=False, **asha)
    return ray_tune.Tuner(
        trainable,
        param_space={
            name: _distribution(ray_tune, spec) for name, spec in search_space(config).items()
        },
        tune_config=ray_tune.TuneConfig(
            metric=settings.metric,
            mode=settings.mode,
            search_alg=OptunaSearch(seed=config.seed),
            scheduler=scheduler,
            num_samples=settings.num_samples,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=ray_tune.RunConfig(
            name="ray",
            storage_path=str(folder),
            verbose=1,
            failure_config=ray_tune.FailureConfig(max_failures=settings.max_failures),
        ),
    )


def _distribution(ray_tune: Any, spec: Mapping[str, Any]) -> Any:
    kind, values = next(iter(spec.items()))
    if kind == "randint":
        return ray_tune.randint(values[0], values[1] + 1)
    return ray_tune.choice(values) if kind == "choice" else getattr(ray_tune, kind)(*values)


def _trial(result: Any) -> Trial:
    """Return our own record of Ray's `Result`."""
    reported = result.metrics or {}
    cause = getattr(result.error, "cause", None) or result.error
    values = {name: rounded(value) for name, value in reported["config"].items()}
    return Trial(
        lr=values.pop("model.lr"),
        metrics={
            name: reported[name] for name in METRICS if math.isfinite(reported.get(name, math.nan))
        },
        progress=reported.get("progress", 0.0),
        seconds=reported.get("time_total_s", 0.0),
        error=str(cause).strip().splitlines()[-1] if cause else "",
        others=values,
    )
