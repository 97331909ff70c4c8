"""Many images read by several threads at once: the same readings, in order, and nothing left
behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import strhub
from strhub import Recognizer

pytestmark = pytest.mark.numeric

DEMO = sorted((Path(__file__).parents[2] / "demo_images").glob("*.png"))


@pytest.fixture(scope="module", params=["onnx", "torch"])
def reader(request: pytest.FixtureRequest) -> Iterator[Recognizer]:
    threads = torch.get_num_threads()
    model: Any = "strhub-tiny" if request.param == "onnx" else strhub.load("strhub-tiny")
    yield Recognizer(model, device="cpu", threads=2, batch_size=8)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sources() -> list[Any]:
    tall = Image.open(DEMO[0]).convert("RGB").rotate(90, expand=True)
    return [*DEMO, None, tall, *DEMO, "absent.png", np.zeros((9, 5), np.uint8), *DEMO[:3]]


def test_the_same_as_one_after_the_other(reader: Recognizer, sources: list[Any]) -> None:
    assert reader.engine.lanes == 2
    alone = Recognizer("strhub-tiny", threads=1)
    expected = [alone([source])[0] for source in sources]
    for found in (
        reader(sources),
        list(reader.read(iter(sources))),
        reader(sources[:9]) + reader(sources[9:]),
    ):
        for one, other in zip(found, expected, strict=True):
            assert (one.text, one.source, one.error, one.rotation) == (
                other.text,
                other.source,
                other.error,
                other.rotation,
            )
            assert one.confidence == pytest.approx(other.confidence, abs=1e-4)
    assert sum(reading.error is not None for reading in expected) == 2


def test_an_iterator_is_asked_for_one_batch(reader: Recognizer) -> None:
    asked = 0

    def endless() -> Iterator[Path]:
        nonlocal asked
        while True:
            asked += 1
            yield DEMO[asked % len(DEMO)]

    readings = reader.read(endless())
    for _ in range(3):
        next(readings)
    assert asked == reader.batch_size
    readings.close()


def test_reading_that_is_given_up_leaves_nothing_behind(reader: Recognizer) -> None:
    threads = torch.get_num_threads()
    before = set(threading.enumerate())
    readings = reader.read(DEMO * 50)
    assert next(readings).source == str(DEMO[0])
    readings.close()
    deadline = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - before
    seen = [torch.get_num_threads()]
    fresh = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    fresh.start()
    fresh.join()
    assert seen == [threads, threads]


def test_an_error_of_the_model_is_not_swallowed(
    reader: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(
        reader.engine, "_decode" if hasattr(reader.engine, "session") else "decode", fails
    )
    with pytest.raises(RuntimeError, match="out of memory"):
        reader(DEMO * 2)


def test_one_thread_and_other_devices_have_one_lane() -> None:
    threads = torch.get_num_threads()
    try:
        assert Recognizer("strhub-tiny", threads=1).engine.lanes == 1
        model = strhub.load("strhub-tiny")
        assert Recognizer(model, device="cpu", threads=1).engine.lanes == 1
        assert Recognizer(model, device="meta", threads=2).engine.lanes == 1
    finally:
        torch.set_num_threads(threads)
