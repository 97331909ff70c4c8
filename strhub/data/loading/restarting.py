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
from typing import Any, Final, cast

from torch.utils.data import DataLoader, Dataset, IterableDataset

from strhub.data.loading.loader import Batch, Batches, Resumable
from strhub.utils.workers import end_with_parent

__all__ = ["OrderedBatches", "RestartingLoader", "restore_default_signals"]

log = logging.getLogger(__name__)

ATTEMPTS: Final = 3  # deaths in a row without a batch between them: then it is no accident
PATIENCE: Final = 5  # seconds for the system to say that a process is dead, after its connection is


class RestartingLoader(DataLoader[Any]):
    """A `DataLoader` whose workers are started again, at the batch that is due, if one of them
    dies. It is a `TrainingLoader`, too.

    dataset, batch_sampler: one of them is `Resumable`: the sampler, or the data set if that is a
    stream. pool: how many batches an item of the sampler has. options: of `DataLoader`.
    """

    def __init__(self, dataset: Dataset[Any], *, pool: int = 1, **options: Any) -> None:
        super().__init__(dataset, **options)
        self.pool = pool
        # The sampler is torch's, and of no use here, but Lightning tells it the epoch.
        self.sampler.set_epoch = self.batches.set_epoch  # type: ignore[attr-defined]

    @property
    def batches(self) -> Resumable:
        """Return the sampler that says where iteration starts."""
        stream = isinstance(self.dataset, IterableDataset)
        return cast("Resumable", self.dataset if stream else self.batch_sampler)

    def state_dict(self) -> dict[str, Any]:
        """Tell Lightning that this loader can resume in the middle of an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: the loader is made at the batch that the run has reached."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        return self._items()

    def _items(self) -> Iterator[Any]:
        """Yield what workers make: batches, or pools of them."""
        epoch, start = self.batches.position
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
                )  # persistent workers may have been killed since the last epoch
                dead = _dead(iterator, error)
                deaths += 1
                if not dead or deaths > ATTEMPTS:
                    raise
                log.warning(
                    "a data worker was killed (%s), probably for lack of memory: starting "
                    "the workers again. "
                    "If it happens often, lower data.num_workers",
                    ", ".join(
                        f"process {worker.pid}, exit status {worker.exitcode}" for worker in dead
                    ),
                )
                self._abandon(iterator)
                self.batches.seek(epoch, (start // self.pool + done) * self.pool)
        if done and self.batches.position != (epoch, start) and self.batches.position[0] == epoch:
            self.batches.seek(epoch, start)

    def _started(self) -> Iterator[Any]:
        """Return torch's own iterator, without its handler of SIGCHLD, which raises wherever the
        program is: torch looks for dead workers every five seconds anyway, where an error can be
        handled.
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


class OrderedBatches(Batches):
    """Batches of the indexes 0 to size - 1 in order, dealt out to devices; it can start at any of
    them.

    All devices have equally many, and those of one number make the batch that one device of their
    common batch size would have. Where the words run out, batches are smaller, and a device's last
    one may be empty.
    """

    def __init__(self, size: int, *, batch_size: int, rank: int = 0, devices: int = 1) -> None:
        super().__init__(size, batch_size=batch_size, rank=rank, devices=devices)

    def __len__(self) -> int:
        return -(-self.size // (self.batch_size * self.devices))

    def __iter__(self) -> Iterator[list[int]]:
        together = self.batch_size * self.devices
        for first in range(self.start * together, self.size, together):
            yield list(range(first + self.rank, min(first + together, self.size), self.devices))


def restore_default_signals(worker: int) -> None:
    """Ignore signals in a worker that starts: they are for the run itself, which then ends its
    workers.

    Where it was killed, they end by themselves, at once.
    """
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def _dead(iterator: Any, error: Exception) -> list[Any]:
    """Return the workers that have ended, if that is what the error is about."""
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
