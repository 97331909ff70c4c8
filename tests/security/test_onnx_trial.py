"""Graphs of strangers that compute without end, ask for terabytes or crash the runtime: refused,
and nothing more.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from attack_support import run_python
from onnx import TensorProto, helper

from strhub import Recognizer
from strhub.errors import CheckpointError
from strhub.inference import onnx_trial
from strhub.inference.onnx_description import METADATA_KEY

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
CHARSET = "ab"
DESCRIPTION = {"format": 1, "architecture": "crnn", "tokenizer": "ctc", "charset": CHARSET,
    "img_size": [8, 8],
               "normalize": "default"}  # fmt: skip
ENDLESS = 1 << 40


def constant(name: str, value: Any, kind: type = np.int64) -> Any:
    return onnx.numpy_helper.from_array(np.array(value, dtype=kind), name)


def write(path: Path, nodes: Sequence[Any], constants: Sequence[Any] = ()) -> Path:
    """Write a graph whose nodes make `more`, (1,), which is added to the logits."""
    reduced = helper.make_node("ReduceMean", ["images", "axes"], ["means"], keepdims=1)
    shaped = helper.make_node("Expand", ["means", "shape"], ["expanded"])
    columns = helper.make_node("Squeeze", ["expanded", "first"], ["columns"])
    added = helper.make_node("Add", ["columns", "more"], ["logits"])
    graph = helper.make_graph(
        [*nodes, reduced, shaped, columns, added],
        "graph",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4, 3])],
        [
            constant("axes", [1, 2, 3]),
            constant("shape", [1, 1, 4, 3]),
            constant("first", [1]),
            *constants,
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {METADATA_KEY: json.dumps(DESCRIPTION)})
    onnx.save(model, path)
    return path


def harmless(path: Path) -> Path:
    return write(path, [], [constant("more", [0.0], np.float32)])


def endless(path: Path) -> Path:
    """A loop that goes round for hours."""
    carried = [
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (("i", TensorProto.INT64), ("on", 9))
    ]
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), helper.make_node("Sin", ["x"], ["y"])],
        "body",
        [*carried, helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [
            helper.make_tensor_value_info("still", 9, []),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1]),
        ],
    )
    loop = helper.make_node("Loop", ["trips", "", "start"], ["more"], body=body)
    return write(path, [loop], [constant("trips", ENDLESS), constant("start", [1.0], np.float32)])


def huge(path: Path) -> Path:
    """A tensor of terabytes that is in no file."""
    made = helper.make_node("ConstantOfShape", ["sizes"], ["large"])
    summed = helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0)
    shaped = helper.make_node("Reshape", ["sum", "one"], ["more"])
    return write(path, [made, summed, shaped], [constant("sizes", [ENDLESS]), constant("one", [1])])


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(onnx_trial.TRUST, raising=False)
    monkeypatch.setattr(onnx_trial, "MAX_CPU_SECONDS", 1)


def test_a_harmless_graph_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reading,) = Recognizer(harmless(tmp_path / "a.onnx"))([np.zeros((8, 8, 3), dtype=np.uint8)])
    assert reading.error is None
    assert not caplog.records
    monkeypatch.setattr(onnx_trial, "_CODE", "1 / 0")
    assert Recognizer(tmp_path / "a.onnx")  # it stays as it is
    assert not caplog.records


def test_a_graph_that_does_not_end(tmp_path: Path) -> None:
    began = time.process_time()
    with pytest.raises(
        CheckpointError, match=r"a\.onnx cannot be loaded: one image takes over 1 seconds"
    ):
        Recognizer(endless(tmp_path / "a.onnx"))
    assert time.process_time() - began < 1


def test_a_graph_that_asks_for_terabytes(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.onnx cannot be (computed|loaded)"):
        Recognizer(huge(tmp_path / "a.onnx"))


def test_a_graph_that_crashes_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import os, signal; os.write(1, b'begun\\n'); os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(onnx_trial, "_CODE", crash)
    with pytest.raises(CheckpointError, match=rf"crashes on it \(status -{int(signal.SIGSEGV)} "):
        Recognizer(harmless(tmp_path / "a.onnx"))


@pytest.mark.parametrize("program", ["/bin/true", "/nowhere/python"])
def test_where_no_such_process_can_be_started(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert Recognizer(harmless(tmp_path / "a.onnx"))([np.zeros((8, 8, 3), dtype=np.uint8)])
    assert "is used untried" in caplog.text


def test_own_files_need_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_trial, "_CODE", "import os; os.write(1, b'begun\\n'); os._exit(1)")
    Recognizer("strhub-tiny")  # the embedded one
    path = harmless(tmp_path / "b.onnx")
    with pytest.raises(CheckpointError, match="crashes"):
        Recognizer(path)
    monkeypatch.setenv(onnx_trial.TRUST, "1")
    assert Recognizer(path)


def test_a_trial_ends_with_who_began_it(tmp_path: Path) -> None:
    code = "import sys; from strhub import Recognizer; Recognizer(sys.argv[1])"
    environment = {onnx_trial.TRUST: None}
    path = endless(tmp_path / "a.onnx")
    outcome = run_python(code, path, signals=[(3.0, signal.SIGKILL)], environment=environment)
    assert (outcome.status, outcome.survivors) == (-signal.SIGKILL, 0), outcome
