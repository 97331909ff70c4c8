"""The learning-rate search: on the real composed configuration, without Ray where it can be and
once with it.
"""

import csv
import math
import pickle
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from small_runs import SMALL

from strhub.cli import tune as command_line
from strhub.configs import CONFIG_DIR
from strhub.errors import MissingExtra
from strhub.training.run import check_config, train
from strhub.training.tuning import (
    ReportToRay,
    Search,
    Trial,
    ranked,
    rounded,
    run_trial,
    trial_config,
    trial_resources,
    tune,
    write_results,
)
from strhub.training.tuning_checks import check_same_search, check_search, search_space

QUICK = (
    "dataset=rendered",
    "data.render.words=32",
    "data.num_workers=0",
    "logger=csv",
    "trainer.accelerator=cpu",
)

Compose = Callable[..., DictConfig]


@pytest.fixture
def compose_tune(tmp_path: Path, word_tree: Path, monkeypatch: pytest.MonkeyPatch) -> Compose:
    """Compose the real search with a small model; its output goes to a temporary folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def composed(*overrides: str, small: Sequence[str] = SMALL) -> DictConfig:
        paths = (f"output_dir={tmp_path / 'run'}", f"data.root_dir={word_tree}")
        with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
            return compose("tune", overrides=[*small, *QUICK, *paths, *overrides])

    return composed


def trial(lr: float, accuracy: float = math.nan, loss: float = 1.0, **others: Any) -> Trial:
    metrics = (
        {}
        if math.isnan(accuracy)
        else {"val_accuracy": accuracy, "val_NED": accuracy, "val_loss": loss}
    )
    return Trial(lr, metrics, **others)


@pytest.mark.parametrize("name", ["parseq-tiny", "parseq", "strhub-tiny"])
def test_composes_with_every_option_of_training(name: str) -> None:
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        overrides = [
            f"+experiment={name}",
            "tune.num_samples=4",
            "tune.lr.min=1e-4",
            "tune.lr.max=2e-3",
        ]
        config = compose("tune", overrides=overrides)
        training = compose("main", overrides=overrides[:1])
    assert config.tune.num_samples == 4
    assert (config.tune.lr.min, config.tune.lr.max) == (1e-4, 2e-3)
    plain: Any = OmegaConf.to_container(config)
    assert {name: part for name, part in plain.items() if name != "tune"} == OmegaConf.to_container(
        training
    )


def test_an_unknown_option_is_an_error(compose_tune: Compose) -> None:
    with pytest.raises(ConfigCompositionException, match="num_sample"):
        compose_tune("tune.num_sample=3")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tune.lr.min=1", "tune.lr: min 1 .* below max 0.002"),
        ("tune.lr.min=0", "above 0"),
        ("tune.metric=val_acc", "tune.metric is 'val_acc': .* val_accuracy, val_NED, val_loss"),
        ("tune.mode=min", "val_accuracy needs 'max'"),
        ("tune.num_samples=0", "tune.num_samples is 0"),
        ("tune.max_steps=0", "tune.max_steps is 0"),
        ("tune.grace_period=0", "tune.grace_period"),
        ("tune.reduction_factor=1", "tune.reduction_factor"),
        ("+model.embed_dimm=3", "'embed_dimm'.*'embed_dim'"),
        ("data.root_dir=/nowhere", "looked for LMDB.*/nowhere/val"),
        ("ckpt_path=/nowhere.ckpt", "ckpt_path: a checkpoint has its own learning rate"),
        ("tune.space={model.dropuot: {uniform: [0, 1]}}", "no option 'model.dropuot' to search"),
        (
            "tune.space={model.dropout: {normal: [0, 1]}}",
            "write one of uniform, loguniform, randint, choice",
        ),
        ("tune.space={model.dropout: 0.5}", "such as model.dropout: {uniform"),
        (
            "tune.space={model.dropout: {uniform: [1, 0]}}",
            "uniform needs a lowest and a highest number",
        ),
        ("tune.space={model.dropout: {loguniform: [0, 1]}}", "loguniform needs"),
    ],
)
def test_mistakes_are_found_before_anything_starts(
    compose_tune: Compose, override: str, message: str
) -> None:
    check_search(compose_tune())
    with pytest.raises(ValueError, match=message):
        check_search(compose_tune(override))


def test_a_trial_trains_as_configured_but_for_what_is_searched(
    compose_tune: Compose, tmp_path: Path
) -> None:
    config = compose_tune("trainer.precision=bf16-mixed", "trainer.max_epochs=3", "averaging=ema")
    trained = trial_config(config, {"model.lr": 3e-4}, tmp_path / "trial")
    assert trained.model == {**config.model, "lr": 3e-4}
    assert trained.data == config.data
    assert trained.ckpt_path == "last", "a trial that was killed goes on"
    assert "tune" not in trained
    changed = {
        name for name in trained.trainer if trained.trainer[name] != config.trainer.get(name)
    }
    assert changed == {"devices", "enable_progress_bar"}
    assert trained.trainer.precision == "bf16-mixed"
    assert "averaging" in trained.callbacks
    assert not {"best", "guard"} & set(trained.callbacks)
    assert trained.callbacks["last"].dirpath == str(tmp_path / "trial" / "checkpoints")
    assert isinstance(instantiate(trained.callbacks.report), ReportToRay)
    assert trained.logger.csv.save_dir == str(tmp_path / "trial")


def test_a_trial_of_so_many_steps_is_validated_so_often(compose_tune: Compose) -> None:
    config = compose_tune(
        "tune.max_steps=100", "tune.reports=4", "trainer.accumulate_grad_batches=2"
    )
    trainer = trial_config(config, {"model.lr": 1e-3}, "trial").trainer
    assert (trainer.max_steps, trainer.max_epochs) == (100, -1)
    assert (trainer.val_check_interval, trainer.check_val_every_n_epoch) == (50, None)


def test_a_space_of_any_options(compose_tune: Compose, tmp_path: Path) -> None:
    config = compose_tune(
        "tune.space={model.dropout: {uniform: [0, 0.3]}, data.augment: {choice: [true, strong]}}"
    )
    check_search(config)
    assert list(search_space(config)) == ["model.lr", "model.dropout", "data.augment"]
    values = {"model.lr": 1e-3, "model.dropout": 0.25, "data.augment": "strong"}
    trained = trial_config(config, values, tmp_path)
    assert (trained.model.lr, trained.model.dropout, trained.data.augment) == (1e-3, 0.25, "strong")
    trials = [
        trial(1e-3, 50, others={"model.dropout": 0.25, "data.augment": "strong"}),
        trial(1e-2, 40, others={"model.dropout": 0.1, "data.augment": True}),
    ]
    search = Search(trials, "val_accuracy", tmp_path, complete=True)
    write_results(search)
    best = OmegaConf.load(tmp_path / "experiment" / "best.yaml")
    assert best == {"model": {"lr": 1e-3, "dropout": 0.25}, "data": {"augment": "strong"}}
    with (tmp_path / "trials.csv").open() as file:
        assert [row["data.augment"] for row in csv.DictReader(file)] == ["strong", "True"]
    assert command_line.advice(search, ["model.dropout=0.9", "data.render.words=9"]).endswith(
        "strhub-train data.render.words=9 model.lr=0.001 model.dropout=0.25 data.augment=strong"
    )
    assert command_line.table(search).splitlines()[1].split()[-2:] == ["0.25", "strong"]


def test_a_trial_uses_lent_data_and_goes_on_where_it_was_killed(
    compose_tune: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for Ray that only takes reports."""
    reports: list[dict[str, float]] = []
    session = SimpleNamespace(report=reports.append)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(tune=session))
    monkeypatch.setitem(sys.modules, "ray.tune", session)
    config = compose_tune(
        "tune.max_steps=4",
        "tune.reports=2",
        "callbacks.summary=null",
        "trainer.log_every_n_steps=1",
    )
    lent = pickle.loads(pickle.dumps(check_search(config)))  # as it travels to a trial
    run_trial(config, {"model.lr": 0.00123456}, tmp_path / "trial", lent)
    assert [report["progress"] for report in reports] == [50, 100]
    state = torch.load(tmp_path / "trial" / "checkpoints" / "previous.ckpt", weights_only=True)
    assert (state["global_step"], state["hyper_parameters"]["lr"]) == (4, 0.00123)
    run_trial(config, {"model.lr": 0.00123456, "data.augment": False}, tmp_path / "trial", lent)
    assert len(reports) == 2, "it was done already, and with data of its own"
    (
        tmp_path / "trial" / "checkpoints" / "last.ckpt"
    ).unlink()  # what is left was saved before the last validation
    run_trial(config, {"model.lr": 0.00123456}, tmp_path / "trial", lent)
    assert reports[2:] == reports[1:2], "which is made up"


