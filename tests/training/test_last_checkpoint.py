"""When a run's state is saved, and how it ends on a signal; on a model of five weights."""

import csv
import os
import resource
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Callback, ModelCheckpoint
from torch import Tensor, nn

from strhub.configs import CONFIG_DIR
from strhub.training.callbacks import last_checkpoint
from strhub.training.callbacks.final_validation import FinalValidation
from strhub.training.callbacks.last_checkpoint import LastCheckpoint, Stopped
from strhub.training.callbacks.step_guard import Diverged, StepGuard
from strhub.training.checkpoint_io import DurableCheckpointIO
from strhub.training.loggers import ContinuedCSVLogger

Q = {
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "accelerator": "cpu",
    "devices": 1,
    "log_every_n_steps": 1,
    "num_sanity_val_steps": 0,
    "max_epochs": 1,
}


class Line(pl.LightningModule):
    """Learns a sum; batches of `poison` are not numbers, or far out, by what their value is."""

    def __init__(self, poison: dict[int, float] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 1), nn.BatchNorm1d(1))
        self.poison = poison or {}

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        loss = (
            (self.model(batch + self.poison.get(batch_idx, 0.0)) - batch.sum(1, keepdim=True))
            .square()
            .mean()
        )
        loss = loss * (1 + abs(self.poison.get(batch_idx, 0.0)))
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", self.model(batch).mean())

    def configure_optimizers(self) -> Any:
        return torch.optim.AdamW(self.parameters(), lr=0.05)

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(
            torch.randn(80, 4, generator=torch.Generator().manual_seed(1)), 4
        )


class At(Callback):
    """Call something when a step has begun, or a validation."""

    def __init__(self, step: int, action: Any, *, validation: bool = False) -> None:
        self.step, self.action, self.validation = step, action, validation

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.step and not self.validation:
            self.step = -1  # once
            self.action()

    def on_validation_batch_start(self, trainer: Any, *_: Any, **__: Any) -> None:
        if self.validation:
            self.action()


def kill(number: int) -> Any:
    return lambda: os.kill(os.getpid(), number)


def trainer(folder: Path, *callbacks: Callback, **options: Any) -> pl.Trainer:
    logger = ContinuedCSVLogger(folder, name="", version="")
    return pl.Trainer(
        **{**Q, **options},
        callbacks=list(callbacks),
        logger=logger,
        plugins=[DurableCheckpointIO()],
    )


def last(folder: Path, **options: Any) -> LastCheckpoint:
    return LastCheckpoint(**{"dirpath": str(folder), "every_n_steps": None, **options})


def saved_step(folder: Path, name: str = "last.ckpt") -> int:
    return int(torch.load(folder / name, weights_only=True)["global_step"])


