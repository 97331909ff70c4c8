"""Images of all clients read together: queues, and the threads that work on them.

Everything here runs on the event loop's thread but what reads, which runs in threads of its own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from strhub.serving.refusals import Refusal

__all__ = ["Dispatcher", "Observer", "Queue"]

_LEAST_PART: Final = 4  # images that a thread reads alone, at least, if there are so many
_LONGEST_WAIT: Final = 60  # seconds that a client is told to wait, at most
_WEIGHT: Final = 0.1  # of the newest batch in the mean time for an image

Run = Callable[[Sequence[Any]], Sequence[Any]]


class Observer(Protocol):
    """Whoever counts what is read."""

    def batch(self, kind: str, size: int, waited: float, seconds: float) -> None:
        """Take note of a batch: how long its first image waited, and how long it took."""


@dataclass(eq=False)
class _Item:
    source: Any
    result: asyncio.Future[Any]
    since: float


@dataclass(eq=False)
class Queue:
    """Images that may be read together.

    kind: such as "read"; run: what reads them, in any thread; lanes: threads that may do so at
    once; batch_size, limit: images at a time, and that wait, at most.
    """

    kind: str
    run: Run
    lanes: int
    batch_size: int
    limit: int
    items: deque[_Item] = field(default_factory=deque)
    running: int = 0
    seconds_each: float = 0.01

    def ready(self, now: float, wait: float) -> bool:
        """Return whether a batch is to begin now: it is full, or its first image has waited."""
        if not self.items or self.running >= self.lanes:
            return False
        return len(self.items) >= self.batch_size or now - self.items[0].since >= wait

    def next_batch(self, idle: int) -> list[_Item]:
        """Return the images that the next of so many idle threads is to read."""
        part = math.ceil(len(self.items) / max(1, min(idle, self.lanes - self.running)))
        size = min(self.batch_size, max(part, _LEAST_PART))
        batch: list[_Item] = []
        while self.items and len(batch) < size:
            item = self.items.popleft()
            if not item.result.done():  # nobody waits for it any more, else
                batch.append(item)
        return batch

    def retry_after(self) -> int:
        """Return after how many seconds there may be room again."""
        seconds = len(self.items) * self.seconds_each / self.lanes
        return min(_LONGEST_WAIT, max(1, math.ceil(seconds)))


class Dispatcher:
    """Threads that take from queues, the one first whose image has waited longest.

    threads: that read; wait: seconds that an image waits for others, at most.
    """

    def __init__(self, threads: int, wait: float, observer: Observer | None = None) -> None:
        self._threads, self._wait, self._observer = threads, wait, observer
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="strhub-serve")
        self._queues: list[Queue] = []
        self._running = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> dict[str, int]:
        """Return how many images wait, by kind."""
        counts: dict[str, int] = {}
        for queue in self._queues:
            counts[queue.kind] = counts.get(queue.kind, 0) + len(queue.items)
        return counts

    def submit(self, queue: Queue, sources: Sequence[Any]) -> list[asyncio.Future[Any]]:
        """Submit images to be read; cancel those that are not wanted any more.

        Raises:
            Refusal: 429 if too many wait.
        """
        if queue not in self._queues:
            self._queues.append(queue)
        waiting = sum(len(one.items) for one in self._queues if one.kind == queue.kind)
        if waiting + len(sources) > queue.limit:
            raise Refusal(
                429,
                "queue_full",
                f"{waiting} images wait: try again later",
                retry_after=queue.retry_after(),
            )
        loop, now = asyncio.get_running_loop(), time.monotonic()
        futures = [loop.create_future() for _ in sources]
        queue.items += [
            _Item(source, future, now) for source, future in zip(sources, futures, strict=True)
        ]
        self._pump()
        return futures

    def close(self) -> None:
        """End the threads once they have done what they are at."""
        if self._timer is not None:
            self._timer.cancel()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _pump(self) -> None:
        """Begin batches while there are idle threads; else see to it that this is called again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._running < self._threads:
            now = time.monotonic()
            able = [one for one in self._queues if one.items and one.running < one.lanes]
            if not able:
                return
            ready = [one for one in able if one.ready(now, self._wait)]
            if not ready:
                since = min(one.items[0].since for one in able)
                delay = max(0.0, since + self._wait - now)
                self._timer = asyncio.get_running_loop().call_later(delay, self._pump)
                return
            queue = min(ready, key=lambda one: one.items[0].since)
            batch = queue.next_batch(self._threads - self._running)
            if batch:
                self._begin(queue, batch)

    def _begin(self, queue: Queue, batch: list[_Item]) -> None:
        self._running += 1
        queue.running += 1
        began = time.monotonic()
        sources = [item.source for item in batch]
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._pool, _run_or_apart, queue.run, sources)
        running.add_done_callback(lambda done: self._end(queue, batch, began, done))

    def _end(
        self, queue: Queue, batch: list[_Item], began: float, done: asyncio.Future[list[Any]]
    ) -> None:
        self._running -= 1
        queue.running -= 1
        seconds = time.monotonic() - began
        queue.seconds_each += _WEIGHT * (seconds / len(batch) - queue.seconds_each)
        if self._observer is not None:
            self._observer.batch(queue.kind, len(batch), began - batch[0].since, seconds)
        results = [asyncio.CancelledError()] * len(batch) if done.cancelled() else done.result()
        for item, result in zip(batch, results, strict=True):
            if item.result.done():
                continue
            if isinstance(result, asyncio.CancelledError):
                item.result.cancel()
            elif isinstance(result, Exception):
                item.result.set_exception(result)
            else:
                item.result.set_result(result)
        self._pump()


def _run_or_apart(run: Run, sources: Sequence[Any]) -> list[Any]:
    """Return the results of images, an exception for those that cannot be worked on.

    If they cannot be read together, each is read alone: one client's image is not to fail those of
    others.
    """
    try:
        results = list(run(sources))
        if len(results) == len(sources):
            return results
        raise RuntimeError(f"{len(results)} results of {len(sources)} images")
    except Exception as error:
        if len(sources) < 2:
            return [error]
    return [result for source in sources for result in _run_or_apart(run, [source])]
