"""Which checkpoint a run's folder means."""

from pathlib import Path

import pytest

from strhub.checkpoint.runs import best_checkpoint, checkpoint_of_run, folder_of_run
from strhub.checkpoint.zoo import locate
from strhub.errors import StrhubError


def run_with(folder: Path, *names: str) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    for name in names:
        (folder / "checkpoints" / name).touch()
    return folder


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["epoch1-step8-accuracy61.50.ckpt", "epoch2-step16-accuracy7.25.ckpt", "last.ckpt"], 0),
        (["epoch1-step8-accuracy61.50.ckpt", "epoch2-step16-accuracy61.50.ckpt"], 1),
        (["epoch9-step90-accuracy100.00.ckpt", "epoch10-step100-accuracy99.99.ckpt"], 0),
        (
            ["epoch=3-step=8-val_accuracy=50.00.ckpt", "epoch=4-step=9-val_accuracy=49.00.ckpt"],
            0,
        ),  # of older runs
        (["epoch=3-step=8-val_accuracy=50.00-v1.ckpt", "last.ckpt"], 0),
        (["last.ckpt", "previous.ckpt"], 0),  # a run that keeps no best ones
        (["previous.ckpt"], 0),  # a damaged one
        ([".epoch9-step9-accuracy99.00.ckpt.partial", "last.ckpt"], 1),
    ],
)
def test_a_runs_folder_is_its_best_checkpoint(tmp_path: Path, names: list[str], best: int) -> None:
    run = run_with(tmp_path / "run", *names)
    file = run / "checkpoints" / names[best]
    assert locate(run) == file
    assert locate(f"pretrained={run}") == file
    assert locate(run / "best") == file
    assert locate(run / "checkpoints") == file
    assert checkpoint_of_run(run) == file
    assert folder_of_run(file) == run


def test_last_is_the_last_one(tmp_path: Path) -> None:
    run = run_with(
        tmp_path / "run", "epoch1-step8-accuracy61.50.ckpt", "last.ckpt", "previous.ckpt"
    )
    assert locate(run / "last") == run / "checkpoints" / "last.ckpt"
    assert locate(run / "checkpoints" / "last") == run / "checkpoints" / "last.ckpt"
    assert best_checkpoint(run) == run / "checkpoints" / "epoch1-step8-accuracy61.50.ckpt"


def test_what_is_really_there_comes_first(tmp_path: Path) -> None:
    run = run_with(tmp_path / "run", "epoch1-step8-accuracy61.50.ckpt", "last.ckpt")
    (run / "last").touch()
    assert locate(run / "last") == run / "last"
    (run / "model.safetensors").touch()
    assert locate(run) == run / "model.safetensors"


def test_a_folder_without_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StrhubError, match=r"no checkpoint of a run, and it holds no checkpoint"):
        locate(run_with(tmp_path / "run"))
    with pytest.raises(ValueError, match="last"):
        locate(tmp_path / "gone" / "last")