def logged_steps(folder: Path) -> list[int]:
    with (folder / "metrics.csv").open() as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row.get("loss")]


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGTERM, Stopped), (signal.SIGUSR1, Stopped), (signal.SIGINT, SystemExit)],
)
@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*not resumable", "ignore:You defined a"
)
def test_a_signal_ends_the_step_saves_and_stops(
    tmp_path: Path, number: int, raised: type[BaseException]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(raised):
        trainer(
            tmp_path, last(tmp_path), At(7, kill(number)), accumulate_grad_batches=2, max_epochs=2
        ).fit(Line())
    assert signal.getsignal(number) == before
    assert saved_step(tmp_path) == 8, "the step that was begun is done, all its batches"
    assert logged_steps(tmp_path) == list(range(8))


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
def test_a_second_ctrl_c_stops_at_once(tmp_path: Path) -> None:
    twice = At(3, lambda: (kill(signal.SIGINT)(), kill(signal.SIGINT)()))
    with pytest.raises(SystemExit):
        trainer(tmp_path, last(tmp_path), twice).fit(Line())
    assert not (tmp_path / "last.ckpt").exists()


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_signal_in_validation_ends_it_with_the_state_from_before_it(tmp_path: Path) -> None:
    in_validation = At(-1, kill(signal.SIGTERM), validation=True)
    with pytest.raises(Stopped, match="SIGTERM after step 20"):
        trainer(tmp_path, last(tmp_path), in_validation).fit(
            Line(), val_dataloaders=Line().train_dataloader()
        )
    assert saved_step(tmp_path) == 20
    assert logged_steps(tmp_path) == list(range(20))


class PowerCut(Exception):
    """What ends a run as a power cut would: no signal."""


def cut() -> None:
    raise PowerCut


def logged_validations(folder: Path) -> list[tuple[int, int]]:
    with (folder / "metrics.csv").open() as file:
        return [
            (int(row["epoch"]), int(row["step"]))
            for row in csv.DictReader(file)
            if row.get("val_loss")
        ]


@pytest.mark.parametrize(("epoch", "every_n_steps"), [(0, None), (1, 20)])
@pytest.mark.parametrize(
    ("at", "action", "ending"),
    [
        ("in validation", kill(signal.SIGTERM), Stopped),
        ("in validation", kill(signal.SIGINT), SystemExit),
        ("in validation", cut, PowerCut),
        ("in the last step", kill(signal.SIGTERM), Stopped),
    ],
)
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_validation_that_was_cut_off_is_made_up(
    tmp_path: Path,
    at: str,
    action: Any,
    ending: type[BaseException],
    epoch: int,
    every_n_steps: int | None,
) -> None:
    def fit(*callbacks: Callback, **options: Any) -> pl.Trainer:
        saving = last(tmp_path, every_n_steps=every_n_steps)
        run = trainer(tmp_path, *callbacks, saving, max_epochs=2, max_steps=40)
        run.fit(Line(), val_dataloaders=Line().train_dataloader(), weights_only=True, **options)
        return run

    step = 20 * epoch + 19
    at_step = At(step, action)
    if at == "in validation":
        at_step.on_train_batch_start = lambda *_: None  # type: ignore[method-assign]
        at_step.on_validation_batch_start = lambda run, *_, **__: (
            run.global_step == step + 1 and action()
        )  # type: ignore[method-assign]
    with pytest.raises(ending):
        fit(at_step)
    assert logged_validations(tmp_path) == [(0, 19)][:epoch]
    run = fit(ckpt_path=tmp_path / "last.ckpt")
    assert logged_validations(tmp_path) == [(0, 19), (1, 39)]
    assert logged_steps(tmp_path) == list(range(40))
    assert "val_loss" in run.callback_metrics


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:Checkpoint directory")
def test_a_best_checkpoint_that_was_saved_before_the_cut_is_not_saved_beside_itself(
    tmp_path: Path,
) -> None:
    written: Any = OmegaConf.to_container(
        OmegaConf.load(CONFIG_DIR / "callbacks" / "default.yaml"), resolve=False
    )
    options = {
        **written["best"],
        "dirpath": str(tmp_path),
        "monitor": "val_loss",
        "filename": "{step}",
    }
    del options["_target_"]

    def fit(*callbacks: Callback, **more: Any) -> None:
        run = trainer(
            tmp_path, *callbacks, ModelCheckpoint(**options), last(tmp_path), max_epochs=2
        )
        run.fit(Line(), val_dataloaders=Line().train_dataloader(), weights_only=True, **more)

    with pytest.raises(PowerCut):
        fit(At(20, cut))
    assert (tmp_path / "20.ckpt").is_file()
    fit(ckpt_path=tmp_path / "last.ckpt")
    assert sorted(path.name for path in tmp_path.glob("[24]0*.ckpt")) == ["20.ckpt", "40.ckpt"]


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*not resumable")
def test_so_is_one_inside_an_epoch_and_one_that_was_cut_off_twice(tmp_path: Path) -> None:
    def fit(*callbacks: Callback, **options: Any) -> None:
        run = trainer(tmp_path, *callbacks, last(tmp_path, every_n_steps=3), val_check_interval=5)
        run.fit(Line(), val_dataloaders=Line().train_dataloader(), weights_only=True, **options)

    with pytest.raises(PowerCut):
        fit(At(0, cut, validation=True))
    with pytest.raises(PowerCut):
        fit(At(0, cut, validation=True), ckpt_path=tmp_path / "last.ckpt")
    with pytest.raises(PowerCut):
        fit(At(12, cut), ckpt_path=tmp_path / "last.ckpt")
    fit(ckpt_path=tmp_path / "last.ckpt")
    assert logged_validations(tmp_path) == [(0, 4), (0, 9), (0, 14), (0, 19)]
    assert logged_steps(tmp_path) == list(range(20))


@pytest.mark.parametrize("first", [3, 27])
@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*not resumable")
def test_a_run_that_ended_by_its_steps_has_not_ended_its_epoch(tmp_path: Path, first: int) -> None:
    """With more steps or epochs, it goes on within it."""

    def fit(max_steps: int, max_epochs: int = 2, **options: Any) -> pl.Trainer:
        run = trainer(
            tmp_path, last(tmp_path), FinalValidation(), max_epochs=max_epochs, max_steps=max_steps
        )
        run.fit(Line(), val_dataloaders=Line().train_dataloader(), weights_only=True, **options)
        return run

    fit(first)
    assert saved_step(tmp_path) == first
    run = fit(first + 2, ckpt_path=tmp_path / "last.ckpt")
    assert (run.global_step, logged_steps(tmp_path)) == (first + 2, list(range(first + 2)))
    run = fit(-1, ckpt_path=tmp_path / "last.ckpt")
    assert (run.global_step, run.current_epoch) == (40, 2)
    assert logged_steps(tmp_path) == list(range(40))
    assert fit(-1, 3, ckpt_path=tmp_path / "last.ckpt").global_step == 60


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
def test_on_schedule_in_steps_and_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer(tmp_path, last(tmp_path, every_n_steps=6)).fit(Line())
    assert (saved_step(tmp_path), saved_step(tmp_path, "previous.ckpt")) == (20, 18)
    clock = [0.0]
    monkeypatch.setattr(last_checkpoint, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    trainer(
        tmp_path, last(tmp_path, every_n_minutes=2), At(11, lambda: clock.append(clock.pop() + 121))
    ).fit(Line())
    assert (saved_step(tmp_path), saved_step(tmp_path, "previous.ckpt")) == (20, 12)
    with pytest.raises(ValueError, match="every_n_minutes is 0"):
        last(tmp_path, every_n_minutes=0)
    with pytest.raises(ValueError, match="no signal SIGTREM"):
        last(tmp_path, signals=["SIGTREM"])


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
def test_a_full_disk_does_not_end_a_run_but_for_its_last_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))

    def empty() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    try:
        trainer(tmp_path, last(tmp_path, every_n_steps=5), At(6, fill), At(12, empty)).fit(Line())
        assert "could not be saved: File too large" in caplog.text
        assert (saved_step(tmp_path), saved_step(tmp_path, "previous.ckpt")) == (20, 20)
        with pytest.raises(OSError, match="the trained model could not be saved to"):
            trainer(tmp_path / "other", last(tmp_path, every_n_steps=7), At(15, fill)).fit(Line())
    finally:
        empty()
    assert saved_step(tmp_path) == 14


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
def test_bad_steps_are_left_out(tmp_path: Path) -> None:
    guard = StepGuard(factor=20, window=5)
    model = Line({3: float("nan"), 8: 1e6, 9: float("inf")})
    run = trainer(tmp_path, last(tmp_path), guard)
    run.fit(model)
    assert (guard.skipped, guard.gone_back) == (3, 0)
    assert run.callback_metrics["skipped_steps"] == 3
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
    assert model.model[1].running_mean.abs().max() < 10, (
        "its statistics have not seen the bad batches"
    )
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
    again = StepGuard(factor=20, window=5)
    again.load_state_dict(next(value for name, value in state.items() if "StepGuard" in name))
    assert again.state_dict() == guard.state_dict()


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:You defined a")
def test_after_so_many_the_run_goes_back(tmp_path: Path) -> None:
    weights: dict[int, Tensor] = {}

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            weights[trainer.global_step] = pl_module.model[0].weight.detach().clone()

    def ruin() -> None:
        with torch.no_grad():
            model.model[0].weight.fill_(float("nan"))

    model, guard = Line(), StepGuard(patience=3)
    trainer(tmp_path, guard, Watch(), At(12, ruin), last(tmp_path, every_n_steps=5)).fit(model)
    assert (guard.skipped, guard.gone_back) == (3, 1)
    assert torch.equal(weights[15], weights[10]), "back at the last good state"
    assert not torch.equal(weights[16], weights[15]), "and on from there"
    assert saved_step(tmp_path, "previous.ckpt") == 20, "at step 15 nothing was saved"
    for options, message in (
        ({"returns": 0}, "gone back 0 times"),
        ({}, "no checkpoint to go back to"),
    ):
        poisoned = Line({batch: float("nan") for batch in range(4, 20)})
        with pytest.raises(Diverged, match=message):
            trainer(tmp_path / "worse", StepGuard(patience=3, **options)).fit(poisoned)
    with pytest.raises(ValueError, match="factor 1"):
        StepGuard(factor=1)
