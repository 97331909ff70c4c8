"""Graphs of strangers that compute without end, ask for terabytes or crash the runtime: refused,
and nothing more.
"""

from __future__ import annotations

import io
import json
import pickle
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
from PIL import Image

from strhub import Recognizer
from strhub.errors import CheckpointError
from strhub.inference import limited_messages, limited_session
from strhub.inference.onnx_description import METADATA_KEY
from strhub.spotting.detector import EmbeddedDetector

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
CHARSET = "ab"
DESCRIPTION = {
    "format": 1,
    "architecture": "crnn",
    "tokenizer": "ctc",
    "charset": CHARSET,
    "img_size": [8, 8],
    "normalize": "default",
}
ENDLESS = 1 << 40
HERE = 5  # seconds of this process, where next to nothing is computed: graphs take more by far


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


def loop(
    path: Path, rounds: Any, step: Sequence[Any], *, shape: Sequence[Any] = (1,), start: Any = None
) -> Path:
    """Write a graph with a loop: from x to y, on while `still`."""
    value = helper.make_tensor_value_info
    carried = [value(name, kind, []) for name, kind in (("i", TensorProto.INT64), ("on", 9))]
    body = helper.make_graph(
        list(step),
        "body",
        [*carried, value("x", TensorProto.FLOAT, shape)],
        [value("still", 9, []), value("y", TensorProto.FLOAT, shape)],
    )
    nodes = [
        helper.make_node("Loop", ["trips", "", "start"], ["end"], body=body),
        helper.make_node("ReduceSum", ["end"], ["sum"], keepdims=0),
        helper.make_node("Reshape", ["sum", "one"], ["more"]),
    ]
    begin = constant("start", [1.0] if start is None else start, np.float32)
    return write(path, nodes, [constant("trips", rounds), begin, constant("one", [1])])


GO_ON = helper.make_node("Identity", ["on"], ["still"])
SMALLER = helper.make_node("MatMul", ["x", "x"], ["y"])
DOUBLE = helper.make_node("Concat", ["x", "x"], ["y"], axis=0)
# Goes on where an image is no zeros.
IF_SEEN = [
    helper.make_node("ReduceMax", ["images"], ["brightest"], keepdims=0),
    helper.make_node("Cast", ["brightest"], ["still"], to=9),
]


def endless(path: Path) -> Path:
    """A loop that takes minutes."""
    return loop(path, 4000, [GO_ON, SMALLER], shape=(700, 700), start=np.zeros((700, 700)))


def slow_where_seen(path: Path) -> Path:
    return loop(path, 4000, [*IF_SEEN, SMALLER], shape=(700, 700), start=np.zeros((700, 700)))


def large_where_seen(path: Path) -> Path:
    return loop(path, 60, [*IF_SEEN, DOUBLE], shape=("n",), start=np.zeros(1 << 20))


def huge(path: Path) -> Path:
    """A tensor of terabytes that is in no file."""
    made = helper.make_node("ConstantOfShape", ["sizes"], ["large"])
    summed = helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0)
    shaped = helper.make_node("Reshape", ["sum", "one"], ["more"])
    return write(path, [made, summed, shaped], [constant("sizes", [ENDLESS]), constant("one", [1])])


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(limited_session.TRUST, raising=False)


def test_a_harmless_graph_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (reading,) = Recognizer(harmless(tmp_path / "a.onnx"))([np.zeros((8, 8, 3), dtype=np.uint8)])
    assert reading.error is None
    assert not caplog.records


def test_a_graph_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_session, "MAX_CPU_SECONDS", 1)
    began = time.process_time()
    with pytest.raises(
        CheckpointError, match=r"a\.onnx cannot be loaded: one image takes over 1 seconds"
    ):
        Recognizer(endless(tmp_path / "a.onnx"))
    assert time.process_time() - began < HERE


