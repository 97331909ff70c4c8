"""float32 unless asked: the same readings on every processor; "auto" is near them, and outputs say
which it was.
"""

from __future__ import annotations

import inspect
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_numbers import FOLDER
from tiny_models import SIZES, Training, inputs, tiny_system

import strhub
from strhub import Recognizer
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.cli import read, test
from strhub.data.synth import RenderedWords
from strhub.inference.torch_engine import TorchEngine
from strhub.text import CHARSET_94
from strhub.utils.precision import (
    choose_precision,
    computes_in_bfloat16,
    precision_name,
    processor_has_bfloat16,
)

pytestmark = pytest.mark.numeric

ROOT = Path(__file__).parents[2]
DEMO = sorted((ROOT / "demo_images").glob("*.png"))
CPU = torch.device("cpu")
# bfloat16 has 8 bits: what is read with at least this confidence keeps its text, and confidences
# move by at most this. Measured with strhub-tiny: 0.013; 0.004 for all that is read with a
# confidence of 0.9 or more.
SURE, TOLERANCE = 0.5, 0.05


@pytest.fixture(params=[False, True], ids=["without bfloat16", "with bfloat16"])
def has_bfloat16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Let the processor seem to have instructions for bfloat16, or to lack them."""
    monkeypatch.setattr("strhub.utils.precision.processor_has_bfloat16", lambda: request.param)
    return bool(request.param)


@pytest.fixture
def rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let "auto" be bfloat16."""
    monkeypatch.setattr("strhub.utils.precision.processor_has_bfloat16", lambda: True)


@pytest.mark.parametrize("reads", [Recognizer, TorchEngine])
def test_float32_is_the_default_of_readers(reads: Any) -> None:
    assert inspect.signature(reads).parameters["precision"].default == "float32"


@pytest.mark.parametrize("command", [read, test])
def test_float32_is_the_default_of_commands(command: Any) -> None:
    assert command.build_parser().get_default("precision") == "float32"


def test_a_loaded_model_reads_in_float32_on_every_processor(has_bfloat16: bool) -> None:
    reader = Recognizer(strhub.load("strhub-tiny"), device="cpu")
    assert (reader.precision, next(reader.model.parameters()).dtype) == ("float32", torch.float32)


def test_read_with_options_says_the_precision(
    has_bfloat16: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, used in (
        ([], "float32"),
        (["strhub-tiny", "refine_iters:int=0"], "float32"),
        (["--precision", "auto"], "float32"),  # by ONNX Runtime
        (
            ["strhub-tiny", "refine_iters:int=0", "--precision", "auto"],
            "bfloat16" if has_bfloat16 else "float32",
        ),
    ):
        assert read.run(["--images", str(DEMO[0]), "--json", "--device", "cpu", *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["precision"] == used


def test_the_table_of_scores_says_the_precision(has_bfloat16: bool, word_tree: Path) -> None:
    own = ["--data_root", str(word_tree), "--num_workers", "0", "--device", "cpu", "--sets", "SVT"]
    checkpoint = str(FOLDER / "reference-lightning.ckpt")
    assert "float32 on cpu" in test.run([checkpoint, *own])
    used = "bfloat16" if has_bfloat16 else "float32"
    assert f"{used} on cpu" in test.run([checkpoint, *own, "--precision", "auto"])


def test_an_exported_file_says_what_it_was_exported_in() -> None:
    assert Recognizer("strhub-tiny").precision == "float32"


def test_auto_chooses_by_the_processor(has_bfloat16: bool) -> None:
    assert computes_in_bfloat16(CPU) == has_bfloat16
    assert choose_precision("auto", CPU) == (torch.bfloat16 if has_bfloat16 else torch.float32)
    assert choose_precision("float32", CPU) == torch.float32
    assert precision_name("auto", CPU) == ("bfloat16" if has_bfloat16 else "float32")


def test_instructions_that_the_libraries_may_not_use_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with ONEDNN_MAX_CPU_ISA or ATEN_CPU_CAPABILITY, which `make test-cpus` sets."""
    if os.environ.get("ONEDNN_MAX_CPU_ISA") == "avx2":
        assert not processor_has_bfloat16()
    monkeypatch.setattr("torch.cpu._is_amx_tile_supported", lambda: True)
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    assert not processor_has_bfloat16()


def test_auto_reads_words_as_float32_does(rounded: None) -> None:
    words = RenderedWords(charset=CHARSET_94, max_length=10, seed=5, difficulty=0.2)
    sources = [*map(str, DEMO), *(words.render(index)[0] for index in range(24))]
    model = strhub.load("strhub-tiny")
    exact, near = (
        Recognizer(model, device="cpu", precision=kind)(sources) for kind in ("float32", "auto")
    )
    sure = [pair for pair in zip(exact, near, strict=True) if pair[0].confidence >= SURE]
    assert len(sure) >= 25
    for one, other in sure:
        assert one.text == other.text
        assert other.confidence == pytest.approx(one.confidence, abs=TOLERANCE)


@pytest.mark.parametrize("experiment", SIZES)
def test_auto_gives_every_network_s_probabilities(rounded: None, experiment: str) -> None:
    training = Training(experiment)
    system = tiny_system(training).eval()
    model = SceneTextModel(system.hparams).eval()
    model.model.load_state_dict(system.model.state_dict())
    images = inputs(training)
    with torch.inference_mode():
        expected = model(images).softmax(-1)
        model.set_precision(choose_precision("auto", CPU))
        found = model(images).float().softmax(-1)
    steps = min(expected.shape[1], found.shape[1])  # one may end a step earlier
    torch.testing.assert_close(found[:, :steps], expected[:, :steps], rtol=0, atol=TOLERANCE)
