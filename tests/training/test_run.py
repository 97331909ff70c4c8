"""`train(config)` on the real, composed configuration."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_numbers import FOLDER
from small_runs import RENDERED_RUN
from tests_support import PowerCut

from strhub.checkpoint.zoo import load_from_checkpoint, locate
from strhub.cli.data import run as run_data_command
from strhub.training.adopting import adopt_pretrained
from strhub.training.run import (
    model_from_config,
    only_run,
    resumed_without_options,
    start_from,
    train,
)
from strhub.training.systems.base import System

pytestmark = pytest.mark.numeric

QUICK = (*RENDERED_RUN, "trainer.devices=1", "+trainer.num_sanity_val_steps=0")


def losses(run: Path) -> dict[int, str]:
    """Loss by step, as written: texts, so that equality is bit for bit."""
    with (run / "metrics.csv").open() as file:
        return {int(row["step"]): row["loss"] for row in csv.DictReader(file) if row.get("loss")}


def test_trains_from_lmdb_validates_and_saves(
    compose_main: Any, word_tree: Path, tmp_path: Path
) -> None:
    config = compose_main(
        *QUICK,
        "dataset=real",
        "data.render.words=0",
        f"data.root_dir={word_tree}",
        "trainer.max_epochs=2",
        "averaging=none",
    )
    metrics = train(config)
    assert {"loss", "val_loss", "val_accuracy", "val_NED"} <= set(metrics)
    assert metrics["unreadable"] == 0
    model = load_from_checkpoint(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert model.hparams.architecture == "parseq"
    assert model.hparams.embed_dim == 32
    assert model.hparams.normalize == "default"


def test_a_second_loss_trains_the_encoder_and_stays_out_of_the_model(
    compose_main: Any, word_tree: Path, tmp_path: Path
) -> None:
    config = compose_main(
        *QUICK,
        "data.render.words=0",
        f"data.root_dir={word_tree}",
        "data.mixture={real: 1, rendered: 1}",
        "data.mixture_size=16",
        "model.ctc_weight=0.5",
        "model.enc_stem=[8, 8]",
        "trainer.max_epochs=1",
        "averaging=none",
        "data.render.difficulty=[0, 0.5]",
        "data.augment=strong",
    )
    train(config)
    checkpoint = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert "guide.weight" in torch.load(checkpoint, weights_only=True)["state_dict"]
    model = load_from_checkpoint(checkpoint)
    assert not [name for name in model.state_dict() if "guide" in name]
    assert model.hparams.enc_stem == [8, 8]
    assert model(torch.zeros(2, 3, 32, 128)).shape[0] == 2
    again = model_from_config(config)
    start_from(again, str(checkpoint))
    learned = torch.load(checkpoint, weights_only=True)["state_dict"]["guide.weight"]
    assert torch.equal(again.get_parameter("guide.weight"), learned), (
        "a run that starts from it goes on with its head"
    )


@pytest.mark.filterwarnings(
    "ignore:Your `IterableDataset` has `__len__` defined"
)  # and it is right, as is shown here
def test_trains_from_streamed_shards(compose_main: Any, word_tree: Path, tmp_path: Path) -> None:
    run_data_command(
        ["shard", str(word_tree / "train"), str(tmp_path / "words-%06d.tar"), "--per_shard", "16"]
    )
    config = compose_main(
        *QUICK,
        "dataset=streamed",
        "data.render.words=0",
        f"data.root_dir={word_tree}",
        f"data.shards={tmp_path}/words-*.tar",
        "trainer.max_epochs=2",
        "averaging=none",
        "model.batch_size=8",
    )
    metrics = train(config)
    assert metrics["unreadable"] == 0
    state = torch.load(tmp_path / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["global_step"] == 2 * (40 // 8)


def test_the_same_seed_gives_the_same_curve_and_another_another(
    compose_main: Any, tmp_path: Path
) -> None:
    curves = []
    for seed, workers in ((1, 0), (1, 2), (2, 0)):
        run = tmp_path / f"{seed}-{workers}"
        overrides = [
            *QUICK,
            f"seed={seed}",
            f"data.num_workers={workers}",
            "data.render.words=48",
            "trainer.max_epochs=2",
        ]
        train(
            compose_main(
                *overrides,
                f"output_dir={run}",
                "trainer.limit_val_batches=0",
                "callbacks.best=null",
            )
        )
        curves.append(losses(run))
    assert len(curves[0]) == 12
    assert curves[0] == curves[1]
    assert curves[0] != curves[2]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder, in which it is once made."""
    return tmp_path_factory.mktemp("uninterrupted")