def test_resources(compose_tune: Compose) -> None:
    machine = {"CPU": 4.0, "GPU": 1.0}
    assert trial_resources(compose_tune(), machine) == {"cpu": 1, "gpu": 0}, (
        "the trainer wants none"
    )
    assert trial_resources(compose_tune("trainer.accelerator=auto"), machine) == {
        "cpu": 1,
        "gpu": 1,
    }
    assert trial_resources(compose_tune("trainer.accelerator=auto"), {"CPU": 4.0}) == {
        "cpu": 1,
        "gpu": 0,
    }
    half = compose_tune("tune.resources_per_trial.gpu=0.5", "tune.resources_per_trial.cpu=0.25")
    assert trial_resources(half, machine) == {"cpu": 0.25, "gpu": 0.5}
    for override, message in (("gpu=2", "from 0 to 1"), ("cpu=8", "cpu is 8: Ray has 4")):
        with pytest.raises(ValueError, match=message):
            trial_resources(compose_tune(f"tune.resources_per_trial.{override}"), machine)


def test_ranks_by_the_metric_then_by_the_loss() -> None:
    trials = [
        trial(1, error="no memory"),
        trial(2, 50),
        trial(3, 80, loss=2),
        trial(4, 80),
        trial(5),
    ]
    assert [one.lr for one in ranked(trials, "val_accuracy", "max")] == [4, 3, 2, 1, 5]
    assert [one.lr for one in ranked(trials, "val_loss", "min")] == [2, 4, 3, 1, 5]
    assert Search([], "val_accuracy", Path(), complete=False).best is None
    assert Search(trials, "val_accuracy", Path(), complete=True).best is None


