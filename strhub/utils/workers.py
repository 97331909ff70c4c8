"""Work done by processes, its results in order: for command lines that go through many images.

In: a function and its arguments. Out: the results, in the order of the arguments, with a bounded
number in memory. Plain pipes and not a pool of the standard library, whose processes live on when
the one that started them is killed, and which can't be ended in the middle of a task.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final, TypeVar, cast

Job = TypeVar("Job")
Result = TypeVar("Result")

# jobs sent at a time: enough to make sending cheap, few enough for Ctrl-C
CHUNK: Final = 16
WINDOW: Final = 4  # chunks a worker that are worked on or wait for one before them


class Failure(RuntimeError):
    """A worker process ended before its work did."""


def run_in_order(
    work: Callable[[Job], Result], jobs: Iterable[Job], *, workers: int
) -> Generator[Result, None, None]:
    """Yield the result of every job, in order.

    With one worker, the work is done here; with more, by spawned processes, for which `work`, jobs
    and results must be picklable. They end with the iterator, however that ends, and with this
    process.

    Raises:
        ValueError: with the message of one that `work` raised.
        RuntimeError: with the traceback of any other error that it raised.
        Failure: if a process died, such as for want of memory.
    """
    if workers == 1:
        yield from map(work, jobs)
        return
    with _started(work, workers) as processes:
        for results in _chunks_in_order(processes, iter(jobs)):
            yield from results


@contextmanager
def _started(work: Callable[[Any], Any], workers: int) -> Iterator[dict[Any, BaseProcess]]:
    context = multiprocessing.get_context("spawn")  # forking is not safe where there are threads
    processes: dict[Any, BaseProcess] = {}
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            # The work is unpickled there only once it watches this process: that may import for
            # seconds.
            args = (theirs, bytes(ForkingPickler.dumps(work)))
            processes[ours] = context.Process(target=_serve, args=args, daemon=True)
            processes[ours].start()
            theirs.close()  # otherwise its end would not be noticed
        yield processes
    finally:
        for connection, process in processes.items():
            connection.close()
            if process.pid is not None:  # otherwise it could not be started
                process.terminate()
                process.join()


def _chunks_in_order(processes: dict[Any, BaseProcess], jobs: Iterator[Any]) -> Iterator[list[Any]]:
    idle, busy, done = list(processes), dict[Connection, int](), dict[int, Any]()
    sent = yielded = 0
    while True:
        while (
            idle
            and sent - yielded < WINDOW * len(processes)
            and (chunk := list(islice(jobs, CHUNK)))
        ):
            connection = idle.pop()
            _or_failure(processes[connection], connection.send, chunk)
            busy[connection], sent = sent, sent + 1
        if not busy:
            return
        for connection in cast("list[Connection]", wait(list(busy))):
            done[busy.pop(connection)] = _or_failure(processes[connection], connection.recv)
            idle.append(connection)
        while yielded in done:
            results = done.pop(yielded)
            if isinstance(results, Exception):
                raise results
            yield results
            yielded += 1


def _or_failure(process: BaseProcess, exchange: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return exchange(*arguments)
    except (EOFError, OSError) as error:
        process.join(5)
        raise Failure(
            f"a worker process ended (exit status {process.exitcode}); "
            "if the system killed it for lack of memory, use fewer workers"
        ) from error


def _serve(connection: Connection, pickled: bytes) -> None:
    """Run a worker: jobs in, results out, until the other end is closed."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches all workers: the process that started them ends them
    end_with_parent()
    work = pickle.loads(pickled)
    while True:
        try:
            chunk = connection.recv()
            connection.send(_results(work, chunk))
        except (EOFError, OSError):
            return


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, however that ended and
    whatever is done here.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()


def _results(work: Callable[[Any], Any], chunk: list[Any]) -> list[Any] | Exception:
    try:
        return [work(job) for job in chunk]
    except ValueError as error:  # as text, because not every error can be pickled
        return ValueError(str(error))
    except Exception:
        return RuntimeError(f"a worker process failed:\n{traceback.format_exc()}")