# Within an epoch, at its end, at the beginning of another.
@pytest.mark.parametrize(
    "stop_at", [3, *(pytest.param(step, marks=pytest.mark.slow) for step in (6, 7, 11))]
)
def test_a_stopped_run_goes_on_with_the_same_curve(
    compose_main: Any, tmp_path: Path, uninterrupted: Path, stop_at: int
) -> None:
    common = [
        *QUICK,
        "data.render.words=48",
        "trainer.max_epochs=3",
        "trainer.limit_val_batches=0",
        "callbacks.best=null",
        "averaging=ema",
    ]
    whole, part, rest = uninterrupted, tmp_path / "part", tmp_path / "rest"
    if not (whole / "checkpoints").exists():
        train(compose_main(*common, f"output_dir={whole}"))
    stop = ["callbacks.last.every_n_steps=1", "+callbacks.stop._target_=tests_support.StopAfter"]
    with pytest.raises(PowerCut):
        train(compose_main(*common, f"output_dir={part}", *stop, f"+callbacks.stop.step={stop_at}"))
    train(
        compose_main(
            *common, f"output_dir={rest}", f"ckpt_path={part / 'checkpoints' / 'last.ckpt'}"
        )
    )
    expected = {step: loss for step, loss in losses(whole).items() if step >= stop_at}
    assert len(losses(whole)) == 18
    assert losses(rest) == expected
    first, second = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, rest)
    )
    for name, tensor in first["state_dict"].items():
        assert torch.equal(tensor, second["state_dict"][name]), name


