"""Training words streamed from tar shards in WebDataset's layout, for data larger than a disk.

In: shards, local or at http(s) addresses, a transform and how labels are prepared. Out: `Word`s,
for a `DataLoader`. The tars are read by `strhub.data.sources.tar` and not by a package: of the two
in question `webdataset` has not had a release since June 2025 and can't resume in the middle of an
epoch, and `litdata` has a format of its own and many dependencies.

The order is a function of seed, epoch, devices and worker processes; with the same ones, a run that
was stopped after any batch goes on exactly as it would have. It does so by reading on to its place
without decoding images.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from strhub.data.sources.dataset import Transform, Word
from strhub.data.sources.shard_names import find_shards, known_size
from strhub.data.sources.shuffle_buffer import Record, _shuffled
from strhub.data.sources.tar import SIZES, TruncatedShard, read_words
from strhub.images.open import UnreadableImage, open_bytes
from strhub.text.charset import DroppedLabel

__all__ = ["ShardedWords", "find_shards"]

log = logging.getLogger(__name__)

REASONS: Final = (
    *(
        "empty",
        "too long",
        "outside the charset",
        "no label",
        "undecodable label",
        "no image",
        "damaged",
    ),
    *("truncated shard", "other"),
)
MAX_WORKERS: Final = 256
ATTEMPTS: Final = 100  # as `WordDataset`
EMPTY_PASSES: Final = 10


class ShardedWords(IterableDataset[Word]):
    """Words of tar shards, shuffled anew every epoch and dealt out to devices and their worker
    processes.

    For training, give it to `RestartingLoader`; any `DataLoader` takes it, with
    `batch_size=words.batch_size`.

    Every device and worker reads an equal part of the shards, in whole ones as far as possible;
    where there are fewer shards than readers, several read the same and each takes its own words.
    With a known number of words an epoch is `len(self) // batch_size` full batches on every device:
    what doesn't fill one is left to other epochs, and a device that runs out, such as by labels
    that were dropped, begins another pass. Else an epoch is one pass.

    Args:
        shards: paths, globs or addresses, with braces as in `words-{000000..000099}.tar`; or
            several of these.
        transform: `(image, rng) -> anything`, called with the RGB image; its randomness must come
            from `rng`.
        batch_size: words of a batch of one device.
        prepare_label: as for `LmdbWords`; None takes labels as they are.
        min_image_dim: images with a smaller side, in pixels, count as unreadable.
        words: how many there are in an epoch; None: what the shards' `sizes.json` says, if it has
            all of them.
        shuffle, buffer: shards are put in another order each epoch, and words rendered from so many
            in memory.
        rank, devices: of the device that this is for.

    An unreadable image is replaced by another from the buffer and counted in the item, as by
    `WordDataset`. A shard that is cut short or can't be opened is logged and counted in `dropped`;
    what was read of it counts.

    Raises:
        ValueError: for shards that aren't there, or numbers out of range; when iterated, if a
            reader's part is empty.
    """

    def __init__(
        self,
        shards: str | Sequence[str],
        *,
        transform: Transform,
        batch_size: int,
        prepare_label: Callable[[str], str] | None = None,
        min_image_dim: int = 0,
        words: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        buffer: int = 2000,
        rank: int = 0,
        devices: int = 1,
    ) -> None:
        if batch_size < 1 or buffer < 1 or not 0 <= rank < devices:
            raise ValueError(
                f"ShardedWords: batch_size {batch_size} and buffer {buffer} must be at least 1, "
                f"rank {rank} at least 0"
                f" and under devices {devices}"
            )
        self.shards = find_shards(shards)
        self.transform, self.prepare_label, self.min_image_dim = (
            transform,
            prepare_label,
            min_image_dim,
        )
        self.batch_size, self.seed, self.shuffle, self.buffer = batch_size, seed, shuffle, buffer
        self.rank, self.devices = rank, devices
        size = known_size(self.shards) if words is None else words
        if size is not None and size < devices:
            raise ValueError(f"{size} training words cannot be distributed over {devices} devices")
        self.batches = None if size is None else max(1, size // (batch_size * devices))
        # In memory that worker processes share, since those of a loader may outlive an epoch: epoch
        # and first batch; and, a row for each process, how many words were left out.
        self._position = torch.zeros(2, dtype=torch.int64).share_memory_()
        self._counts = torch.zeros((MAX_WORKERS, len(REASONS)), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        """Return the number of words per epoch on this device, in full batches; `TypeError` if it
        is not known.
        """
        if self.batches is None:
            raise TypeError(
                f"the number of words is not known: give words=, or a {SIZES} beside the shards"
            )
        return self.batches * self.batch_size

    @property
    def dropped(self) -> Counter[str]:
        """Return how many words were left out so far, over all epochs and by this device's
        processes, by reason.
        """
        return +Counter(dict(zip(REASONS, self._counts.sum(0).tolist(), strict=True)))

    def seek(self, epoch: int, batch: int) -> None:
        """Go to a batch of an epoch; iterating starts there.

        Raises:
            ValueError: if that is no beginning of an epoch, and the number of words isn't known.
        """
        if batch and self.batches is None:
            raise ValueError(
                f"can't start at batch {batch} of an epoch of unknown size: give words=, or a "
                f"{SIZES}"
            )
        self._position[:] = torch.tensor([epoch, batch])

    @property
    def position(self) -> tuple[int, int]:
        """Return the epoch, and the batch of it, that iteration starts with."""
        epoch, batch = self._position.tolist()
        return epoch, batch

    def set_epoch(self, epoch: int) -> None:
        """Go to the first batch of an epoch; if it is this one already, stay at its batch."""
        if epoch != int(self._position[0]):
            self.seek(epoch, 0)

    def __iter__(self) -> Iterator[Word]:
        """Yield the words for this process, from the batch on that was sought."""
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        epoch, start = self._position.tolist()
        # A loader takes batches from its processes in turn, beginning with process 0 wherever the
        # epoch begins.
        lane = (worker + start) % workers
        done = len(range(lane, start, workers)) * self.batch_size
        end = (
            None
            if self.batches is None
            else done + len(range(start + worker, self.batches, workers)) * self.batch_size
        )
        stream = self._stream(
            epoch, self.rank * workers + lane, self.devices * workers, self._counts[worker]
        )
        for record, others in islice(stream, done, end):
            yield self._decoded(record, others)

    def _stream(
        self, epoch: int, reader: int, readers: int, counts: torch.Tensor
    ) -> Iterator[tuple[Record, list[Record]]]:
        """Yield the records of one reader, each with those that it may be replaced by; endless if
        the epoch has a size.
        """
        number, empty = 0, 0
        while number == 0 or self.batches is not None:
            if empty == EMPTY_PASSES:  # in another order the reader's part is another one
                raise ValueError(
                    f"reader {reader + 1} of {readers} found no word in its part of the "
                    f"{len(self.shards)} shards from"
                    f" {self.shards[0]} on. Check the shards and the charset, or use fewer worker "
                    "processes"
                )
            rng = np.random.default_rng([self.seed, epoch, number])
            seed = int(rng.integers(2**62))
            order = (
                rng.permutation(len(self.shards)) if self.shuffle else np.arange(len(self.shards))
            )
            records, empty = self._pass(order.tolist(), seed, reader, readers, counts), empty + 1
            buffer = self.buffer if self.shuffle else 1
            for item in _shuffled(records, buffer, np.random.default_rng([seed, reader])):
                empty = 0
                yield item
            number += 1

    def _pass(
        self, order: list[int], seed: int, reader: int, readers: int, counts: torch.Tensor
    ) -> Iterator[Record]:
        """Yield one reader's part of all shards, read once.

        Shards in this order, cut into `readers` parts each, make `readers` stretches of equally
        many parts. A word's number in its shard says which part it is in.
        """
        size = len(order)
        for position in range(reader * size // readers, ((reader + 1) * size - 1) // readers + 1):
            number = 0
            try:
                for number, word in enumerate(read_words(self.shards[order[position]])):
                    if (position * readers + number % readers) // size != reader:
                        continue
                    try:
                        if word.problem:
                            raise DroppedLabel(word.problem, word.label)
                        label = (
                            word.label
                            if self.prepare_label is None
                            else self.prepare_label(word.label)
                        )
                    except DroppedLabel as error:
                        counts[
                            REASONS.index(error.reason if error.reason in REASONS else "other")
                        ] += 1
                    else:
                        yield Record(word.encoded, label, (seed, order[position], number))
            except TruncatedShard as error:
                if (
                    position * readers + number % readers
                ) // size == reader:  # one of its readers is enough to tell
                    log.warning("shard left early: %s", error)
                    counts[REASONS.index("truncated shard")] += 1

    def _decoded(self, record: Record, others: list[Record]) -> Word:
        rng = np.random.default_rng(record.key)
        for unreadable in range(ATTEMPTS):
            try:
                image = open_bytes(record.encoded)
                if min(image.size) < self.min_image_dim:
                    raise UnreadableImage(f"a side is under {self.min_image_dim} pixels")
            except UnreadableImage:
                if not others:
                    return Word(None, record.label, unreadable + 1)
                record = others[int(rng.integers(len(others)))]
            else:
                return Word(self.transform(image, rng), record.label, unreadable)
        raise ValueError(
            f"the shards seem damaged: {ATTEMPTS} images in a row were unreadable. Check or make "
            "them again"
        )
