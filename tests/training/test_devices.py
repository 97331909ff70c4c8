"""Two processes as two devices (gloo): the losses and metrics of one, and how their runs stop and
go on.
"""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import RENDERED_RUN, SMALL

from strhub.evaluation.results.files import read_samples
from strhub.training.run import train

# Forking keeps the two from importing everything again; a launch as a user does it is in
# test_launching.py.
QUICK = (
    *RENDERED_RUN,
    "callbacks.best=null",
    "+trainer.num_sanity_val_steps=0",
    "data.render.validation=37",
    "data.render.words=70",
    "trainer.max_epochs=2",
    "averaging=none",
    "+trainer.enable_model_summary=false",
)
TWO = ("trainer.devices=2", "trainer.strategy=ddp_fork", "model.batch_size=8")
ONE = ("trainer.devices=1", "model.batch_size=16")
PARSEQ = (*SMALL, "model.dropout=0", "model.ctc_weight=0.5")
SVTR = (
    "model=svtr",
    "model.img_size=[32,128]",
    "model.keep_aspect=false",
    "model.embed_dims=[16,16,32]",
    "model.depths=[1,1,1]",
    "model.num_heads=[1,1,1]",
    "model.local_depth=2",
    "model.max_label_length=12",
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*multi-threaded, use of fork",  # torch's own threads, which wait
    "ignore:.*TORCH_DISTRIBUTED_DEBUG",
)


def rows(run: Path, name: str) -> dict[int, float]:
    with (run / "metrics.csv").open() as file:
        return {int(row["step"]): float(row[name]) for row in csv.DictReader(file) if row.get(name)}


@pytest.mark.parametrize(
    "model",
    [pytest.param(PARSEQ, id="parseq"), pytest.param(SVTR, id="svtr", marks=pytest.mark.slow)],
)
def test_two_processes_have_the_losses_and_metrics_of_one(
    compose_main: Any, tmp_path: Path, model: Any
) -> None:
    """4 steps an epoch of 16 words together; 37 words to validate are shared as 19 and 18."""
    one, two = tmp_path / "one", tmp_path / "two"
    rate = 0.02  # the published rule: sqrt(devices) x batch of a device
    quick = (*QUICK, "callbacks.report.write=true")
    train(compose_main(*quick, *ONE, f"model.lr={rate}", f"output_dir={one}", small=model))
    train(compose_main(*quick, *TWO, f"model.lr={rate * 2**0.5}", f"output_dir={two}", small=model))
    for name in ("loss", "val_loss", "val_accuracy", "val_NED", "val_confidence", "lr-AdamW"):
        expected, found = rows(one, name), rows(two, name)
        assert len(expected) == (2 if name.startswith("val") else 8)
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-5), name
    assert len(set(rows(one, "loss").values())) == 8
    reports = [list(read_samples(run / "report" / "samples.tsv")) for run in (one, two)]
    assert [len(samples) for samples in reports] == [37, 37]
    assert len(list((two / "report").iterdir())) == len(list((one / "report").iterdir()))
    for first, second in zip(*reports, strict=True):
        assert (first.index, first.label, first.text) == (second.index, second.label, second.text)
        assert first.confidence == pytest.approx(second.confidence, abs=1e-4)


def test_the_rate_of_several_devices(compose_main: Any, tmp_path: Path) -> None:
    options = ("trainer.accumulate_grad_batches=2", "model.lr=0.1", "model.warmup_pct=0.5")
    train(
        compose_main(*QUICK, *TWO, *options, "trainer.limit_val_batches=0", "trainer.max_epochs=3")
    )
    rates = rows(tmp_path / "run", "lr-AdamW")
    assert max(rates.values()) == pytest.approx(2 * 2**0.5 * 8 / 256 * 0.1)


@pytest.mark.slow
def test_accumulation_averaging_precision_and_resuming_together(
    compose_main: Any, tmp_path: Path
) -> None:
    """Killed in the middle of an epoch and of a step; the same curve as without, and on one device
    about the same.
    """
    common = [
        *QUICK,
        "averaging=ema",
        "trainer.precision=bf16-mixed",
        "trainer.accumulate_grad_batches=2",
        "data.render.words=96",
        "trainer.max_epochs=3",
        "callbacks.last.every_n_steps=2",
    ]
    whole, part, rest = (tmp_path / name for name in ("whole", "part", "rest"))
    train(compose_main(*common, *TWO, f"output_dir={whole}"))
    stop = "+callbacks.stop={_target_: tests_support.StopAfter, step: 5}"
    with pytest.raises(Exception, match="PowerCut"):
        train(compose_main(*common, *TWO, f"output_dir={part}", stop))
    checkpoint = part / "checkpoints" / "last.ckpt"
    assert torch.load(checkpoint, weights_only=True)["global_step"] == 4
    resume = f"ckpt_path={checkpoint}"
    train(compose_main(*common, *TWO, f"output_dir={rest}", resume))
    expected = {step: loss for step, loss in rows(whole, "loss").items() if step >= 4}
    assert rows(rest, "loss") == expected
    first, second = (
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (whole, rest)
    )
    assert all(
        torch.equal(value, second["state_dict"][name])
        for name, value in first["state_dict"].items()
    )
    alone = tmp_path / "alone"
    train(compose_main(*common, *ONE, f"output_dir={alone}", resume))
    assert max(rows(alone, "loss")) == max(expected)
