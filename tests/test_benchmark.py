"""Counting and timing: against the published counts, and on models small enough to count by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import nn

from strhub import benchmark, benchmark_report
from strhub.benchmark import Cost, costs, ratios, time_in_turn
from strhub.cli.bench import report
from strhub.configs import CONFIG_DIR
from strhub.zoo import create_model

SMALL = ["model.embed_dim=32", "model.enc_num_heads=1", "model.dec_num_heads=2", "model.enc_depth=1", "threads=1",
         "model.patch_size=[16,16]", "model.max_label_length=4", "repeats=2", "warm_up=1"]  # fmt: skip


class Two(nn.Module):
    """A convolution and a linear layer, the latter passed twice, once without being called."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 2, stride=2)
        self.second = nn.Sequential(nn.Linear(4, 5))

    def forward(self, images: torch.Tensor, max_length: int) -> torch.Tensor:
        rows = self.first(images).flatten(2).transpose(1, 2)
        linear: Any = self.second[0]
        return self.second(rows) + rows @ linear.weight.t()


def test_costs_by_module() -> None:
    counted = costs(Two(), torch.zeros(1, 3, 4, 8), 1, depth=2)
    assert counted == {
        "": Cost(3 * 4 * 4 + 4 + 25, 8 * 4 * 12 + 2 * 8 * 20, 8 * 4 + 8 * 5),
        "first": Cost(52, 384, 32),
        "second": Cost(25, 160, 40),
        "second.0": Cost(25, 160, 40),
    }
    assert list(costs(Two(), torch.zeros(1, 3, 4, 8), 1)) == ["", "first", "second"]
    assert "384" not in benchmark_report.cost_table(counted)  # in G, not in single ones


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "options", "giga"),
    [
        ("parseq-tiny", {"decode_ar": False, "refine_iters": 0}, 0.708),
        ("parseq", {"decode_ar": False, "refine_iters": 0}, 2.82),
        ("parseq-patch16-224", {"decode_ar": False, "refine_iters": 0}, 4.34),
        ("abinet", {}, 7.08),
        ("trba", {}, 6.74),
        ("vitstr", {}, 2.75),
        ("crnn", {}, 0.82),
    ],
)
def test_multiply_adds_are_the_published(experiment: str, options: dict[str, Any], giga: float) -> None:
    """To 1 %: the published counts have norms in them, and TRBA's keys once a step, though they stay the same."""
    model = create_model(experiment, **options).eval()
    counted = benchmark.count_multiply_adds(model.model, torch.zeros(1, 3, *model.hparams.img_size), 25) / 1e9
    assert counted == pytest.approx(giga, rel=0.01)


def test_calls_take_turns_and_are_compared_within_a_round() -> None:
    order: list[str] = []
    times = time_in_turn({name: lambda n=name: order.append(n) for name in "ab"}, repeats=3, warm_up=1)
    assert "".join(order) == "abababab"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}
    compared = ratios({"a": [1.0, 10.0, 100.0], "b": [2.0, 20.0, 200.0]}, "a")
    assert compared["a"].median == 1
    assert compared["b"] == (2, 2, 2)
    assert benchmark.peak_memory(torch.device("cpu")) > 50


def config(*overrides: str) -> Any:
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        return compose("bench", overrides=[*SMALL, *overrides])


def test_several_models_formats_and_sizes(tmp_path: Path) -> None:
    written = tmp_path / "deep" / "all.json"
    table = report(config("models=[strhub-tiny]", "formats=[torch,onnx]", "batch_size=[1,2]", f"json={written}",
                          f"plot={tmp_path / 'plot.png'}", "pictures=demo_images", "training=true", "training_batch=2",
                          "pipeline=true", "pipeline_batches=1", "dataset=drawn", "data.drawn=8", "model.batch_size=4",
                          "data.num_workers=0"))  # fmt: skip
    results = json.loads(written.read_text())
    assert [(row["model"], row["format"], row["batch_size"]) for row in results["subjects"]] == [
        (model, kind, size) for model in ("parseq", "strhub-tiny") for kind in ("torch", "onnx") for size in (1, 2)
    ]
    assert results["subjects"][0]["ratio"][0] == 1
    assert results["subjects"][0]["accuracy"] is None
    assert results["costs"]["whole"]["parameters"] > results["costs"]["encoder"]["parameters"] > 0
    assert results["training_step"][0] > 0
    assert results["pipeline_words_per_second"] > 0
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    for words in (
        "multiply-adds",
        "strhub-tiny, onnx, float32, batches of 2",
        "training step",
        "words a second",
        "MiB",
    ):
        assert words in table


def test_latency_against_label_length(tmp_path: Path) -> None:
    table = report(config("+range=true", f"plot={tmp_path / 'range.png'}"))
    assert [line.split()[-1] for line in table.splitlines() if line.startswith("latency")] == ["1", "2", "3", "4"]
    assert (tmp_path / "range.png").read_bytes().startswith(b"\x89PNG")


def test_accuracy_against_latency(tmp_path: Path) -> None:
    rows = [{"name": "a", "milliseconds": [2.0, 1.0, 3.0], "batch_size": 1, "accuracy": 90.0}]
    benchmark_report.plot_accuracy(rows, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("formats=[onyx]", "Did you mean 'onnx'"),
        ("models=[strhub-tinny]", "Did you mean 'strhub-tiny'"),
        ("precision=float61", "Did you mean 'float16'"),
        ("pictures=nowhere", "no pictures in nowhere"),
        ("device=warp", "cannot be used here"),
    ],
)
def test_mistakes(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report(config(override))
