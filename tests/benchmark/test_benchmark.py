"""Counting and timing: against the published counts, and on models small enough to count by
hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lmdb
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from PIL import Image
from tiny_models import SIZES
from torch import nn

from strhub.benchmark import measure as benchmark
from strhub.benchmark import report as benchmark_report
from strhub.benchmark.measure import Cost, costs, ratios, time_in_turn
from strhub.benchmark.subjects import Settings, subjects
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import create_model, load
from strhub.cli.bench import report
from strhub.configs import CONFIG_DIR
from strhub.data.sources.lmdb import write_lmdb
from strhub.training.systems.base import System

SMALL = [
    "model.embed_dim=32",
    "model.enc_num_heads=1",
    "model.dec_num_heads=2",
    "model.enc_depth=1",
    "threads=1",
    "model.patch_size=[16,16]",
    "model.max_label_length=4",
    "repeats=2",
    "warm_up=1",
]


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
def test_multiply_adds_are_the_published(
    experiment: str, options: dict[str, Any], giga: float
) -> None:
    """To 1 %: the published counts have norms in them, and TRBA's keys once a step, though they
    stay the same.
    """
    model = create_model(experiment, **options).eval()
    counted = (
        benchmark.count_multiply_adds(model.model, torch.zeros(1, 3, *model.hparams.img_size), 25)
        / 1e9
    )
    assert counted == pytest.approx(giga, rel=0.01)


def test_calls_take_turns_and_are_compared_within_a_round() -> None:
    order: list[str] = []
    times = time_in_turn(
        {name: lambda n=name: order.append(n) for name in "ab"}, repeats=3, warm_up=1
    )
    assert "".join(order) == "abababab"
    assert {name: len(values) for name, values in times.items()} == {"a": 3, "b": 3}
    compared = ratios({"a": [1.0, 10.0, 100.0], "b": [2.0, 20.0, 200.0]}, "a")
    assert compared["a"].median == 1
    assert compared["b"] == (2, 2, 2)
    assert benchmark.summarize([1.0, 9.0]) == (5, 3, 7)  # quartiles are no lower than the least
    assert benchmark.peak_memory(torch.device("cpu")) > 50


def test_every_kind_of_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[torch.device] = []
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    for device in ("cpu", "mps", "cuda"):
        time_in_turn({"a": lambda: None}, repeats=2, warm_up=0, device=torch.device(device))
    assert [device.type for device in waited] == ["mps", "mps", "cuda", "cuda"]


def config(*overrides: str) -> Any:
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        return compose("bench", overrides=[*SMALL, *overrides])


def test_several_models_formats_and_sizes(tmp_path: Path) -> None:
    written = tmp_path / "deep" / "all.json"
    table = report(config("models=[strhub-tiny]", "formats=[torch,onnx]", "batch_size=[1,2]",
        f"json={written}",
                          f"plot={tmp_path / 'plot.png'}", "images=demo_images", "training=true",
                              "training_batch=2",
                          "pipeline=true", "pipeline_batches=1", "dataset=rendered",
                          "data.render.words=8",
                          "model.batch_size=4", "data.num_workers=0"))  # fmt: skip
    results = json.loads(written.read_text())
    assert [(row["model"], row["format"], row["batch_size"]) for row in results["subjects"]] == [
        (model, kind, size)
        for model in ("parseq", "strhub-tiny")
        for kind in ("torch", "onnx")
        for size in (1, 2)
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
    assert [line.split()[-1] for line in table.splitlines() if line.startswith("latency")] == [
        "1",
        "2",
        "3",
        "4",
    ]
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
        ("images=nowhere", "no images in nowhere"),
        ("device=warp", "cannot be used here"),
    ],
)
def test_mistakes(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report(config(override))


def test_options_that_cannot_be_or_would_do_nothing(tmp_path: Path) -> None:
    usual = config()
    for options, message in (
        ({"batch_size": 0}, "batch_size is 0: it must be an integer of at least 1"),
        ({"batch_size": [1, 1.5]}, "batch_size is 1.5"),
        ({"threads": 0}, "threads is 0"),
        ({"repeats": 1}, "repeats is 1: it must be an integer of at least 2"),
        ({"warm_up": -1}, "warm_up is -1"),
        ({"training_batch": 0}, "training_batch is 0"),
        ({"formats": []}, "formats is empty"),
        ({"range": True, "precision": ["float32", "bfloat16"]}, "several of anything"),
        ({"range": True, "models": ["strhub-tiny"]}, "range does not go with models"),
        ({"range": True, "formats": "onnx"}, "exported formats"),
        (
            {"plot": str(tmp_path / "plot.table")},
            "is not an image format that plots can be written in",
        ),
        ({"plot": str(tmp_path)}, "cannot be written"),
        ({"json": str(tmp_path)}, "cannot be written"),
        ({"json": str(Path(__file__) / "all.json")}, "cannot be written"),
    ):
        with pytest.raises(ValueError, match=message):
            report(
                OmegaConf.merge(
                    OmegaConf.create(OmegaConf.to_container(usual, resolve=False)), options
                )
            )


def test_a_trained_model_decodes_as_asked_and_keeps_its_sizes(tmp_path: Path) -> None:
    overrides = ["pretrained=strhub-tiny", "model.decode_ar=false"]
    composed = config(*overrides, f"json={tmp_path / 'all.json'}")
    assert "strhub-tiny, torch, float32" in report(composed, overrides)
    results = json.loads((tmp_path / "all.json").read_text())
    at_once = load("strhub-tiny", decode_ar=False).eval()
    counted = benchmark.count_multiply_adds(
        at_once.model, torch.zeros(1, 3, *at_once.hparams.img_size), 25
    )
    assert results["costs"]["whole"]["multiply_adds"] == counted
    assert results["subjects"][0]["accuracy"] is None  # that of its card is of its own decoding
    with pytest.raises(ValueError, match="no option 'embed_dim'"):
        report(composed, ["pretrained=strhub-tiny", "model.embed_dim=64"])
    with pytest.raises(ValueError, match="leave out one"):
        report(composed, ["pretrained=strhub-tiny", "model=crnn"])


def test_two_models_of_one_name_are_two(tmp_path: Path) -> None:
    report(
        config(
            "model.name=strhub-tiny",
            "models=[strhub-tiny]",
            f"json={tmp_path / 'all.json'}",
            "precision=[float32,float32]",
        )
    )
    rows = json.loads((tmp_path / "all.json").read_text())["subjects"]
    assert [row["model"] for row in rows] == ["strhub-tiny", "strhub-tiny (2)"]
    assert rows[0]["milliseconds"] != rows[1]["milliseconds"]
    assert [row["accuracy"] is None for row in rows] == [True, False]


def test_one_option_compiles_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    for kind in (SceneTextModel, System):
        monkeypatch.setattr(
            kind, "compile_network", lambda self: compiled.append(type(self).__name__)
        )
    assert "parseq, compiled, float32" in report(
        config("compile=true", "training=true", "training_batch=2")
    )
    report(config("compile=true", "+range=true", f"plot={tmp_path / 'range.png'}"))
    assert compiled == ["SceneTextModel", "PARSeq", "SceneTextModel"]


def test_words_are_as_wide_as_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a model that keeps their aspect: padded for PyTorch, each width apart for a file; not what
    is damaged.
    """
    write_lmdb(
        tmp_path / "words", [(Image.new("RGB", (width, 32)), "a") for width in (64, 32, 32, 96)]
    )
    with lmdb.open(str(tmp_path / "words")) as words, words.begin(write=True) as transaction:
        transaction.put(b"image-000000004", b"damaged")
    seen: list[tuple[int, ...]] = []

    class Session:
        def run(self, names: object, inputs: dict[str, Any]) -> None:
            seen.append(inputs["images"].shape)

    monkeypatch.setattr("strhub.export.export", lambda model, path, precision: path.touch())
    monkeypatch.setattr("strhub.benchmark.subjects.open_session", lambda *_, **__: Session())
    monkeypatch.setattr(
        SceneTextModel, "forward", lambda self, images, length: seen.append(tuple(images.shape))
    )
    settings = Settings(
        torch.device("cpu"),
        batch_sizes=[3],
        formats=["torch", "onnx"],
        images=str(tmp_path),
        folder=tmp_path,
    )
    for subject in subjects(
        "svtr", create_model("svtr-tiny", **SIZES["svtr-tiny"]).eval(), settings
    ):
        subject.read()
    assert seen == [(3, 3, 32, 64), (1, 3, 32, 64), (2, 3, 32, 32)]


def test_nothing_is_logged_to_where_it_is_called() -> None:
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        assert compose("bench", return_hydra_config=True).hydra.job_logging.root is None
