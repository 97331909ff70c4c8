"""Words for training, validation and testing, from trees of files or drawn as they are needed.

root_dir/train/<train_dir>/**   training sets, any nesting
root_dir/val/**                 validation sets, all taken together
root_dir/test/<name>/           one folder a benchmark

A set is an LMDB folder, or a folder of images with labels.csv, labels.tsv, labels.jsonl or gt.txt.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytorch_lightning as pl
import torch
from PIL.Image import Image
from torch.utils.data import DataLoader, Dataset

from strhub.data.augment.device_augment import BatchAugmentation
from strhub.data.loading.aspect import AspectBatches, AspectLoader, AspectTransform, collate_kept
from strhub.data.loading.echo import EchoLoader
from strhub.data.loading.held_out import split_sources
from strhub.data.loading.loader import Batch, SeededBatches, TrainLoader, collate
from strhub.data.loading.restarting import OrderedBatches, RestartingLoader, let_go_of_signals
from strhub.data.reference import ReferenceNames
from strhub.data.sources.annotations import ANNOTATION_NAMES, OTHER_NAMES
from strhub.data.sources.composed import ComposedLines, stands_on_end
from strhub.data.sources.dataset import WordDataset
from strhub.data.sources.folder import FolderWords, find_annotated
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.data.sources.mixture import Mixture, SeededDataset
from strhub.data.sources.rendered import RenderedDataset
from strhub.data.sources.shards import ShardedWords, ShardLoader
from strhub.data.transforms import WordTransform
from strhub.text import LabelPreparation, scored_charset

log = logging.getLogger(__name__)

SAMPLED_TEXTS = 20_000  # that stand for the words of a set without end
DRAWN = "drawn"  # the name in a mixture that stands for rendered words
LINES = "lines"  # and for lines composed of the words of its other sets
WITHOUT_FILES = (DRAWN, LINES)


class SceneTextDataModule(ReferenceNames, pl.LightningDataModule):
    """The data of a run.

    root_dir, train_dir: see above. drawn: instead of training sets, draw so many words an epoch (0:
        do not). draw_difficulty in [0, 1], or [lowest, highest], says how hard rendered words are
        to read, draw_max_length how long they may be, draw_blanks which fraction of them has
        nothing to read and an empty label, drawing what they
        look like: a name in `configs/drawing`, a path or a mapping. draw_texts: which texts,
        options of `strhub.data.synth.TextSampler`. draw_validation: validate on so many rendered
        words instead of root_dir/val.
    shards: instead of training sets, tar files to stream, see `strhub.data.sources.shards`;
        shard_words: how many words they hold, where no sizes.json beside them says so.
    mixture: instead of one kind of words, several: shares by the name of a folder below
        root_dir/train, or `drawn`, or `lines`: words of the folders side by side; mixture_size:
        words an epoch. drop_tall: do without stored words of several characters over 1.5 times as
        high as wide, which stand on end.
    img_size: [height, width] in pixels; normalize: a preset of
        `strhub.data.transforms.NORMALIZATIONS`. keep_aspect: images are as wide as their aspect
        makes them, up to that width; batches are of like widths, and padded.
    charset_train, charset_test: training labels are brought to the first, scored ones to the
        second, which follows from
        the first if it is None: see `strhub.text.scored_charset`.
    max_label_length: longer labels are dropped. fold_ascii: spell labels in ASCII; None: if the
        charset is ASCII.
    batch_size: a device. num_workers: processes that prepare images. worker_start: how they start,
        None for the system's own way. augment: in training, true for RandAugment, 'strong' for
        scene-text effects, false;
        augment_drawn: rendered words too. augment_on_device: distort whole batches where the model
        trains, with this strength in [0, 1], see `strhub.data.augment.device_augment`; 0: do not.
        echo: how often each prepared image is used, see `strhub.data.loading.echo`. rotation:
            degrees, of every image.
    min_image_dim: smaller images count as unreadable. limit_words: train on the first so many (0:
        all).
    val_share: validate on this fraction of each training set's words, which are then not trained
        on, instead of root_dir/val. seed: of shuffling, drawing and augmentation.
    """

    def __init__(
        self,
        root_dir: str | Path,
        train_dir: str,
        img_size: Sequence[int],
        max_label_length: int,
        charset_train: str,
        charset_test: str | None = None,
        batch_size: int = 32,
        num_workers: int = 0,
        augment: bool | str = True,
        *,
        augment_drawn: bool = True,
        augment_on_device: float = 0.0,
        echo: int = 1,
        normalize: str = "default",
        keep_aspect: bool = False,
        fold_ascii: bool | None = None,
        min_image_dim: int = 0,
        rotation: float = 0,
        worker_start: str | None = None,
        drawn: int = 0,
        draw_difficulty: float | Sequence[float] = 0.5,
        draw_max_length: int | None = None,
        draw_blanks: float = 0.0,
        draw_texts: Mapping[str, Any] | None = None,
        draw_validation: int = 0,
        val_share: float = 0.0,
        drawing: str | Mapping[str, Any] = "default",
        mixture: Mapping[str, float] | None = None,
        mixture_size: int = 100000,
        drop_tall: bool = False,
        shards: str | Sequence[str] | None = None,
        shard_words: int | None = None,
        limit_words: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.root_dir, self.train_dir = Path(root_dir), train_dir
        self.img_size, self.normalize, self.rotation = img_size, normalize, rotation
        self.charset_train, self.charset_test = (
            charset_train,
            scored_charset(charset_train, charset_test),
        )
        self.max_label_length, self.fold_ascii, self.min_image_dim = (
            max_label_length,
            fold_ascii,
            min_image_dim,
        )
        self.batch_size, self.num_workers, self.worker_start = batch_size, num_workers, worker_start
        self.augment, self.limit_words, self.seed = augment, limit_words, seed
        self.augment_drawn, self.keep_aspect = augment_drawn, keep_aspect
        self.augment_batch = (
            BatchAugmentation(strength=augment_on_device) if augment_on_device else None
        )
        self.echo = echo
        if echo < 1 or (echo > 1 and (keep_aspect or shards)):
            raise ValueError(
                f"data.echo is {echo}: it must be at least 1, and 1 for shards and for models that "
                "keep an image's "
                "aspect"
            )
        if self.augment_batch and keep_aspect:
            raise ValueError(
                "data.augment_on_device is for images of one size: this model keeps their aspect"
            )
        self.drawn, self.draw_difficulty, self.draw_max_length = (
            drawn,
            draw_difficulty,
            draw_max_length,
        )
        self.draw_blanks, self.drawing = draw_blanks, drawing
        self.draw_texts, self.draw_validation = draw_texts, draw_validation
        self.val_share = val_share
        if not 0 <= val_share < 1 or (
            val_share and ((drawn and not mixture) or shards or draw_validation)
        ):
            raise ValueError(
                f"data.val_share is {val_share}: it must be from 0 to less than 1, and 0 for "
                "rendered words and "
                "shards, of which none are held out; data.draw_validation renders words to "
                "validate on"
            )
        self._held_out: dict[str, tuple[list[Any], list[Any]]] = {}
        self.mixture, self.mixture_size, self.drop_tall = mixture, mixture_size, drop_tall
        self.shards, self.shard_words = shards, shard_words
        self._train: RenderedDataset | WordDataset | Mixture | None = None
        self._val: RenderedDataset | WordDataset | None = None

    @staticmethod
    def get_transform(
        img_size: Sequence[int],
        augment: bool | str = False,
        rotation: float = 0,
        normalize: str = "default",
        keep_aspect: bool = False,
    ) -> WordTransform:
        """Image to the tensor (3, H, W) that a model of this image size takes."""
        kind = AspectTransform if keep_aspect else WordTransform
        return kind(img_size, augment=augment, rotation=rotation, normalize=normalize)

    @property
    def train_dataset(self) -> RenderedDataset | WordDataset | Mixture:
        """Words for training; `ValueError` if there are none."""
        if self._train is None:
            if self.mixture:
                self._train = self._mixed(
                    {name: fraction for name, fraction in self.mixture.items() if fraction}
                )
            else:
                self._train = self._drawn(self.drawn) if self.drawn else self._read(self.train_dir)
        return self._train

    def _mixed(self, fractions: Mapping[str, float]) -> Mixture:
        sets: dict[str, SeededDataset] = {
            name: self._read(name) for name in fractions if name not in WITHOUT_FILES
        }
        if LINES in fractions:
            if not sets:
                raise ValueError(
                    f"data.mixture has {LINES!r}, which are composed of the words of its other "
                    "sets, "
                    "but no folder of words beside it"
                )
            sets[LINES] = self._composed({name: fractions[name] for name in sets})
        if DRAWN in fractions:
            sets[DRAWN] = self._drawn(self.mixture_size)
        return Mixture({name: sets[name] for name in fractions}, fractions, size=self.mixture_size)

    def _composed(self, fractions: Mapping[str, float]) -> ComposedLines:
        as_stored = {
            name: WordDataset(self._training_sources(name)[0], transform=_as_it_is)
            for name in fractions
        }
        return ComposedLines(
            Mixture(as_stored, fractions, size=self.mixture_size),
            size=self.mixture_size,
            max_length=self.max_label_length,
            transform=self.get_transform(
                self.img_size, self.augment, self.rotation, self.normalize, self.keep_aspect
            ),
        )

    def _drawn(self, size: int, *, validation: bool = False) -> RenderedDataset:
        augment = self.augment if self.augment_drawn and not validation else False
        return RenderedDataset(
            charset=self.charset_train,
            max_length=min(self.draw_max_length or self.max_label_length, self.max_label_length),
            size=size,
            difficulty=self.draw_difficulty,
            style=self.drawing,
            blanks=self.draw_blanks,
            texts=self.draw_texts,
            transform=self.get_transform(
                self.img_size, augment, self.rotation, self.normalize, self.keep_aspect
            ),
        )

    def _read(self, name: str) -> WordDataset:
        transform = self.get_transform(
            self.img_size, self.augment, self.rotation, self.normalize, self.keep_aspect
        )
        refuse = stands_on_end if self.drop_tall else None
        return WordDataset(self._training_sources(name)[0], transform=transform, refuse=refuse)

    def _training_sources(self, name: str) -> tuple[list[Any], list[Any]]:
        """The sets of a folder below root_dir/train, without what is held out for validation, and
        that.
        """
        if name not in self._held_out:
            sources = self._sources(self.root_dir / "train" / name, self.charset_train, strict=True)
            self._held_out[name] = (
                split_sources(sources, self.val_share) if self.val_share else ([*sources], [])
            )
        return self._held_out[name]

    def training_words(self) -> Counter[str]:
        """The labels of the training sets and how often each occurs; of rendered words, the first
        20,000 texts.

        `ValueError` for shards, whose labels are not known before they are read.
        """
        if self.shards:
            raise ValueError(
                "shards do not tell their words before they are read: give a list of words instead"
            )
        dataset = self.train_dataset
        words = Counter[str]()
        for part in dataset.sets if isinstance(dataset, Mixture) else [dataset]:
            if isinstance(part, RenderedDataset):
                words.update(
                    part.words.sampler(np.random.default_rng([self.seed, n]))
                    for n in range(SAMPLED_TEXTS)
                )
            elif isinstance(part, WordDataset):
                words.update(
                    label for source in part.sources for label in getattr(source, "labels", ())
                )
        return words

    @property
    def val_dataset(self) -> RenderedDataset | WordDataset:
        """Words for validation; `ValueError` if there are none."""
        if self.draw_validation:
            self._val = self._val or self._drawn(self.draw_validation, validation=True)
        if self._val is None:
            transform = self.get_transform(
                self.img_size, False, self.rotation, self.normalize, self.keep_aspect
            )
            self._val = WordDataset(self._validation_sources(), transform=transform, replace=False)
        return self._val

    def _validation_sources(self) -> list[Any]:
        """The sets below root_dir/val, or what is held out of the training sets instead."""
        if self.val_share:
            names = [
                name
                for name, fraction in (self.mixture or {self.train_dir: 1}).items()
                if fraction and name not in WITHOUT_FILES
            ]
            return [part for name in names for part in self._training_sources(name)[1]]
        folder = self.root_dir / "val"
        there = bool(find_lmdbs(folder) or find_annotated(folder))
        try:
            return [*self._sources(folder, self.charset_train, strict=True)]
        except ValueError as error:
            if there:
                raise
            raise type(error)(
                f"no words to validate on: {error}. Or hold some of the training words out "
                "(data.val_share=0.05), "
                "draw some (data.draw_validation=500), or do without (trainer.limit_val_batches=0 "
                "callbacks.best=null)"
            ) from error

    def test_dataset(self, name: str, *, as_stored: bool = False) -> WordDataset:
        """The benchmark of that name; `ValueError` if it is not there.

        as_stored: labels as the set spells them, for scoring in several charsets, not as
            `charset_test` has them.
        """
        transform = self.get_transform(
            self.img_size, False, self.rotation, self.normalize, self.keep_aspect
        )
        folder = self.root_dir / "test" / name
        sources = self._sources(folder, None if as_stored else self.charset_test, strict=False)
        return WordDataset(sources, transform=transform, replace=False)

    def present_test_sets(self, names: Iterable[str]) -> list[str]:
        """Those of `names` that have a set below `root_dir/test`, in the order given."""
        root = self.root_dir / "test"
        return [name for name in names if find_lmdbs(root / name) or find_annotated(root / name)]

    def _sources(
        self, folder: Path, charset: str | None, *, strict: bool
    ) -> list[LmdbWords | FolderWords]:
        """The sets in a folder or below it, their labels brought to a charset; as they are stored
        if it is None.
        """
        prepare: Callable[[str], str] = str
        if charset is not None:
            prepare = LabelPreparation(
                charset,
                max_length=self.max_label_length if strict else None,
                fold_ascii=self.fold_ascii,
                strict=strict,
            )
        databases, annotated = find_lmdbs(folder), find_annotated(folder)
        if not databases and not annotated:
            state = "neither is in it or below it" if folder.is_dir() else "it does not exist"
            raise ValueError(
                f"no words found: looked for LMDB folders (data.mdb) in {folder} and for images "
                "with one of "
                f"{', '.join((*ANNOTATION_NAMES, *OTHER_NAMES))}, but {state}. "
                "Set data.root_dir (--data_root) and, for training, data.train_dir; Datasets.md "
                "shows the layout"
            )
        options: dict[str, Any] = {"prepare_label": prepare, "min_image_dim": self.min_image_dim}
        sources: list[LmdbWords | FolderWords] = [
            *(LmdbWords(path, **options) for path in databases),
            *(FolderWords(path, **options) for path in annotated),
        ]
        kept, dropped = (
            sum(map(len, sources)),
            sum((source.dropped for source in sources), Counter[str]()),
        )
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        log.info(
            "%s: %d words in %d sets%s",
            folder,
            kept,
            len(sources),
            f"; dropped: {reasons}" if reasons else "",
        )
        if not kept:
            raise ValueError(
                f"{folder} has no word left to use: {reasons or 'its sets are empty'}. "
                "Check charset and model.max_label_length against its labels"
            )
        return sources

    def batches_per_epoch(self) -> int:
        """Training batches on this device; `ValueError` for shards that do not say how many words
        they hold.
        """
        if not self.shards:
            return len(self.train_batches()) * self.echo
        batches = self._streamed(self.shards).batches
        if batches is None:
            raise ValueError("the shards do not say how many words they hold: set data.shard_words")
        return batches

    def train_batches(self) -> SeededBatches:
        """The batches of an epoch on this device, from the one that the run has reached."""
        trainer = self.trainer
        size = len(self.train_dataset)
        kind = AspectBatches if self.keep_aspect else SeededBatches
        batches = kind(
            min(size, self.limit_words) if self.limit_words else size,
            batch_size=self.batch_size,
            seed=self.seed,
            rank=trainer.global_rank if trainer else 0,
            devices=trainer.world_size if trainer else 1,
        )
        if trainer and self.echo == 1:  # an `EchoLoader` finds its place itself
            batches.seek(*self._reached(len(batches)))
        return batches

    def _reached(self, batches: int) -> tuple[int, int]:
        """The epoch and the batch of it that the run has come to, where an epoch has so many."""
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

    def train_dataloader(self) -> DataLoader[Batch] | EchoLoader:
        """Shuffled anew every epoch, from the batch that the run has reached."""
        options = self._worker_options()
        if self.shards:
            del options["collate_fn"]  # this loader has its own
            loader = ShardLoader(self._streamed(self.shards), **options)
            if self.keep_aspect:
                loader.collate_fn = collate_kept  # as they come, so more of a batch is padding
            return loader
        dataset = cast("Dataset[Any]", self.train_dataset)
        batches = self.train_batches()
        if isinstance(batches, AspectBatches):
            del options["collate_fn"]
            return AspectLoader(dataset, batch_sampler=batches, **options)
        fresh = TrainLoader(dataset, batch_sampler=batches, **options)
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
        """In order; several devices share them, none twice."""
        return self._ordered_loader(self.val_dataset)

    def test_dataloader(self, name: str = "", *, as_stored: bool = False) -> DataLoader[Batch]:
        """The words of a benchmark, in order; without a name, of everything below `root_dir/test`.

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
            options["worker_init_fn"] = let_go_of_signals
        return options


def _as_it_is(image: Image, rng: np.random.Generator) -> Image:
    """Return an image that something is yet to be made of."""
    return image
