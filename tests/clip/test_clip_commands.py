"""The commands as a user gives them, on a CLIP-PARSeq of two devices' training: evaluation,
figures, images.
"""

import csv
import json
from pathlib import Path

import pytest
from clip_support import run_program, small_clip

from strhub import load


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder: contrastive training in two processes, without words that one of them
    lacks.
    """
    folder = tmp_path_factory.mktemp("clip")
    clip = small_clip(folder)
    run_program(
        "train.py", "model.encoder=clip_vit_b32", "data.normalize=clip", "model.img_size=[32,64]",
        f"pretrained_encoder={clip}", "model.contrastive.weight=0.2",
        f"model.contrastive.text_weights={clip}", "model.contrastive.adapter=32",
        "model.contrastive.own_errors=true", "model.max_label_length=8", "model.batch_size=4",
        "dataset=rendered", "data.render.words=24", "data.render.difficulty=0",
        "data.num_workers=0",
        "data.augment=false", "trainer.max_epochs=1", "trainer.limit_val_batches=0",
        "trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "logger=csv",
        "+trainer.enable_progress_bar=false", "callbacks.best=null", "callbacks.rate=null",
        "averaging=none", "trainer.log_every_n_steps=1", f"hydra.run.dir={folder / 'run'}",
    )  # fmt: skip
    return folder / "run"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_devices_train_it(run: Path) -> None:
    with (run / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("contrastive_loss")]
    assert len(rows) == 3, "24 words by 2 devices of 4 each"
    assert all(float(row["loss"]) > float(row["contrastive_loss"]) > 0 for row in rows)


@pytest.mark.slow
def test_it_is_evaluated_as_any_other(run: Path, word_tree: Path) -> None:
    checkpoint = run / "checkpoints" / "last.ckpt"
    names = sorted(path.name for path in (word_tree / "test").iterdir())
    printed = run_program("test.py", checkpoint, "--data_root", word_tree, "--sets", *names,
        "--num_workers", "0",
                      "--device", "cpu", "refine_iters:int=2", "decode_ar:bool=false")  # fmt: skip
    assert all(name in printed for name in names)
    assert load(checkpoint).hparams["normalize"] == "clip"


@pytest.mark.slow
def test_it_is_measured_as_any_other(run: Path, tmp_path: Path) -> None:
    printed = run_program(
        "bench.py",
        f"pretrained={run / 'checkpoints' / 'last.ckpt'}",
        "repeats=2",
        "warm_up=1",
        "device=cpu",
        f"json={tmp_path / 'figures.json'}",
    )
    assert "encoder" in printed
    figures = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    assert figures
