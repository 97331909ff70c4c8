"""Which runtime reads what, and what is said where one is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import strhub
from strhub import Recognizer
from strhub.inference.onnx_engine import OnnxEngine
from strhub.inference.torch_engine import TorchEngine
from strhub.weights import embedded_graph

pytestmark = pytest.mark.numeric

ROOT = Path(__file__).parents[2]
DEMO = sorted((ROOT / "demo_images").glob("*.png"))
START = "from strhub.cli.entry import start; sys.argv = "
WITHOUT = "import sys; sys.modules.update(dict.fromkeys({names!r})); "


def run(code: str, *without: str) -> subprocess.CompletedProcess[str]:
    """A new process in which some packages cannot be imported."""
    script = WITHOUT.format(names=without) + code
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, encoding="utf-8"
    )


@pytest.mark.parametrize(
    ("model", "options", "engine"),
    [
        ("strhub-tiny", {}, OnnxEngine),
        ("pretrained=strhub-tiny", {"device": "cpu", "precision": "float32"}, OnnxEngine),
        ("strhub-tiny", {"refine_iters": 1, "decode_ar": True}, OnnxEngine),
        (embedded_graph("strhub-tiny"), {}, OnnxEngine),
        ("strhub-tiny", {"refine_iters": 2}, TorchEngine),
        ("strhub-tiny", {"precision": "bfloat16"}, TorchEngine),
        ("strhub-tiny", {"device": torch.device("meta")}, TorchEngine),
    ],
)
def test_which_runtime_reads(model: Any, options: dict[str, Any], engine: type) -> None:
    assert type(Recognizer(model, **options).engine) is engine


def test_both_runtimes_read_the_same() -> None:
    light, full = Recognizer("strhub-tiny"), Recognizer(strhub.load("strhub-tiny"), device="cpu")
    for one, other in zip(light(DEMO), full(DEMO), strict=True):
        assert (one.text, one.source) == (other.text, other.source)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
    with pytest.raises(AttributeError, match="ONNX Runtime"):
        _ = light.model


def test_reading_without_torch() -> None:
    done = run(
        "from strhub import Recognizer; print(Recognizer()('demo_images/04.png')[0].text)",
        "torch",
        "safetensors",
        "yaml",
    )
    assert done.stdout.strip() == "CHOICE", done.stderr
    done = run(
        START + "['read.py', '--images', 'demo_images/04.png']; start('read')",
        "torch",
        "yaml",
    )
    assert "CHOICE" in done.stdout, done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import strhub; strhub.load",
        "from strhub import Recognizer; Recognizer('strhub-tiny', decode_ar=False)",
        "from strhub import Recognizer; Recognizer('a.ckpt')",
        START + "['read.py', 'a.ckpt', '--images', 'demo_images/04.png']; start('read')",
        START + "['read.py', '--device', 'cuda', '--images', 'demo_images/04.png']; start('read')",
        START + "['test.py', 'a.ckpt']; start('test')",
        START + "['export.py', 'strhub-tiny', 'a.onnx']; start('export')",
    ],
)
def test_without_torch_the_extra_is_named(code: str) -> None:
    done = run(code, "torch")
    assert done.returncode == 1
    assert re.search(r"pip install \S+( \S+)?\[(torch|eval|export)\]", done.stderr.splitlines()[-1])
    if "start" in code:
        assert len(done.stderr.splitlines()) == 1


def test_without_onnxruntime_torch_reads() -> None:
    code = (
        "from strhub import Recognizer; r = Recognizer(); print(r('demo_images/04.png')[0].text, "
        "r.device)"
    )
    assert run(code, "onnxruntime").stdout.split() == ["CHOICE", "cpu"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": embedded_graph("strhub-tiny"), "refine_iters": 3}, "export it again"),
        (
            {"model": embedded_graph("strhub-tiny"), "precision": "bfloat16"},
            "fixed when a model is exported",
        ),
        ({"precision": "bfloat61"}, "Did you mean 'bfloat16'"),
        ({"precision": "float16", "device": "cpu"}, "float16 is for GPUs"),
        ({"compile": "perhaps"}, "compile is 'perhaps'"),
        ({"threads": 0}, "threads is 0"),
        ({"model": torch.nn.Linear(1, 1)}, "not a Linear"),
        ({"model": "missing.onnx"}, "there is no file"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recognizer(**arguments)


def test_bfloat16_leaves_a_loaded_model_as_it_was_and_reads_alike() -> None:
    model = strhub.load("strhub-tiny")
    rounded = Recognizer(model, precision="bfloat16", device="cpu")
    assert next(rounded.model.parameters()).dtype == torch.bfloat16
    assert next(model.parameters()).dtype == torch.float32
    texts = [reading.text for reading in rounded(DEMO)]
    expected = [reading.text for reading in Recognizer(model, device="cpu")(DEMO)]
    assert sum(one == other for one, other in zip(texts, expected, strict=True)) >= len(DEMO) - 1


def test_two_readers_of_one_model_each_decode_as_asked() -> None:
    model = strhub.create_model(
        "parseq-tiny", embed_dim=32, enc_num_heads=1, dec_num_heads=2, enc_depth=1
    )
    first = Recognizer(model, device="cpu", precision="float32", decode_ar=False, refine_iters=2)
    second = Recognizer(model, device="cpu", precision="float32", decode_ar=True)
    networks = [reader.model.model for reader in (first, second)]
    assert [(network.decode_ar, network.refine_iters) for network in networks] == [
        (False, 2),
        (True, 1),
    ]
    assert (model.model.decode_ar, model.hparams.refine_iters, model.training) == (True, 1, True)


@pytest.mark.parametrize("every", [2, 8, 100])
@pytest.mark.parametrize("refine_iters", [0, 1])
def test_looking_rarely_at_whether_all_have_ended_reads_the_same(
    every: int, refine_iters: int
) -> None:
    """As it is done on a GPU, where each look makes the host wait."""
    model = strhub.load("strhub-tiny", refine_iters=refine_iters).eval()
    images = torch.rand(4, 3, 32, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for batch in (images[:1], images):
        model.model.steps_between_checks = None
        with torch.inference_mode():
            expected = model(batch)
            model.model.steps_between_checks = every
            torch.testing.assert_close(model(batch), expected)


def test_bfloat16_of_a_network_that_keeps_its_weights() -> None:
    model = strhub.create_model("crnn", hidden_size=16, output_channel=32)
    recognizer = Recognizer(model, precision="bfloat16", device="cpu")
    assert next(recognizer.model.parameters()).dtype == torch.float32
    assert recognizer.model(torch.zeros(1, 3, 32, 128)).dtype == torch.bfloat16
    assert recognizer(np.zeros((20, 60, 3), np.uint8))[0].error is None
