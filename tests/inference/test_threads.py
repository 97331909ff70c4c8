"""One reader in many hands: 32 threads, coroutines, processes that are spawned, copies. Forks have
tests of their own in tests/utils/test_processes.py.
"""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import strhub
from strhub import Recognizer, Spotter

ROOT = Path(__file__).parents[2]
DEMO = sorted((ROOT / "demo_images").glob("*.png"))
THREADS = 32


@pytest.fixture(autouse=True)
def frequent_switches() -> Iterator[None]:
    """Threads take turns five hundred times as often as usual, and torch keeps its own number."""
    interval, threads = sys.getswitchinterval(), torch.get_num_threads()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)
    torch.set_num_threads(threads)


MAKERS: dict[str, Callable[[], Any]] = {
    "onnx": lambda: Recognizer("strhub-tiny", threads=2, batch_size=4),
    "torch": lambda: Recognizer(strhub.load("strhub-tiny"), threads=1, batch_size=4),
    "search": lambda: Recognizer("strhub-tiny", threads=1, top_k=2, lexicon=["clock", "hotel"]),
}


def rotated(start: int) -> list[Path]:
    """The demo images from one on, so that each thread has another order."""
    return DEMO[start % len(DEMO) :] + DEMO[: start % len(DEMO)]


SOME = ["onnx", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("torch", "search"))]


@pytest.mark.parametrize("kind", SOME)
def test_32_threads_on_one_recognizer(kind: str) -> None:
    expected = {path: MAKERS[kind]()([path])[0].text for path in DEMO}
    reader = MAKERS[kind]()  # nothing of it is warm: they open its sessions at once
    together = threading.Barrier(THREADS)

    def read(number: int) -> list[str]:
        together.wait()
        sources = rotated(number)[: 3 + number % 3]
        return [reading.text for reading in reader(sources)]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(read, range(THREADS)))
    for number, texts in enumerate(found):
        assert texts == [expected[path] for path in rotated(number)[: 3 + number % 3]]


def test_coroutines_read_in_threads() -> None:
    reader = MAKERS["onnx"]()
    expected = [reading.text for reading in reader(DEMO)]

    async def read_all() -> list[str]:
        answers = [asyncio.to_thread(reader, path) for path in DEMO]
        return [reading.text for (reading,) in await asyncio.gather(*answers)]

    assert asyncio.run(read_all()) == expected


@pytest.mark.slow
def test_one_spotter_in_threads_and_copies_of_it() -> None:
    image = Image.open(ROOT / "docs" / "figures" / "street.jpg").crop((0, 0, 640, 240))
    spotter = Spotter(threads=1)
    expected = spotter(image).text
    assert expected
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: spotter(image).text, range(4))) == {expected}
    for another in (pickle.loads(pickle.dumps(spotter)), copy.deepcopy(spotter)):
        assert another(image).text == expected


@pytest.mark.parametrize("kind", SOME)
def test_copies_are_readers_of_their_own(kind: str) -> None:
    reader = MAKERS[kind]()
    expected = reader(DEMO[0])
    for another in (pickle.loads(pickle.dumps(reader)), copy.deepcopy(reader)):
        assert another(DEMO[0]) == expected
        assert another.engine is not reader.engine


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_recognizer_goes_to_processes_that_are_spawned(kind: str) -> None:
    reader = MAKERS[kind]()
    expected = [reader([path])[0].text for path in DEMO]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        answers = pool.map(reader, [[path] for path in DEMO], chunksize=4)
        assert [reading.text for (reading,) in answers] == expected