def unsettled() -> dict[str, tuple[list[Any], list[Any]]]:
    """Graphs whose course depends on what an image shows: nodes that make `more`, and constants."""
    node = helper.make_node
    bright = [
        node("ReduceMax", ["images"], ["max"], keepdims=0),
        node("Cast", ["max"], ["count"], to=TensorProto.INT64),
    ]
    value = helper.make_tensor_value_info
    ends = [value("still", 9, []), value("y", TensorProto.FLOAT, [1])]
    starts = [
        value("i", TensorProto.INT64, []),
        value("on", 9, []),
        value("x", TensorProto.FLOAT, [1]),
    ]
    same = node("Identity", ["x"], ["y"])
    body = helper.make_graph([GO_ON, same], "body", starts, ends)
    inner = node("Loop", ["trips", "", "x"], ["y"], body=body)
    outer = helper.make_graph([GO_ON, inner], "outer", starts, ends)
    branch = helper.make_graph(
        [node("Identity", ["zero"], ["z"])], "b", [], [value("z", TensorProto.FLOAT, [1])]
    )
    zero = constant("zero", [0.0], np.float32)
    sums = [
        node("ReduceSum", ["large"], ["sum"], keepdims=0),
        node("Reshape", ["sum", "one"], ["more"]),
    ]
    one, trips = constant("one", [1]), constant("trips", 9)
    return {
        "loop": ([*bright, node("Loop", ["count", "", "zero"], ["more"], body=body)], [zero]),
        "long": ([node("Loop", ["trips", "", "zero"], ["more"], body=body)],
                 [zero, constant("trips", ENDLESS)]),
        "loops": ([node("Loop", ["trips", "", "zero"], ["more"], body=outer)], [zero, trips]),
        "If": ([*bright, node("Cast", ["max"], ["yes"], to=9),
                node("If", ["yes"], ["more"], then_branch=branch, else_branch=branch)], [zero]),
        "Range": ([*bright, node("Range", ["a", "count", "b"], ["numbers"]),
                   node("Cast", ["numbers"], ["large"], to=1), *sums],
                  [one, constant("a", 0), constant("b", 1)]),
        "NonZero": ([node("NonZero", ["images"], ["large"]), *sums], [one]),
        "ConstantOfShape": ([node("Loop", ["trips", "", "zero"], ["end"], body=body),
                             node("Cast", ["end"], ["size"], to=TensorProto.INT64),
                             node("ConstantOfShape", ["size"], ["large"]), *sums],
                            [zero, one, trips]),
        "operator": ([node("Sampling", ["images"], ["more"], domain="com.microsoft")], []),
        "domain": ([node("Identity", ["zero"], ["more"], domain="of.mine")], [zero]),
    }  # fmt: skip


@pytest.mark.parametrize("name", unsettled())
def test_a_course_that_an_image_decides_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"a\.onnx is refused: .*STRHUB_TRUST_ONNX=1"):
        Recognizer(write(tmp_path / "a.onnx", *unsettled()[name]))


def test_functions_of_a_file_are_refused(tmp_path: Path) -> None:
    model = onnx.load(harmless(tmp_path / "a.onnx"))
    nodes = [helper.make_node("Identity", ["a"], ["b"])]
    opset = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("mine", "F", ["a"], ["b"], nodes, opset))
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match="functions of its own"):
        Recognizer(tmp_path / "a.onnx")


def one_slow_operator(path: Path) -> Path:
    """A graph of one product that takes no time for one image and hours for some: its sides are
    powers of how many there are.
    """
    node = helper.make_node
    nodes = [
        node("Shape", ["images"], ["sizes"], end=1),
        node("Pow", ["sizes", "exponent"], ["side"]),
        node("Concat", ["side", "side"], ["sides"], axis=0),
        node("ConstantOfShape", ["sides"], ["square"]),
        node("MatMul", ["square", "square"], ["product"]),
        node("ReduceMax", ["product"], ["most"], keepdims=0),
        node("Reshape", ["most", "one"], ["more"]),
    ]
    return write(path, nodes, [constant("exponent", [13]), constant("one", [1])])


@pytest.mark.parametrize(
    ("write_graph", "images", "message"),
    [
        (slow_where_seen, 1, "took too long"),
        (large_where_seen, 1, "cannot be computed|took too much memory"),
        (one_slow_operator, 2, "took too long"),  # 8,192 by 8,192: 10^12 operations, 512 MiB
        (one_slow_operator, 3, "cannot be computed|took too much memory"),  # 10 TiB
    ],
)
def test_what_passes_the_trial_still_has_limits(
    tmp_path: Path, write_graph: Any, images: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_session, "SECONDS", 0.5 if "long" in message else 60.0)
    monkeypatch.setattr(limited_session, "SECONDS_AN_IMAGE", 0.0)
    monkeypatch.setattr(limited_session, "MAX_MEMORY", (1500 if "long" in message else 500) << 20)
    reader = Recognizer(write_graph(tmp_path / "a.onnx"), threads=1, reread_below=0)
    seen = np.full((8, 8, 3), 255, dtype=np.uint8)
    began = time.process_time()
    with pytest.raises(CheckpointError, match=message):
        reader([seen] * images)
    assert time.process_time() - began < HERE


