"""Words for training, validation and testing, from trees of files or rendered as they are needed.

root_dir/train/<train_dir>/**   training sets, any nesting
root_dir/val/**                 validation sets, all taken together
root_dir/test/<name>/           one folder a benchmark

A set is an LMDB folder, or a folder of images with labels.csv, labels.tsv, labels.jsonl or gt.txt.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from strhub.configs.former import present_data
from strhub.data.augment.device_augment import BatchAugmentation
from strhub.data.loading.held_out import split_sources
from strhub.data.reference import ReferenceNames
from strhub.data.render_options import RENDERED, RenderOptions
from strhub.data.sources.dataset import WordDataset
from strhub.data.sources.folder import find_annotated
from strhub.data.sources.labeled import LabeledWords
from strhub.data.sources.lmdb import find_lmdbs
from strhub.data.sources.mixture import Mixture
from strhub.data.sources.rendered import RenderedDataset
from strhub.data.sources.tree import open_sources
from strhub.data.training_words import WITHOUT_FILES, TrainingWords
from strhub.text import LabelPreparation, scored_charset
from strhub.utils.options import unknown_option_message, warn_renamed

log = logging.getLogger(__name__)


class SceneTextDataModule(ReferenceNames, TrainingWords):
    """The data of a run.

    root_dir, train_dir: see above. render: words rendered instead, or for validation, and how:
        `strhub.data.render_options.RenderOptions` or a mapping of its fields.
    shards: instead of training sets, tar files to stream, see `strhub.data.sources.shards`;
        shard_words: how many words they hold, where no sizes.json beside them says so.
    mixture: instead of one kind of words, several: shares by the name of a folder below
        root_dir/train, or `rendered`, or `lines`: words of the folders side by side; mixture_size:
        words an epoch. drop_tall: do without stored words of several characters over 1.5 times as
        high as wide, which stand on end.
    img_size: [height, width] in pixels; normalize: a preset of
        `strhub.data.transforms.NORMALIZATIONS`. keep_aspect: images are as wide as their aspect
        makes them, up to that width; batches are of like widths, and padded.
    charset_train, charset_test: training labels are brought to the first, scored ones to the
        second, which follows from the first if it is None: see `strhub.text.scored_charset`.
    max_label_length: longer labels are dropped. fold_ascii: spell labels in ASCII; None: if the
        charset is ASCII.
    batch_size: a device. num_workers: processes that prepare images. worker_start: how they start,
        None for the system's own way. augment: in training, true for RandAugment, 'strong' for
        scene-text effects, false. augment_on_device: distort whole batches where the model
        trains, with this strength in [0, 1], see `strhub.data.augment.device_augment`; 0: do not.
    echo: how often each prepared image is used, see `strhub.data.loading.echo`. rotation: degrees,
        of every image.
    min_image_dim: smaller images count as unreadable. limit_words: train on the first so many (0:
        all).
    val_fraction: validate on this fraction of each training set's words, which are then not trained
        on, instead of root_dir/val. seed: of shuffling, rendering and augmentation.
    former: options by names that they had before, which warn.
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
        augment_on_device: float = 0.0,
        echo: int = 1,
        normalize: str = "default",
        keep_aspect: bool = False,
        fold_ascii: bool | None = None,
        min_image_dim: int = 0,
        rotation: float = 0,
        worker_start: str | None = None,
        render: RenderOptions | Mapping[str, Any] | None = None,
        val_fraction: float = 0.0,
        mixture: Mapping[str, float] | None = None,
        mixture_size: int = 100000,
        drop_tall: bool = False,
        shards: str | Sequence[str] | None = None,
        shard_words: int | None = None,
        limit_words: int = 0,
        seed: int = 0,
        **former: Any,
    ) -> None:
        super().__init__()
        render = vars(render) if isinstance(render, RenderOptions) else render
        options = {"render": render, "mixture": mixture, "val_fraction": val_fraction, **former}
        present = present_data(options, warn_renamed)
        self.render, self.mixture = RenderOptions.of(present.pop("render")), present.pop("mixture")
        self.val_fraction = present.pop("val_fraction")
        if present:
            known = inspect.signature(SceneTextDataModule).parameters
            raise TypeError(unknown_option_message(min(present), known, type(self).__name__))
        self.root_dir, self.train_dir = Path(root_dir), train_dir
        self.img_size, self.normalize, self.rotation = img_size, normalize, rotation
        self.charset_train = charset_train
        self.charset_test = scored_charset(charset_train, charset_test)
        self.max_label_length, self.fold_ascii = max_label_length, fold_ascii
        self.min_image_dim, self.keep_aspect = min_image_dim, keep_aspect
        self.batch_size, self.num_workers, self.worker_start = batch_size, num_workers, worker_start
        self.augment, self.limit_words, self.seed = augment, limit_words, seed
        self.augment_batch = (
            BatchAugmentation(strength=augment_on_device) if augment_on_device else None
        )
        self.echo = echo
        self.mixture_size, self.drop_tall = mixture_size, drop_tall
        self.shards, self.shard_words = shards, shard_words
        self._check_combinations()
        self.features = None
        self._held_out: dict[str, tuple[list[LabeledWords], list[LabeledWords]]] = {}
        self._train: RenderedDataset | WordDataset | Mixture | None = None
        self._val: RenderedDataset | WordDataset | None = None

    def _check_combinations(self) -> None:
        """Raise `ValueError` for options that do not go together."""
        if self.echo < 1 or (self.echo > 1 and (self.keep_aspect or self.shards)):
            raise ValueError(
                f"data.echo is {self.echo}: it must be at least 1, and 1 for shards and for models "
                "that keep an image's aspect"
            )
        if self.augment_batch and self.keep_aspect:
            raise ValueError(
                "data.augment_on_device is for images of one size: this model keeps their aspect"
            )
        rendered = self.render.words and not self.mixture
        if not 0 <= self.val_fraction < 1 or (
            self.val_fraction and (rendered or self.shards or self.render.validation)
        ):
            raise ValueError(
                f"data.val_fraction is {self.val_fraction}: it must be at least 0 and less than 1, "
                "and 0 for rendered words and shards, of which none are held out; "
                "data.render.validation renders words to validate on"
            )
        if self.mixture and RENDERED in self.mixture:
            folder = self.root_dir / "train" / RENDERED
            if folder.is_dir():
                raise ValueError(
                    f"data.mixture has {RENDERED!r}, which are words rendered as they are needed, "
                    f"but there is also a folder {folder}: give that another name"
                )

    def _training_sources(self, name: str) -> tuple[list[LabeledWords], list[LabeledWords]]:
        """Return the sets of a folder below root_dir/train, without what is held out for
        validation, and that.
        """
        if name not in self._held_out:
            sources = self._sources(self.root_dir / "train" / name, self.charset_train, strict=True)
            training, held = (
                split_sources(sources, self.val_fraction) if self.val_fraction else (sources, [])
            )
            self._held_out[name] = [*training], [*held]
        return self._held_out[name]

    @property
    def val_dataset(self) -> RenderedDataset | WordDataset:
        """Return the words for validation; `ValueError` if there are none."""
        if self.render.validation:
            self._val = self._val or self._rendered(self.render.validation, validation=True)
        if self._val is None:
            transform = self.get_transform(
                self.img_size, False, self.rotation, self.normalize, self.keep_aspect
            )
            self._val = WordDataset(self._validation_sources(), transform=transform, replace=False)
        return self._val

    def _validation_sources(self) -> list[LabeledWords]:
        """Return the sets below root_dir/val, or what is held out of the training sets instead."""
        if self.val_fraction:
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
                "(data.val_fraction=0.05), render some (data.render.validation=500), or do without "
                "(trainer.limit_val_batches=0 callbacks.best=null)"
            ) from error

    def test_dataset(self, name: str, *, as_stored: bool = False) -> WordDataset:
        """Return the benchmark of that name; `ValueError` if it is not there.

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
        """Return those of `names` that have a set below `root_dir/test`, in the order given."""
        root = self.root_dir / "test"
        return [name for name in names if find_lmdbs(root / name) or find_annotated(root / name)]

    def _sources(
        self, folder: Path, charset: str | None, *, strict: bool
    ) -> Sequence[LabeledWords]:
        """Return the sets in a folder or below it, their labels brought to a charset; as they are
        stored if it is None.
        """
        prepare: Callable[[str], str] = str
        if charset is not None:
            prepare = LabelPreparation(
                charset,
                max_length=self.max_label_length if strict else None,
                fold_ascii=self.fold_ascii,
                strict=strict,
            )
        return open_sources(folder, prepare, min_image_dim=self.min_image_dim)
