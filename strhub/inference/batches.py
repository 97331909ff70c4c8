"""Inputs in batches that threads may open, and the threads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

from strhub.images.sources import Taken, take
from strhub.inference.rereading import Decoded as Decoded
from strhub.inference.rereading import ViewReading as ViewReading
from strhub.inference.rereading import surest_rotation as surest_rotation

_HELD_BYTES = 256 << 20  # bytes of images in memory at which a batch ends before it is full


def available_processors() -> int:
    """Return those that this process may use: in a container or a batch system, few of the
    machine's.
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def thread_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Provide threads; at the end, tasks that have not begun are canceled, and the others are not
    waited for.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="strhub")
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def in_batches(inputs: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(inputs)
    while batch := list(islice(remaining, size)):
        yield batch


def taken_batches(images: Iterable[Any], size: int, *, copy: bool) -> Iterator[list[Taken]]:
    """Yield batches of up to `size` images, fewer if they hold much memory, that any thread may
    open.
    """
    batch: list[Taken] = []
    for image in images:
        batch.append(take(image, copy=copy))
        if len(batch) == size or sum(taken.size for taken in batch) > _HELD_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch
