"""A run's folder is its best checkpoint, and `last` in it the last one, by every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image
from small_runs import Compose

import strhub
from strhub.checkpoint import zoo
from strhub.cli import bench, data, explain, export, model, read
from strhub.cli import test as scoring
from strhub.configs import CONFIG_DIR
from strhub.data.sources.lmdb import write_lmdb
from strhub.serving.options import ServeOptions
from strhub.serving.reading import ServedModel
from strhub.training.run import resume_path, start_from
from strhub.training.systems.base import System

BEST, LAST = "epoch1-step8-accuracy61.50.ckpt", "last.ckpt"
IMAGE = "demo_images/01.png"


class Found(BaseException):
    """Carries the file that a command was about to read, past whoever handles errors."""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder of empty checkpoints, none of which is read, and a set of one word."""
    folder = tmp_path / "outputs" / "run"
    (folder / "checkpoints").mkdir(parents=True)
    for name in (BEST, LAST):
        (folder / "checkpoints" / name).touch()
    (tmp_path / "test").mkdir()
    write_lmdb(tmp_path / "test" / "street", [(Image.new("RGB", (40, 12)), "word")])

    def read_checkpoint(path: Path, known: object = None) -> None:
        raise Found(path)

    monkeypatch.setattr(zoo, "read_checkpoint", read_checkpoint)
    return folder


def bench_config(name: str) -> DictConfig:
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        return compose("bench", overrides=[f"pretrained={name}", "device=cpu"])


Start = Callable[[str, Path], object]
"""Starts a command with the name of a run, in a folder of its own."""

COMMANDS: dict[str, Start] = {
    "read": lambda name, _: read.run([name, "--images", IMAGE, "--device", "cpu"]),
    "test": lambda name, root: scoring.run(
        [name, "--sets", "street", "--data_root", str(root), "--device", "cpu"]
    ),
    "test reader": lambda name, root: scoring.run(
        [name, "--sets", "street", "--data_root", str(root), "--reader"]
    ),
    "export": lambda name, root: export.run([name, str(root / "words.onnx")]),
    "export weights": lambda name, root: export.run([name, str(root / "words.safetensors")]),
    "explain": lambda name, root: explain.run(
        ["attention", name, "--images", IMAGE, "--output", str(root / "maps")]
    ),
    "suspects": lambda name, root: data.run(
        ["suspects", str(root / "test" / "street"), str(root / "page.html"), "--model", name]
    ),
    "label": lambda name, root: model.run(
        ["label", str(root / "test" / "street"), str(root / "labeled"), "--model", name]
    ),
    "measure": lambda name, _: model.run(["measure", name, "--rendered", "1", "--empty", "1"]),
    "average": lambda name, root: model.run(
        ["average", str(root / "mean.safetensors"), f"0.5:{name}", f"0.5:{name}"]
    ),
    "serve": lambda name, _: ServedModel(f"mine={name}", ServeOptions(device="cpu")),
    "bench": lambda name, _: bench.report(bench_config(name)),
    "load": lambda name, _: strhub.load(name),
    "Recognizer": lambda name, _: strhub.Recognizer(name, device="cpu"),
    "Spotter": lambda name, _: strhub.Spotter(reader=name),
    "push": lambda name, _: strhub.push(name, "owner/name"),
}


def file_of(start: Callable[[], object]) -> Path:
    """Return the file that is read first."""
    with pytest.raises(Found) as found:
        start()
    return Path(found.value.args[0])


@pytest.mark.parametrize("command", COMMANDS)
def test_best_and_last_by_every_command(command: str, run: Path) -> None:
    root = run.parents[1]
    for name, file in ((run, BEST), (run / "best", BEST), (run / "last", LAST)):
        read_file = file_of(lambda name=name: COMMANDS[command](str(name), root))  # type: ignore[misc]
        assert read_file == run / "checkpoints" / file


def test_best_and_last_in_training(run: Path, compose_main: Compose) -> None:
    model = cast("System", None)  # which is not touched before
    for name, file in ((run, BEST), (run / "last", LAST)):
        found = file_of(lambda name=name: start_from(model, str(name)))  # type: ignore[misc]
        assert found == run / "checkpoints" / file
    for name, file in ((run, LAST), (run / "best", BEST), (run / "last", LAST)):
        config = compose_main("dataset=rendered", f"ckpt_path={name}")
        assert resume_path(config) == str(run / "checkpoints" / file)
