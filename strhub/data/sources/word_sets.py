"""Test sets as streams of words: LMDB folders, folders of images with labels, tar shards, or a data
set of training.

In: a path. Out: `LabeledWord`s in an order that is always the same; no more than some tens are in
    memory at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from strhub.data.sources.annotation_files import OTHER_NAMES
from strhub.data.sources.annotations import ANNOTATION_NAMES
from strhub.data.sources.dataset import WordDataset
from strhub.data.sources.folder import find_annotated
from strhub.data.sources.labeled import LabeledSource, WordSource
from strhub.data.sources.lmdb import find_lmdbs
from strhub.data.sources.shard_names import TAR, find_shards
from strhub.data.sources.word_sources import (
    FolderSource,
    LabeledWord,
    LmdbSource,
    ReadSource,
    ShardSource,
    Source,
)
from strhub.errors import DataError

__all__ = ["LabeledWord", "WordSet", "from_dataset", "is_set", "open_set"]

log = logging.getLogger(__name__)


@dataclass
class WordSet:
    """A named test set of one or several sources.

    left_out: words without a label that can be used, by reason, as far as the set has been read.
    """

    name: str
    sources: Sequence[Source]
    path: str = ""
    left_out: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[LabeledWord]:
        """Yield its words, always in the same order."""
        for source in self.sources:
            yield from source.words()

    def open(self, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Image.Image]:
        """Return images by source and name; those that cannot be opened are left out."""
        wanted = list(names)
        found: dict[tuple[str, str], Image.Image] = {}
        for source in self.sources:
            own = [name for path, name in wanted if path == source.path]
            if own:
                found.update(((source.path, name), image) for name, image in source.open(own))
        return found


def open_set(path: str | Path, name: str | None = None) -> WordSet:
    """Return the test set at a path: a folder with LMDBs or labeled images at or below it, or a
    pattern of tar files.

    Raises:
        DataError: if there is none.
    """
    text = str(path)
    name = name or text.rstrip("/")
    if text.endswith(TAR):
        return WordSet(name, [ShardSource(shard) for shard in find_shards(text)], text)
    if Path(text).is_file():
        return WordSet(name, [FolderSource(text)], text)
    databases, annotated = find_lmdbs(text), find_annotated(text)
    shards = (
        []
        if databases or annotated
        else sorted(one for one in Path(text).glob("*.tar*") if one.is_file())
    )
    sources: list[Source] = [
        *(LmdbSource(str(one)) for one in databases),
        *(FolderSource(str(one)) for one in annotated),
        *(ShardSource(str(one)) for one in shards if str(one).endswith(TAR)),
    ]
    if not sources:
        state = "none is in it or below it" if Path(text).is_dir() else "it does not exist"
        raise DataError(
            f"no words found: looked for LMDB folders (data.mdb), for images with one of "
            f"{', '.join((*ANNOTATION_NAMES, *OTHER_NAMES))}, and for tar files in {text}, but "
            f"{state}"
        )
    return WordSet(name, sources, text)


def is_set(path: str | Path) -> bool:
    """Return whether there is a test set at a path."""
    try:
        return bool(open_set(path).sources)
    except ValueError:
        return False


def from_dataset(name: str, dataset: WordDataset | WordSource) -> WordSet:
    """Return the words of a data set of training, such as a data module's `val_dataset`, as a test
    set.
    """
    if not isinstance(dataset, WordDataset):
        return WordSet(name, [ReadSource("rendered", dataset)])
    paths = [
        str(source.path if isinstance(source, LabeledSource) else number)
        for number, source in enumerate(dataset.sources)
    ]
    return WordSet(name, list(map(ReadSource, paths, dataset.sources)))