def test_two_runs_do_not_write_to_one_folder(
    compose_main: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strhub.training.run.ORPHANS", 0.3)
    config = compose_main(
        *QUICK,
        "data.render.words=16",
        "data.render.validation=8",
        "trainer.max_epochs=1",
        "averaging=none",
    )
    with (
        only_run(tmp_path / "run"),
        pytest.raises(ValueError, match="another run is writing there"),
    ):
        train(config)
    assert not (tmp_path / "run" / "checkpoints").exists()
    train(config)
    assert not (tmp_path / "run" / ".running").exists(), "what is over keeps nobody away"


@pytest.mark.slow
def test_learns_256_rendered_words_by_heart(compose_main: Any, tmp_path: Path) -> None:
    from strhub.data.sources.lmdb import write_lmdb
    from strhub.data.synth import RenderedWords
    from strhub.text import CHARSET_36

    words = RenderedWords(charset=CHARSET_36, max_length=8, seed=0, difficulty=0.1)
    samples = [words.render(index) for index in range(256)]
    for part in (
        "train/real/drawn",
        "val/drawn",
    ):  # the same words: training accuracy is what is asked for
        (tmp_path / part).parent.mkdir(parents=True)
        write_lmdb(tmp_path / part, samples)
    config = compose_main(
        *QUICK, "dataset=real", "data.render.words=0", f"data.root_dir={tmp_path}",
        "charset=36_lowercase",
            "averaging=none",
        "data.augment=false", "model.embed_dim=128", "model.enc_num_heads=2",
        "model.dec_num_heads=4", "model.enc_depth=2", "model.patch_size=[32,4]",
        "model.batch_size=32", "model.lr=2e-2", "model.dropout=0", "optimizer=muon",
        "trainer.max_epochs=60", "trainer.check_val_every_n_epoch=20", "callbacks.last=null",
    )  # fmt: skip
    assert train(config)["val_accuracy"] >= 95


def test_a_schedule_that_is_over_does_not_end_the_run() -> None:
    """As on fewer devices than the run began with: it has more steps than its schedule."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=3)
    for _ in range(6):
        optimizer.step()
        System.lr_scheduler_step(None, schedule, None)  # type: ignore[arg-type]
    assert schedule.last_epoch == 3


def test_starting_from_a_model_takes_its_sizes(compose_main: Any) -> None:
    config = compose_main("pretrained=strhub-tiny", small=())
    adopt_pretrained(config, ["pretrained=strhub-tiny", "model.refine_iters=0"])
    hparams = load_from_checkpoint("strhub-tiny").hparams
    assert config.model.embed_dim == hparams.embed_dim
    assert list(config.model.patch_size) == list(hparams.patch_size)
    assert config.model.refine_iters == 1, "the command line's own value stays"
    assert config.model.lr == pytest.approx(7e-4), "training options are the experiment's"


def test_a_checkpoint_that_lies_alone_has_the_sizes_of_its_model(compose_main: Any) -> None:
    """A run that is resumed from a checkpoint without the run's folder around it."""
    checkpoint = str(FOLDER / "reference-lightning.ckpt")
    config = compose_main(f"ckpt_path={checkpoint}", small=())
    assert resumed_without_options(config) == checkpoint
    adopt_pretrained(config, [f"ckpt_path={checkpoint}"], checkpoint)
    hparams = load_from_checkpoint(checkpoint).hparams
    assert {name: config.model[name] for name in ("embed_dim", "enc_depth")} == {
        name: hparams[name] for name in ("embed_dim", "enc_depth")
    }


def test_starting_from_a_model_of_other_sizes_says_which(compose_main: Any) -> None:
    with pytest.raises(ValueError, match=r"pos_embed: the file has .* the model"):
        train(compose_main(*QUICK, "pretrained=strhub-tiny", "data.render.validation=8"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+model.embed_dimm=3"], "'embed_dimm'.*'embed_dim'"),
        (
            ["data.root_dir=/nowhere", "dataset=real", "data.render.words=0"],
            r"looked for LMDB.*/nowhere/train/real.*not exist",
        ),
        (["ckpt_path=/nowhere.ckpt"], "ckpt_path.*nowhere"),
        (["pretrained=parsec"], "Did you mean 'parseq'"),
        (["model.img_size=[30,128]"], "multiples of the patch"),
        (["model.perm_num=5"], "perm_num is 5"),
    ],
)
def test_mistakes_get_a_clear_message(
    compose_main: Any, overrides: list[str], message: str
) -> None:
    with pytest.raises(Exception, match=message):
        train(
            compose_main(*QUICK, "trainer.limit_val_batches=0", "callbacks.best=null", *overrides)
        )


def test_a_run_shorter_than_an_epoch_is_validated_and_has_a_best_checkpoint(
    compose_main: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    quiet = (
        "data.render.words=48",
        "data.render.validation=8",
        "trainer.max_steps=2",
        "averaging=none",
    )
    metrics = train(compose_main(*QUICK, *quiet))
    assert {"val_accuracy", "val_loss"} <= set(metrics)
    assert "hp_metric" not in metrics
    run = tmp_path / "run"
    best = locate(run)
    assert best.name.startswith("epoch0-step2-accuracy")
    assert "=" not in best.name, "which would be a sign of Hydra's grammar"
    assert locate(run / "last").name == "last.ckpt"
    assert load_from_checkpoint(run).hparams.embed_dim == 32
    for noise in ("Tip", "weights_only", "litlogger", "Trainer(limit_"):
        assert noise not in caplog.text


def rates(run: Path) -> list[float]:
    """The learning rate of each step."""
    with (run / "metrics.csv").open() as file:
        return [float(row["lr-AdamW"]) for row in csv.DictReader(file) if row.get("lr-AdamW")]


def test_a_run_that_goes_on_for_longer_or_at_another_rate_has_a_new_schedule(
    compose_main: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    common = [
        *QUICK,
        "data.render.words=24",
        "averaging=none",
        "callbacks.best=null",
        "trainer.limit_val_batches=0",
    ]
    state = tmp_path / "run" / "checkpoints" / "last.ckpt"
    train(compose_main(*common, "trainer.max_epochs=2"))
    longer = compose_main(
        *common, "trainer.max_epochs=4", f"output_dir={tmp_path}/a", f"ckpt_path={state}"
    )
    train(longer)
    assert "the schedule is recomputed, for 12 steps in all (it was made for 6)" in caplog.text
    whole = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        whole, 7e-4 * 8 / 256, 12, pct_start=0.075, cycle_momentum=False
    )
    expected = []
    for _ in range(12):
        expected.append(whole.param_groups[0]["lr"])
        whole.step()
        schedule.step() if len(expected) < 12 else None
    assert rates(tmp_path / "a") == pytest.approx(expected[6:])
    caplog.clear()
    more = ["trainer.max_epochs=3", "model.lr=0.05", "model.weight_decay=0.5", f"ckpt_path={state}"]
    train(compose_main(*common, *more, f"output_dir={tmp_path}/b"))
    assert "a highest rate of 0.00156 (2.19e-05)" in caplog.text
    groups = torch.load(tmp_path / "b" / "checkpoints" / "last.ckpt", weights_only=True)[
        "optimizer_states"
    ][0]
    assert groups["param_groups"][0]["weight_decay"] == 0.5
    for option, message in (
        ("model.embed_dim=64", r"cannot be resumed with model.embed_dim=64 \(it has 32\)"),
        ("model.charset_train=abc", "cannot be resumed with model.charset_train=abc"),
        ("optimizer=muon", r"optimizer=MuonWithAdamW \(it has AdamW\)"),
    ):
        with pytest.raises(ValueError, match=message):
            train(compose_main(*common, option, f"ckpt_path={state}", f"output_dir={tmp_path}/d"))
