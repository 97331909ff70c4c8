"""Loaders whose workers are killed."""

import logging
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import Dataset, dataloader

from strhub.data.loading.loader import SeededBatches
from strhub.data.loading.restarting import OrderedBatches, RestartingLoader, restore_default_signals

Key = tuple[int, int]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch looks for dead workers every five seconds; here more often."""
    iterator = dataloader._MultiProcessingDataLoaderIter
    monkeypatch.setattr(iterator._try_get_data, "__defaults__", (0.3,))


class Killed(Dataset[int]):
    """Numbers; whoever asks for one of `fatal` is killed, so often as there are files to say so."""

    def __init__(self, size: int, fatal: dict[int, int], folder: Path) -> None:
        self.size, self.fatal, self.folder = size, fatal, folder
        for number, times in fatal.items():
            for time in range(times):
                (folder / f"{number}-{time}").touch()

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: int | Key) -> int:
        index = key if isinstance(key, int) else key[0]
        for time in range(self.fatal.get(index, 0)):
            if (self.folder / f"{index}-{time}").exists():
                (self.folder / f"{index}-{time}").unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        if index == self.size - 1 and self.fatal.get(-1):
            raise ValueError("a mistake of the data's own")
        return index


def loader(data: Killed, batches: SeededBatches | OrderedBatches) -> RestartingLoader:
    options = {
        "num_workers": 2,
        "persistent_workers": True,
        "worker_init_fn": restore_default_signals,
        "collate_fn": list,
    }
    return RestartingLoader(data, batch_sampler=batches, **options)


def test_all_batches_come_once_and_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shuffled = SeededBatches(40, batch_size=4, seed=1)
    expected = [[index for index, _ in batch] for batch in shuffled]
    data = Killed(40, {expected[0][0]: 1, expected[6][2]: 2}, tmp_path)
    words = loader(data, shuffled)
    with caplog.at_level(logging.WARNING):
        assert list(words) == expected
    assert caplog.text.count("a data worker was killed (process") == 3
    assert "exit status -9" in caplog.text
    assert (shuffled.epoch, shuffled.start) == (0, 0)
    shuffled.set_epoch(1)
    assert list(words) != expected


def test_in_order_and_from_the_middle(tmp_path: Path) -> None:
    batches = OrderedBatches(10, batch_size=4)
    assert len(batches) == 3
    words = loader(Killed(10, {5: 1}, tmp_path), batches)
    assert list(words) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    batches.seek(0, 2)
    assert list(words) == [[8, 9]]


@pytest.mark.parametrize("killed", [1, 2])
def test_workers_that_stay_and_are_killed_between_two_epochs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, killed: int
) -> None:
    words = loader(Killed(10, {}, tmp_path), OrderedBatches(10, batch_size=4))
    expected = list(words)
    iterator: Any = words._iterator
    for worker in iterator._workers[:killed]:
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
    with caplog.at_level(logging.WARNING):
        assert list(words) == expected == list(words)
    assert caplog.text.count("a data worker was killed") == 1


def test_devices_have_equally_many_batches() -> None:
    first, second, third = (
        list(OrderedBatches(13, batch_size=2, rank=rank, devices=3)) for rank in range(3)
    )
    assert (first, second, third) == (
        [[0, 3], [6, 9], [12]],
        [[1, 4], [7, 10], []],
        [[2, 5], [8, 11], []],
    )
    assert len(OrderedBatches(13, batch_size=2, devices=3)) == 3
    assert list(OrderedBatches(0, batch_size=2)) == []


def test_what_always_kills_ends_it_and_so_does_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader(Killed(8, {5: 9}, tmp_path), OrderedBatches(8, batch_size=2)))
    with pytest.raises(ValueError, match="a mistake of the data's own"):
        list(loader(Killed(8, {-1: 1}, tmp_path), OrderedBatches(8, batch_size=2)))


def test_sigchld_stays_the_callers(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGCHLD)
    assert len(list(loader(Killed(8, {}, tmp_path), OrderedBatches(8, batch_size=2)))) == 4
    assert signal.getsignal(signal.SIGCHLD) == before