def test_the_best_rate_is_an_experiment_that_training_takes(tmp_path: Path) -> None:
    search = Search(
        [trial(rounded(0.00071849), 61.5), trial(2e-5)], "val_accuracy", tmp_path, complete=True
    )
    write_results(search)
    with (tmp_path / "trials.csv").open() as file:
        assert [(row["lr"], row["val_accuracy"]) for row in csv.DictReader(file)] == [
            ("0.000718", "61.5"),
            ("2e-05", ""),
        ]
    text = (tmp_path / "experiment" / "best.yaml").read_text()
    assert text.startswith("# @package _global_\n# val_accuracy 61.5000, the best of 2 trials.")
    assert OmegaConf.create(text) == {"model": {"lr": 7.18e-4}}
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        overrides = [f"hydra.searchpath=[{tmp_path}]", "+experiment=[parseq-tiny,best]"]
        config = compose("main", overrides=overrides)
    assert (config.model.name, config.model.lr) == ("parseq-tiny", 7.18e-4)


def test_the_best_experiment_holds_all_that_was_searched(
    compose_tune: Compose, tmp_path: Path
) -> None:
    """Its model, optimizer and data, too: train.py's defaults are PARSeq's."""
    config = compose_tune(
        "model=crnn", "optimizer=muon", "data.augment=strong", "data.root_dir=/words", small=()
    )
    search = Search([trial(7.18e-4, 61.5)], "val_accuracy", tmp_path, complete=True)
    write_results(search, config)
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        composed = compose(
            "main", overrides=[f"hydra.searchpath=[file://{tmp_path}]", "+experiment=best"]
        )
    assert composed.model == {**config.model, "lr": 7.18e-4}
    for group in ("optimizer", "schedule", "trainer", "callbacks", "finetune"):
        assert composed[group] == config[group]
    assert (composed.data.augment, composed.data.root_dir) == ("strong", "/words")
    check_config(composed)


def test_says_how_to_train_with_the_best_rate(tmp_path: Path) -> None:
    search = Search(
        [trial(7.18e-4, 61.5), trial(2e-5, error="no memory")],
        "val_accuracy",
        tmp_path,
        complete=True,
    )
    advice = command_line.advice(
        search, ["+experiment=parseq-tiny", "tune.num_samples=4", "data.render.words=[1, 2]"]
    )
    assert advice.endswith(
        "strhub-train +experiment=parseq-tiny 'data.render.words=[1, 2]' model.lr=0.000718"
    )
    header, first, second = command_line.table(search).splitlines()
    assert header.split() == [
        "lr",
        "val_accuracy",
        "val_NED",
        "val_loss",
        "progress",
        "%",
        "seconds",
    ]
    assert first.split()[:2] == ["7.18e-04", "61.5000"]
    assert second.endswith("no memory")
    assert "no trial was validated" in command_line.advice(
        Search([], "val_loss", tmp_path, complete=False), []
    )


