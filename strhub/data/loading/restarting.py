"""Loaders that go on when the system kills one of their worker processes, for want of memory as a
rule.

In: batches that are a function of their number alone. Out: the same batches, whatever becomes of
    the workers.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from typing import Any, Final

from torch.utils.data import DataLoader, Sampler

from strhub.utils.workers import end_with_parent

__all__ = ["OrderedBatches", "RestartingLoader", "let_go_of_signals"]

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3  # deaths in a row without a batch between them: then it is no accident
PATIENCE: Final = 5  # seconds for the system to say that a process is dead, after its connection is


class RestartingLoader(DataLoader[Any]):
    """A `DataLoader` whose workers are started again, at the batch that is due, if one of them
    dies.

    batch_sampler: has `epoch`, the batch `start` that it begins with, and `seek(epoch, start)`; or
    None, if a sub-class knows the place itself.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        epoch, start = self.position()
        done = deaths = 0
        while True:
            iterator: Any = None
            try:
                iterator = self._started()
                while True:
                    batch = next(iterator)
                    yield batch
                    done, deaths = done + 1, 0
            except StopIteration:
                break
            except (RuntimeError, OSError, EOFError) as error:
                iterator = (
                    iterator or self._iterator
                )  # workers that stay may have been killed since the last epoch
                dead = _dead(iterator, error)
                deaths += 1
                if not dead or deaths > ATTEMPTS:
                    raise
                log.warning(
                    "a data worker was killed (%s), for want of memory if nobody did it: starting "
                    "the workers again. "
                    "If it happens often, lower data.num_workers",
                    ", ".join(
                        f"process {worker.pid}, exit status {worker.exitcode}" for worker in dead
                    ),
                )
                self._abandon(iterator)
                self.seek(epoch, self.position_after(start, done))
        if done and self.position() != (epoch, start) and self.position()[0] == epoch:
            self.seek(epoch, start)

    def position(self) -> tuple[int, int]:
        """The epoch and the batch that iterating starts with."""
        batches: Any = self.batch_sampler
        return batches.epoch, batches.start

    def seek(self, epoch: int, batch: int) -> None:
        """Start with this batch from now on."""
        batches: Any = self.batch_sampler
        batches.seek(epoch, batch)

    def position_after(self, start: int, done: int) -> int:
        """Where to go on after `done` items of an iteration from `start`."""
        return start + done

    def _started(self) -> Iterator[Any]:
        """torch's own iterator. Its handler of SIGCHLD, which raises wherever the program is, is
        taken away again: torch looks for dead workers every five seconds anyway, and there an error
            can be dealt with.
        """
        in_main = threading.current_thread() is threading.main_thread() and hasattr(
            signal, "SIGCHLD"
        )
        before = signal.getsignal(signal.SIGCHLD) if in_main else None
        iterator = super().__iter__()
        if in_main and before is not None and signal.getsignal(signal.SIGCHLD) != before:
            signal.signal(signal.SIGCHLD, before)
        return iterator

    def _abandon(self, iterator: Any) -> None:
        """End the other workers."""
        iterator._shutdown_workers()
        self._iterator = None  # where torch keeps persistent workers


class OrderedBatches(Sampler[list[int]]):
    """Batches of the indexes 0 to size - 1 in order, dealt out to devices; it can start at any of
    them.

    All devices have equally many, and those of one number make the batch that one device of their
    common batch size would have. Where the words run out, batches are smaller, and a device's last
    one may be empty.
    """

    def __init__(self, size: int, *, batch_size: int, rank: int = 0, devices: int = 1) -> None:
        self.size, self.batch_size = size, batch_size
        self.rank, self.devices = rank, devices
        self.epoch, self.start = 0, 0

    def __len__(self) -> int:
        return -(-self.size // (self.batch_size * self.devices))

    def seek(self, epoch: int, batch: int) -> None:
        """Go to a batch; the epoch makes no difference here."""
        self.epoch, self.start = epoch, batch

    def __iter__(self) -> Iterator[list[int]]:
        together = self.batch_size * self.devices
        for first in range(self.start * together, self.size, together):
            yield list(range(first + self.rank, min(first + together, self.size), self.devices))


def let_go_of_signals(worker: int) -> None:
    """For a worker that begins: signals are for the run itself, which then ends its workers.

    Where it was killed, they end by themselves, at once.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _dead(iterator: Any, error: Exception) -> list[Any]:
    """The workers that have ended, if that is what the error is about."""
    if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker (pid"):
        return []
    workers = getattr(iterator, "_workers", [])
    if not isinstance(
        error, RuntimeError
    ):  # a connection broke: its other end may not be known to be dead yet
        for worker in workers:
            worker.join(PATIENCE / max(1, len(workers)))
            if not worker.is_alive():
                break
    return [worker for worker in workers if not worker.is_alive()]
