"""Features of training images, computed once and kept on the disk: a frozen encoder's, as a rule.

A store is a folder: `features.bin`, 16-bit numbers that are mapped into memory, a row a token;
`words.json`, the label of each word and how many rows it has; `store.json`, what it was made of. It
is there as a whole or not at all, and of two processes that want to make it one waits.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from strhub.data.loading.loader import Batch, SeededBatches
from strhub.data.sources.mixture import SeededDataset
from strhub.errors import ConfigError
from strhub.utils.files import replacing_folder
from strhub.utils.json_text import load_json
from strhub.utils.locks import locked
from strhub.utils.progress import progress
from strhub.utils.regular_files import check_regular, read_regular_text

__all__ = ["FeatureLoader", "FeatureStore", "open_store"]

log = logging.getLogger(__name__)

AT_ONCE: Final = 64  # images that features are computed of at a time
WAIT: Final = 0.5  # seconds between two looks at what another process is making
FEATURES, WORDS, ABOUT = "features.bin", "words.json", "store.json"
FORMAT: Final = 1

Compute = Callable[[Sequence[Tensor]], list[Tensor]]
"""From images (3, H, W), normalized, to features (N, D) of each, as if it were alone."""


class FeatureStore:
    """The features of `size` words, each in `views` views.

    labels: of the words, view by view. filler: what stands for padding, (D).
    """

    def __init__(self, folder: Path) -> None:
        about, words = (
            load_json(read_regular_text(folder / name, max_bytes=1 << 30))
            for name in (ABOUT, WORDS)
        )
        self.made_of: dict[str, Any] = dict(about["made_of"])
        self.size, self.views, self.dim = (int(about[name]) for name in ("size", "views", "dim"))
        self.labels: list[str] = [str(label) for label in words["labels"]]
        rows = [int(count) for count in words["rows"]]
        self.ends = np.cumsum([0, *rows])
        self.filler = torch.tensor([float(number) for number in about["filler"]])
        path = folder / FEATURES
        check_regular(path)
        expected = int(self.ends[-1]) * self.dim * 2
        whole = len(self.labels) == len(rows) == self.size * self.views and min(rows, default=0) > 0
        if path.stat().st_size != expected or not whole or self.filler.shape != (self.dim,):
            raise ConfigError(f"{folder} is damaged: remove it, and it is made anew")
        self._rows = np.memmap(path, np.float16, "r", shape=(int(self.ends[-1]), self.dim))

    def length(self, index: int, seed: int) -> int:
        """Return how many rows a word's features have."""
        at = self._at(index, seed)
        return int(self.ends[at + 1] - self.ends[at])

    def read(self, index: int, seed: int) -> tuple[Tensor, str]:
        """Return the features (N, D), float32, and the label of a word, in the view that belongs to
        a seed.
        """
        at = self._at(index, seed)
        rows = self._rows[self.ends[at] : self.ends[at + 1]].astype(np.float32)
        return torch.from_numpy(rows), self.labels[at]

    def _at(self, index: int, seed: int) -> int:
        view = int(np.random.default_rng([seed, index]).integers(self.views))
        return view * self.size + index

    def batch(self, keys: list[tuple[int, int]]) -> Batch:
        """Return the features of words, padded to the longest (B, N, D), and their labels."""
        words = [self.read(*key) for key in keys]
        longest = max(len(features) for features, _ in words)
        together = self.filler.repeat(len(words), longest, 1)
        for row, (features, _) in zip(together, words, strict=True):
            row[: len(features)] = features
        return Batch(together, [label for _, label in words])


