"""What the reference calls its data sets and loaders, in terms of ours, so that code written for it
runs.

from strhub.data.dataset import LmdbDataset, build_tree_dataset
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL.Image import Image
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset

from strhub.data.loading.loader import Batch
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.data.sources.protocols import protocols
from strhub.text import LabelPreparation

__all__ = ["LmdbDataset", "ReferenceNames", "build_tree_dataset"]


class LmdbDataset(Dataset[tuple[Any, Any]]):
    """The words of one LMDB folder as (image, label); unlabelled: as (image, index).

    charset: labels are brought to it, and left out if nothing remains or more than max_label_len
        characters do.
    remove_whitespace has no effect: white space stays where the charset has it. normalize_unicode:
    spell labels in ASCII if the charset is. transform: of the RGB image. Other arguments and errors
    are those of `strhub.data.sources.lmdb.LmdbWords`; an image that cannot be read raises
    `UnreadableRecord`.
    """

    def __init__(
        self,
        root: str | Path,
        charset: str,
        max_label_len: int,
        min_image_dim: int = 0,
        remove_whitespace: bool = True,
        normalize_unicode: bool = True,
        unlabelled: bool = False,
        transform: Callable[[Image], Any] | None = None,
    ) -> None:
        fold = None if normalize_unicode else False
        prepare = LabelPreparation(charset, max_length=max_label_len, fold_ascii=fold, strict=False)
        self.words = LmdbWords(
            root, prepare_label=None if unlabelled else prepare, min_image_dim=min_image_dim
        )
        self.unlabelled, self.transform = unlabelled, transform

    @property
    def labels(self) -> list[str]:
        """Return the labels, mapped to the charset."""
        return self.words.labels

    def __len__(self) -> int:
        """Return how many words there are."""
        return len(self.words)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, label = self.words.read(index)
        return self.transform(
            image
        ) if self.transform else image, index if self.unlabelled else label


def build_tree_dataset(
    root: str | Path, *args: Any, **options: Any
) -> ConcatDataset[tuple[Any, Any]]:
    """Return the words of all LMDB folders below `root`, one after the other; options are those of
    `LmdbDataset`.

    Raises `ValueError` if there are none.
    """
    folders = find_lmdbs(Path(root))
    if not folders:
        raise ValueError(
            f"no words found: there is no LMDB folder (data.mdb) in {root} or below it"
        )
    return ConcatDataset([LmdbDataset(folder, *args, **options) for folder in folders])


class _Protocol:
    """The names of the benchmarks of some protocols, as a class attribute."""

    def __init__(self, *protocols: str) -> None:
        self.protocols = protocols

    def __get__(self, instance: Any, owner: type) -> tuple[str, ...]:
        known = protocols()
        return tuple(name for protocol in self.protocols for name in known[protocol])


class ReferenceNames:
    """The names that the reference's data module has besides ours."""

    TEST_BENCHMARK_SUB: ClassVar = _Protocol("subset")
    TEST_BENCHMARK: ClassVar = _Protocol("full")
    TEST_NEW: ClassVar = _Protocol("new")
    TEST_ALL: ClassVar = _Protocol("subset", "full", "new")
    test_dataloader: Callable[..., DataLoader[Batch]]

    def test_dataloaders(self, subset: Sequence[str]) -> dict[str, _Pairs]:
        """Return loaders of (images, labels) by the names of benchmarks; images that cannot be read
        are left out.
        """
        return {name: _Pairs(self.test_dataloader(name)) for name in subset}


class _Pairs:
    """A loader's batches without what the reference's do not have."""

    def __init__(self, loader: DataLoader[Batch]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, list[str]]]:
        for batch in self.loader:
            if batch.labels:
                yield batch.images, batch.labels