def test_after_a_crash_another_process_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several threads wait for the one that dies: each is told, and the next reading is right."""
    reader = Recognizer(harmless(tmp_path / "a.onnx"), threads=1, reread_below=0)
    seen = np.full((8, 8, 3), 255, dtype=np.uint8)
    before = reader([seen])
    session: Any = reader.engine.session  # type: ignore[attr-defined]
    answers = [session._other._answers.expect(-number) for number in (1, 2)]
    session._other._process.kill()
    for answer in answers:
        with pytest.raises(EOFError):
            answer.result(timeout=240)
    assert reader([seen]) == before
    copied = pickle.loads(pickle.dumps(reader))
    assert copied([seen] * 3) == before * 3


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"x\n",
        b"[]\n",
        b"[" * 100_000 + b"\n",
        b'{"arrays": [["object", [1]]]}\n',
        b'{"arrays": [["float32", [99999999999]]]}\n',
        b'{"arrays": [["float32", [-1]]]}\n',
        b'{"arrays": [["float32", [3]]]}\n1234',
        b'{"arrays": 3}\n',
    ],
)
def test_a_process_that_was_taken_over_says_nothing_that_matters(told: bytes) -> None:
    with pytest.raises((EOFError, ValueError, TypeError, KeyError)):
        limited_messages.receive(io.BytesIO(told))


@pytest.mark.parametrize(
    ("shape", "message"), [((64, 64), "is not a detector"), ((8, 8), "cannot be (loaded|computed)")]
)
def test_a_detector_that_is_none(tmp_path: Path, shape: tuple[int, int], message: str) -> None:
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *shape])
    means = helper.make_tensor_value_info("means", TensorProto.FLOAT, None)
    node = helper.make_node("ReduceMean", ["images"], ["means"], axes=[1, 2], keepdims=1)
    graph = helper.make_graph([node], "graph", [image], [means])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match=rf"a\.onnx {message}"):
        EmbeddedDetector(model=tmp_path / "a.onnx", side=64)(Image.new("RGB", (64, 64)))


def test_a_graph_that_asks_for_terabytes(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"a\.onnx cannot be (computed|loaded)"):
        Recognizer(huge(tmp_path / "a.onnx"))


def test_a_graph_that_crashes_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import os, signal; os.write(1, b'begun\\n'); os.kill(os.getpid(), signal.SIGSEGV)"
    monkeypatch.setattr(limited_session, "_CODE", crash)
    with pytest.raises(CheckpointError, match=rf"crashes on it \(status -{int(signal.SIGSEGV)} "):
        Recognizer(harmless(tmp_path / "a.onnx"))


@pytest.mark.parametrize("program", ["/bin/true", "/nowhere/python"])
def test_where_no_such_process_can_be_started(
    tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    path = harmless(tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match=r"none can be started: .*STRHUB_TRUST_ONNX=1"):
        Recognizer(path)
    monkeypatch.setenv(limited_session.TRUST, "1")
    assert Recognizer(path)([np.zeros((8, 8, 3), dtype=np.uint8)])


def test_a_frozen_program_is_not_started_as_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(CheckpointError, match="is a program and not Python"):
        Recognizer(harmless(tmp_path / "a.onnx"))


def test_own_files_need_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        limited_session, "_CODE", "import os; os.write(1, b'begun\\n'); os._exit(1)"
    )
    Recognizer("strhub-tiny")  # the embedded one
    path = harmless(tmp_path / "b.onnx")
    with pytest.raises(CheckpointError, match="crashes"):
        Recognizer(path)
    monkeypatch.setenv(limited_session.TRUST, "1")
    assert Recognizer(path)


def test_a_trial_ends_with_who_began_it(tmp_path: Path) -> None:
    code = """
import subprocess, sys
from pathlib import Path
from strhub import Recognizer
from strhub.inference import limited_session
class Noted(subprocess.Popen):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        Path(sys.argv[2]).touch()
limited_session.subprocess.Popen = Noted
Recognizer(sys.argv[1], threads=1)
"""
    environment = {limited_session.TRUST: None}
    path, begun = endless(tmp_path / "a.onnx"), tmp_path / "begun"
    outcome = run_python(
        code, path, begun, signals=[(1.0, signal.SIGKILL)], begun=begun, environment=environment
    )
    assert (outcome.status, outcome.survivors) == (-signal.SIGKILL, 0), outcome