class FeatureLoader:
    """Batches of stored features, a `TrainingLoader`; the images of a batch are features (B, N, D).

    Of a pool of batches (`SeededBatches`), words of like lengths come together, as images do.
    """

    def __init__(self, store: FeatureStore, batches: SeededBatches) -> None:
        self.store, self.batches = store, batches

    @property
    def sampler(self) -> SeededBatches:
        """Return the object on which Lightning calls `set_epoch`."""
        return self.batches

    def __len__(self) -> int:
        return len(self.batches)

    def state_dict(self) -> dict[str, Any]:
        """Tell Lightning that this loader can resume in the middle of an epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing: the loader is made at the batch that the run has reached."""

    def __iter__(self) -> Iterator[Batch]:
        batches = self.batches
        epoch, start = batches.position
        size = min(batches.batch_size, batches.size // batches.devices)
        for number, keys in enumerate(batches, start // batches.pool):
            if batches.pool > 1:
                keys = sorted(keys, key=lambda key: self.store.length(*key))
            parts = [keys[at : at + size] for at in range(0, len(keys), size)]
            order = np.random.default_rng([batches.seed, epoch, number]).permutation(len(parts))
            chosen = range(len(parts)) if batches.pool == 1 else order
            for position, part in enumerate(chosen, number * batches.pool):
                if position >= start:
                    yield self.store.batch(parts[part])


class StoreContents(NamedTuple):
    """What a store is made of.

    dataset: the words, functions of (index, seed); views: how often each is prepared, with another
    seed; compute: see `Compute`; made_of: what the features depend on, by name.
    """

    dataset: SeededDataset
    views: int
    compute: Compute
    made_of: Mapping[str, Any]


def open_store(folder: Path, contents: StoreContents) -> FeatureStore:
    """Open the store in a folder; make it if there is none.

    Raises:
        ConfigError: what is there is no such store, is damaged, or was made of something else.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if not folder.exists():
                _make(folder, contents)
    try:
        store = FeatureStore(folder)
    except (OSError, ArithmeticError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{folder} has no features in it that can be read ({error}): name another folder, or "
            "remove it"
        ) from error
    wanted = json.loads(json.dumps(dict(contents.made_of)))
    other = [name for name in wanted if store.made_of.get(name) != wanted[name]]
    if other:
        raise ConfigError(
            f"the features in {folder} are not of this run: {', '.join(other)} changed since they "
            "were computed. Remove the folder, and they are computed anew, or name another"
        )
    return store


def _alone(folder: Path) -> ExitStack:
    """Return what holds the lock of a folder that is to be made, once nobody else has it."""
    stack, warned = ExitStack(), False
    while True:
        try:
            stack.enter_context(locked(folder.with_name(f".{folder.name}.lock")))
        except BlockingIOError:
            if not warned:
                log.info("another process computes the features in %s: waiting for it", folder)
            warned = True
            time.sleep(WAIT)
        except OSError as error:  # a file system without locks
            log.warning("%s cannot be kept from other processes: %s", folder, error)
            return stack
        else:
            return stack


def _make(folder: Path, contents: StoreContents) -> None:
    """Compute all features and write them."""
    size, labels, lengths, dim = len(contents.dataset), list[str](), list[int](), 0
    begin = time.monotonic()
    filler: list[float] = []
    with replacing_folder(folder) as partial, (partial / FEATURES).open("wb") as file:
        for view in range(contents.views):
            what = f"batches of {AT_ONCE} words, view {view + 1} of {contents.views}"
            for start in progress(range(0, size, AT_ONCE), what):
                keys = [(index, view) for index in range(start, min(start + AT_ONCE, size))]
                words = contents.dataset.__getitems__(keys)
                parts = _features([word.image for word in words], contents.compute)
                for word, rows in zip(words, parts, strict=True):
                    file.write(rows.tobytes())
                    labels.append(word.label)
                    lengths.append(len(rows))
                dim = parts[0].shape[1]
                if not filler:
                    filler = _filler(words[0].image, contents.compute)
            log.info("features of %d words, view %d of %d", size, view + 1, contents.views)
        about = {
            "format": FORMAT,
            "made_of": dict(contents.made_of),
            "size": size,
            "views": contents.views,
            "dim": dim,
            "filler": filler,
        }
        words_text = json.dumps({"labels": labels, "rows": lengths})
        (partial / WORDS).write_text(words_text, "utf-8")
        (partial / ABOUT).write_text(json.dumps(about), "utf-8")
    log.info(
        "features of %d images in %s: %.0f MB, made in %.0f s",
        len(labels),
        folder,
        sum(lengths) * dim * 2 / 1e6,
        time.monotonic() - begin,
    )


def _features(images: Sequence[Tensor], compute: Compute) -> list[np.ndarray[Any, Any]]:
    """Return each image's features (N, D) in 16 bits."""
    halves = [features.to(torch.float16) for features in compute(images)]
    if not all(half.isfinite().all() for half in halves):
        raise ConfigError("finetune.cache_features: features are too large for 16 bits")
    return [half.numpy() for half in halves]


def _filler(image: Tensor, compute: Compute) -> list[float]:
    """Return what becomes of a column of padding, (D): the middle token of an image of zeros."""
    (features,) = compute([torch.zeros_like(image)])
    return [float(number) for number in features[len(features) // 2]]
