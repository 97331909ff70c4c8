"""What a run is trained on: sets of a tree, rendered words, composed lines, or a mixture."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from strhub.data.loaders import Loaders
from strhub.data.loading.features import Compute, StoreContents, open_store
from strhub.data.render_options import RENDERED, RenderOptions
from strhub.data.sources.composed import ComposedLines, is_vertical
from strhub.data.sources.dataset import WordDataset
from strhub.data.sources.labeled import LabeledWords
from strhub.data.sources.mixture import Mixture, SeededDataset
from strhub.data.sources.rendered import RenderedDataset
from strhub.errors import ConfigError

SAMPLED_TEXTS = 20_000  # that stand for the words of a set without end

LINES = "lines"  # the name in a mixture that stands for lines composed of its other sets' words

_OF_IMAGES = (
    "train_dir", "mixture", "mixture_size", "render", "img_size", "normalize", "keep_aspect",
    "rotation", "augment", "charset_train", "max_label_length", "fold_ascii", "min_image_dim",
    "drop_tall", "val_fraction", "limit_words",
)  # fmt: skip

WITHOUT_FILES = (RENDERED, LINES)


class TrainingWords(Loaders):
    """The half of a data module that makes the training set."""

    render: RenderOptions
    mixture: Mapping[str, float] | None
    mixture_size: int
    drop_tall: bool
    root_dir: Path
    train_dir: str
    _train: RenderedDataset | WordDataset | Mixture | None

    def _training_sources(self, name: str) -> tuple[list[LabeledWords], list[LabeledWords]]:
        raise NotImplementedError

    @property
    def train_dataset(self) -> RenderedDataset | WordDataset | Mixture:
        """Return the words for training; `ValueError` if there are none."""
        if self._train is None:
            if self.mixture:
                self._train = self._mixed(
                    {name: fraction for name, fraction in self.mixture.items() if fraction}
                )
            else:
                rendered = self.render.words
                self._train = self._rendered(rendered) if rendered else self._read(self.train_dir)
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
        if RENDERED in fractions:
            sets[RENDERED] = self._rendered(self.mixture_size)
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

    def _rendered(self, size: int, *, validation: bool = False) -> RenderedDataset:
        augment = self.augment if self.render.augment and not validation else False
        return RenderedDataset(
            self.render,
            charset=self.charset_train,
            max_label_length=self.max_label_length,
            size=size,
            transform=self.get_transform(
                self.img_size, augment, self.rotation, self.normalize, self.keep_aspect
            ),
        )

    def _read(self, name: str) -> WordDataset:
        transform = self.get_transform(
            self.img_size, self.augment, self.rotation, self.normalize, self.keep_aspect
        )
        refuse = is_vertical if self.drop_tall else None
        return WordDataset(self._training_sources(name)[0], transform=transform, refuse=refuse)

    def use_features(
        self,
        folder: Path,
        compute: Compute,
        *,
        views: int = 1,
        made_of: Mapping[str, Any] | None = None,
    ) -> None:
        """Deal out features in place of training images: those in a folder, or new ones.

        compute: see `Compute`; views: how often each image is prepared. made_of: what else they
        depend on, by name; `ConfigError` for features that were made of something else.
        """
        if self.shards or self.echo > 1 or self.augment_batch is not None:
            raise ConfigError(
                "finetune.cache_features: images are prepared once and asked for by number, so "
                "there can be no data.shards, data.echo must be 1 and data.augment_on_device 0; "
                "finetune.cache_views prepares each image several times"
            )
        made_of = {**(made_of or {}), "the training images": self.fingerprint()}
        made_of |= {"finetune.cache_views": views}
        self.features = open_store(
            folder, StoreContents(self.train_dataset, views, compute, made_of)
        )

    def fingerprint(self) -> str:
        """Return what the training images depend on, as a hash: the files of the sets, by size and
        time, and the options by which images are chosen and prepared.
        """
        names = [*self.mixture] if self.mixture else [self.train_dir]
        files = []
        for name in [] if self.render.words and not self.mixture else names:
            folder = self.root_dir / "train" / name
            for parent, folders, found in os.walk(folder, followlinks=True):
                folders.sort()
                paths = [Path(parent, one) for one in sorted(found) if not one.startswith("lock.")]
                files += [
                    (str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns)
                    for path in paths
                ]
        options = {name: str(getattr(self, name)) for name in _OF_IMAGES}
        content = json.dumps([files, options, len(self.train_dataset)])
        return hashlib.sha256(content.encode("utf-8")).hexdigest()

    def training_words(self) -> Counter[str]:
        """Return the labels of the training sets and how often each occurs; of rendered words, the
        first 20,000 texts.

        `ValueError` for shards, whose labels are not known before they are read.
        """
        if self.shards:
            raise ValueError(
                "shards do not list their words before they are read: give a list of words instead"
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
                for source in part.sources:
                    if isinstance(source, LabeledWords):
                        words.update(source.labels)
        return words


def _as_it_is(image: Image, rng: np.random.Generator) -> Image:
    """Return an image that something is yet to be made of."""
    return image
