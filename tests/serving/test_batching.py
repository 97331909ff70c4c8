"""Images of all clients are read together, in order, with nothing lost, and not too many wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from strhub.serving.batching import Dispatcher, Queue
from strhub.serving.refusals import Refusal


def within(check: Callable[[Dispatcher], Awaitable[None]], *, threads: int, wait: float) -> None:
    """Run a check with a dispatcher, which is closed in the end."""

    async def run() -> None:
        dispatcher = Dispatcher(threads, wait)
        try:
            await asyncio.wait_for(check(dispatcher), 120)
        finally:
            dispatcher.close()

    asyncio.run(run())


def queue(run: Callable[[Sequence[Any]], Sequence[Any]], **more: Any) -> Queue:
    options = {"lanes": 1, "batch_size": 8, "limit": 100, **more}
    return Queue("read", run, **options)


def test_images_of_all_clients_are_read_together_and_go_to_their_own() -> None:
    batches: list[list[int]] = []

    def read(sources: Sequence[int]) -> list[int]:
        batches.append(list(sources))
        return [2 * source for source in sources]

    async def check(dispatcher: Dispatcher) -> None:
        one = queue(read)
        clients = [dispatcher.submit(one, [10 * n, 10 * n + 1]) for n in range(6)]
        for n, futures in enumerate(clients):
            assert await asyncio.gather(*futures) == [20 * n, 20 * n + 2]

    within(check, threads=1, wait=0.05)
    assert [len(batch) for batch in batches] == [8, 4]
    assert [one for batch in batches for one in batch] == sorted(
        one for batch in batches for one in batch
    )


def test_an_image_waits_no_longer_than_it_is_said() -> None:
    async def check(dispatcher: Dispatcher) -> None:
        began = time.monotonic()
        (future,) = dispatcher.submit(queue(lambda sources: list(sources)), [1])
        await asyncio.sleep(0)
        assert not future.done()
        assert await future == 1
        assert 0.1 <= time.monotonic() - began < 60

    within(check, threads=2, wait=0.1)


def test_a_batch_that_fails_is_read_one_by_one() -> None:
    def read(sources: Sequence[int]) -> list[int]:
        if 3 in sources:
            raise MemoryError("too large")
        return list(sources)

    async def check(dispatcher: Dispatcher) -> None:
        futures = dispatcher.submit(queue(read), range(6))
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert results[:3] + results[4:] == [0, 1, 2, 4, 5]
        assert isinstance(results[3], MemoryError)
        (again,) = dispatcher.submit(queue(lambda sources: []), [1])
        with pytest.raises(RuntimeError, match="0 results of 1"):
            await again

    within(check, threads=1, wait=0)


def test_no_more_wait_than_it_is_said_and_what_is_cancelled_is_not_read() -> None:
    begun, free = threading.Event(), threading.Event()
    read: list[int] = []

    def slowly(sources: Sequence[int]) -> list[int]:
        read.extend(sources)
        begun.set()
        free.wait(60)
        return list(sources)

    async def check(dispatcher: Dispatcher) -> None:
        one = queue(slowly, limit=6, batch_size=1)
        first = dispatcher.submit(one, [0])
        await asyncio.to_thread(begun.wait, 60)
        waiting = dispatcher.submit(one, range(1, 7))
        assert dispatcher.waiting == {"read": 6}
        with pytest.raises(Refusal) as refused:
            dispatcher.submit(one, [7])
        assert refused.value.status == 429
        assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
        for future in waiting[:5]:
            future.cancel()
        free.set()
        assert await asyncio.gather(*first, waiting[5]) == [0, 6]

    within(check, threads=2, wait=0)
    assert read == [0, 6]


def test_idle_threads_divide_what_there_is_and_no_queue_is_forgotten() -> None:
    sizes: dict[str, list[int]] = {"words": [], "photos": []}
    together = threading.Barrier(2, timeout=60)

    def read(sources: Sequence[int]) -> list[int]:
        sizes["words"].append(len(sources))
        if len(sizes["words"]) <= 2:
            together.wait()  # two threads are at it at the same time
        return list(sources)

    def spot(sources: Sequence[int]) -> list[int]:
        sizes["photos"].append(len(sources))
        return list(sources)

    async def check(dispatcher: Dispatcher) -> None:
        words = queue(read, lanes=2)
        photos = Queue("spot", spot, 2, 1, 10)
        futures = [*dispatcher.submit(words, range(16)), *dispatcher.submit(photos, range(3))]
        assert await asyncio.gather(*futures) == [*range(16), *range(3)]

    within(check, threads=2, wait=0.02)
    assert sizes == {"words": [8, 8], "photos": [1, 1, 1]}
