"""Loaders over the words of a run: shuffled, streamed or in order, from where the run stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from strhub.data.augment.device_augment import BatchAugmentation
from strhub.data.loading.aspect import POOL, AspectLoader, AspectTransform, collate_kept
from strhub.data.loading.echo import EchoLoader
from strhub.data.loading.features import FeatureLoader, FeatureStore
from strhub.data.loading.loader import Batch, SeededBatches, TrainingLoader, collate
from strhub.data.loading.restarting import OrderedBatches, RestartingLoader, restore_default_signals
from strhub.data.sources.dataset import WordDataset
from strhub.data.sources.mixture import Mixture
from strhub.data.sources.rendered import RenderedDataset
from strhub.data.sources.shards import ShardedWords
from strhub.data.transforms import WordTransform
from strhub.text import LabelPreparation


class Loaders(pl.LightningDataModule):
    """The half of a data module that makes loaders."""

    img_size: Sequence[int]
    normalize: str
    keep_aspect: bool
    rotation: float
    augment: bool | str
    augment_batch: BatchAugmentation | None
    charset_train: str
    max_label_length: int
    fold_ascii: bool | None
    min_image_dim: int
    batch_size: int
    num_workers: int
    worker_start: str | None
    echo: int
    limit_words: int
    shards: str | Sequence[str] | None
    shard_words: int | None
    seed: int
    features: FeatureStore | None
    """Features of the training images, dealt out in their place."""

    @property
    def train_dataset(self) -> RenderedDataset | WordDataset | Mixture:
        """Return the words for training; `ValueError` if there are none."""
        raise NotImplementedError

    @property
    def val_dataset(self) -> RenderedDataset | WordDataset:
        """Return the words for validation; `ValueError` if there are none."""
        raise NotImplementedError

    def test_dataset(self, name: str, *, as_stored: bool = False) -> WordDataset:
        """Return the benchmark of that name; `ValueError` if it is not there."""
        raise NotImplementedError

    @staticmethod
    def get_transform(
        img_size: Sequence[int],
        augment: bool | str = False,
        rotation: float = 0,
        normalize: str = "default",
        keep_aspect: bool = False,
    ) -> WordTransform:
        """Return the transform from an image to the tensor (3, H, W) that a model of this image
        size takes.
        """
        kind = AspectTransform if keep_aspect else WordTransform
        return kind(img_size, augment=augment, rotation=rotation, normalize=normalize)

    def batches_per_epoch(self) -> int:
        """Return the number of training batches on this device; `ValueError` for shards that do not
        say how many words they hold.
        """
        if not self.shards:
            return len(self.train_batches()) * self.echo
        batches = self._streamed(self.shards).batches
        if batches is None:
            raise ValueError("the shards do not say how many words they hold: set data.shard_words")
        return batches

    def train_batches(self) -> SeededBatches:
        """Return the batches of an epoch on this device, from the one that the run has reached."""
        trainer = self.trainer
        size = len(self.train_dataset)
        batches = SeededBatches(
            min(size, self.limit_words) if self.limit_words else size,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            devices=trainer.world_size if trainer else 1,
            pool=POOL if self.keep_aspect else 1,
        )
        if trainer and self.echo == 1:  # an `EchoLoader` finds its place itself
            batches.seek(*self._reached(len(batches)))
        return batches

    def _reached(self, batches: int) -> tuple[int, int]:
        """Return the epoch and the batch of it that the run has come to, where an epoch has so
        many.
        """
        loop: Any = self.trainer.fit_loop  # type: ignore[union-attr]
        epoch, done = (
            max(0, loop.epoch_progress.current.started - 1),
            loop.epoch_loop.batch_progress.current.processed,
        )
        return (epoch, done) if done < batches else (epoch + 1, 0)

    def _streamed(self, shards: str | Sequence[str]) -> ShardedWords:
        trainer = self.trainer
        words = ShardedWords(
            shards,
            transform=self.get_transform(
                self.img_size, self.augment, self.rotation, self.normalize, self.keep_aspect
            ),
            batch_size=self.batch_size,
            prepare_label=LabelPreparation(
                self.charset_train, max_length=self.max_label_length, fold_ascii=self.fold_ascii
            ),
            min_image_dim=self.min_image_dim,
            words=self.shard_words,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            devices=trainer.world_size if trainer else 1,
        )
        if trainer and words.batches is not None:
            words.seek(*self._reached(words.batches))
        return words

    def train_dataloader(self) -> TrainingLoader:
        """Return training batches, shuffled anew every epoch, from the batch that the run has
        reached.
        """
        options = self._worker_options()
        if self.shards:  # images of kept aspect ratio are unsorted, so more of a batch is padding
            words = self._streamed(self.shards)
            return RestartingLoader(words, batch_size=words.batch_size, **options)
        dataset = cast("Dataset[Any]", self.train_dataset)
        batches = self.train_batches()
        if self.features is not None:
            return FeatureLoader(self.features, batches)
        if self.keep_aspect:
            del options["collate_fn"]  # this loader has its own
            return AspectLoader(dataset, batch_sampler=batches, **options)
        fresh = RestartingLoader(dataset, batch_sampler=batches, **options)
        if self.echo == 1:
            return fresh
        epoch, start = self._reached(self.batches_per_epoch()) if self.trainer else (0, 0)
        batches.seek(epoch, 0)
        return EchoLoader(fresh, batches, echo=self.echo, start=start)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Distort a training batch where it now is, by chance that depends on the seed and the
        batch's number alone.
        """
        trainer = self.trainer
        if self.augment_batch is None or trainer is None or not trainer.training:
            return batch
        number = trainer.fit_loop.epoch_loop.batch_progress.total.completed
        entropy = np.random.SeedSequence([self.seed, number, trainer.global_rank, 1])
        generator = torch.Generator(batch.images.device).manual_seed(
            int(entropy.generate_state(1, np.uint32)[0])
        )
        return batch._replace(images=self.augment_batch(batch.images, generator))

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return validation batches in order; several devices share them, none twice."""
        return self._ordered_loader(self.val_dataset)

    def test_dataloader(self, name: str = "", *, as_stored: bool = False) -> DataLoader[Batch]:
        """Return the words of a benchmark, in order; without a name, of everything below
        `root_dir/test`.

        as_stored: see `test_dataset`.
        """
        return self._ordered_loader(self.test_dataset(name, as_stored=as_stored))

    def _ordered_loader(self, dataset: RenderedDataset | WordDataset) -> DataLoader[Batch]:
        trainer = self.trainer
        rank, devices = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        batches = OrderedBatches(
            len(dataset), batch_size=self.batch_size, rank=rank, devices=devices
        )
        return RestartingLoader(
            cast("Dataset[Any]", dataset), batch_sampler=batches, **self._worker_options()
        )

    def _worker_options(self) -> dict[str, Any]:
        together = collate_kept if self.keep_aspect else collate
        options: dict[str, Any] = {"num_workers": self.num_workers, "collate_fn": together}
        options["pin_memory"] = torch.cuda.is_available()  # copied to the device while it computes
        if self.num_workers:
            options |= {"persistent_workers": True, "multiprocessing_context": self.worker_start}
            options["worker_init_fn"] = restore_default_signals
        return options