def test_goes_on_only_with_the_same_search(compose_tune: Compose, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no search in"):
        check_same_search(compose_tune(), tmp_path)
    (tmp_path / "search.yaml").write_text(OmegaConf.to_yaml(compose_tune()))
    check_same_search(
        compose_tune("output_dir=elsewhere", "tune.resources_per_trial.cpu=2"), tmp_path
    )
    with pytest.raises(ValueError, match=r"had trainer.max_epochs=20, this has 3"):
        check_same_search(compose_tune("trainer.max_epochs=3"), tmp_path)
    with pytest.raises(ValueError, match=r"had trainer.limit=None, this has 3"):
        check_same_search(compose_tune("+trainer.limit=3"), tmp_path)


@pytest.mark.parametrize("missing", ["ray", "optuna"])
def test_says_which_extra_is_missing(
    compose_tune: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "optuna":
        pytest.importorskip("ray", reason="the extra tune is not installed")
    for name in (missing, "ray.tune") if missing == "ray" else (missing,):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra):
        tune(compose_tune())
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none", f"hydra.run.dir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["tune.py", *quiet])
    with pytest.raises(
        SystemExit, match=r"^tune\.py: install the extra: pip install -e '.*\[tune\]'$"
    ):
        command_line.main()


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:The reported value is ignored:UserWarning"
)  # Optuna's, of a trial that goes on
def test_searches_with_ray_and_goes_on(compose_tune: Compose, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra tune is not installed")
    overrides = [
        "tune.num_samples=2",
        "tune.max_steps=4",
        "tune.reports=2",
        "callbacks.summary=null",
        "tune.space={model.dropout: {choice: [0.0, 0.1]}}",
        f"+callbacks.dies={{_target_: tests_support.DieOnce, path: {tmp_path / 'die'}}}",
    ]
    (tmp_path / "die").touch()
    search = tune(compose_tune(*overrides))
    assert not (tmp_path / "die").exists(), "a trial was killed, and went on"
    assert search.complete
    assert search.folder == tmp_path / "run"
    assert len(search.trials) == 2
    assert search.best == search.trials[0]
    for one in search.trials:
        assert 1e-4 <= one.lr <= 2e-3
        assert not one.error
        assert set(one.metrics) == {"val_accuracy", "val_NED", "val_loss"}
    assert search.best.progress == 100
    assert len({one.lr for one in search.trials}) == 2
    assert not list(search.folder.rglob("*.ckpt"))
    found = {"lr": search.best.lr, "dropout": search.best.others["model.dropout"]}
    best = OmegaConf.load(search.folder / "experiment" / "best.yaml")
    assert {name: best.model[name] for name in found} == found
    with pytest.raises(ValueError, match="already holds a search"):
        tune(compose_tune(*overrides))
    again = tune(compose_tune(*overrides, f"tune.resume_dir={search.folder}"))
    assert again == search


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:The reported value is ignored:UserWarning")
def test_finds_a_better_rate_than_the_worst_it_tried(compose_tune: Compose, tmp_path: Path) -> None:
    """Six short trials; the file of the best one trains, from other weights, better than the worst
    one's rate does.
    """
    pytest.importorskip("ray", reason="the extra tune is not installed")
    short = [
        "data.render.words=960",
        "data.render.style=simple",
        "data.render.difficulty=0",
        "data.render.validation=60",
        "charset=36_lowercase",
        "model.max_label_length=6",
        "model.batch_size=16",
        "averaging=none",
        "callbacks.summary=null",
    ]
    search = tune(
        compose_tune(
            *short,
            "tune.num_samples=6",
            "tune.max_steps=60",
            "tune.reports=3",
            "tune.lr.min=1e-4",
            "tune.lr.max=1",
            "tune.metric=val_loss",
            "tune.mode=min",
        )
    )
    assert search.complete
    assert len(search.trials) == 6
    losses = {one.lr: one.metrics.get("val_loss", math.inf) for one in search.trials}
    worst = max(losses, key=lambda rate: losses[rate])
    assert search.best is not None
    assert losses[search.best.lr] == min(losses.values()) < losses[worst]

    def trained(name: str, *overrides: str) -> float:
        paths = (f"output_dir={tmp_path / name}", f"hydra.searchpath=[{search.folder}]")
        with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
            more = [
                "seed=7",
                "trainer.max_epochs=1",
                "callbacks.best=null",
                "callbacks.guard=null",
                "+trainer.enable_progress_bar=false",
            ]
            config = compose("main", overrides=[*SMALL, *QUICK, *paths, *short, *more, *overrides])
        return train(config)["val_loss"]

    best_loss, worst_loss = (
        trained("best", "+experiment=best"),
        trained("worst", f"model.lr={worst}"),
    )
    assert math.isfinite(best_loss)
    assert not worst_loss <= best_loss + 0.02, "it is worse, or no number at all"
