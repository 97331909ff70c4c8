"""Readers in forked children and unpickled copies: they read, end in time, and exit as usual."""

from __future__ import annotations

import pickle
import sys
import threading
from pathlib import Path

import pytest
from attack_support import run_limited

from strhub import Recognizer
from strhub.utils.processes import PerProcess

DEMO = sorted((Path(__file__).parents[2] / "demo_images").glob("*.png"))
CHILD = """
import os, sys
from pathlib import Path
import strhub
from strhub import Recognizer
images = sorted(Path("demo_images").glob("*.png")) * 3
model = "strhub-tiny" if sys.argv[1] == "onnx" else strhub.load("strhub-tiny")
reader = Recognizer(model, threads=4, batch_size=4)
texts = [reading.text for reading in reader(images)]
for child in range(2):
    number = os.fork()
    if number == 0:
        if child:  # the other one only ends, as a server's worker without work does
            assert [reading.text for reading in reader(images)] == texts
            assert reader(images[0])[0].text == texts[0]
        # PyTorch itself crashes at a forked child's usual end.
        sys.exit(7) if sys.argv[1] == "onnx" else os._exit(7)
    print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no forks")
@pytest.mark.parametrize("kind", ["onnx", pytest.param("torch", marks=pytest.mark.slow)])
def test_forked_children_of_a_reader_with_threads(kind: str) -> None:
    outcome = run_limited([sys.executable, "-c", CHILD, kind], memory_mib=8000)
    assert outcome.stdout.split() == ["7", "7"], outcome


def test_a_reader_is_pickled() -> None:
    reader = Recognizer("strhub-tiny", threads=2, reread_below=0)
    copy = pickle.loads(pickle.dumps(reader))
    assert [reading.text for reading in copy(DEMO)] == [reading.text for reading in reader(DEMO)]
    reader = Recognizer("strhub-tiny", threads=1, reread_below=0, lexicon=["clock", "word"])
    assert pickle.loads(pickle.dumps(reader))(DEMO[0]) == reader(DEMO[0])


def test_a_copy_knows_that_its_model_has_been_replaced(tmp_path: Path) -> None:
    from strhub.inference.onnx_engine import OnnxEngine
    from strhub.weights import embedded_graph

    engine = OnnxEngine(embedded_graph())
    engine.description = {**engine.description, "charset": "abc"}
    with pytest.raises(ValueError, match="holds another model"):
        pickle.loads(pickle.dumps(engine)).session  # noqa: B018


def test_a_value_a_process() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    value = PerProcess(make, 7)
    assert (value.get(), made) == (7, [])
    value._leave()
    assert (value.get(), value.get(), made) == (1, 1, [1])
    assert isinstance(
        pickle.loads(pickle.dumps(PerProcess(threading.Lock))).get(), type(threading.Lock())
    )
