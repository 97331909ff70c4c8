"""Test sets as streams of words: LMDB folders, folders of images with labels, tar shards, or a data
set of training.

In: a path. Out: `LabeledWord`s in an order that is always the same; no more than some tens are in
    memory at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from PIL import Image

from strhub.data.curation.stored import StoredWords
from strhub.data.sources.annotations import ANNOTATION_NAMES, OTHER_NAMES, Annotations
from strhub.data.sources.dataset import UnreadableRecord
from strhub.data.sources.folder import find_annotated
from strhub.data.sources.lmdb import find_lmdbs
from strhub.data.sources.lmdb_format import image_key
from strhub.data.sources.shard_names import find_shards
from strhub.data.sources.tar import TruncatedShard, read_words
from strhub.errors import DataError
from strhub.images.open import MAX_BYTES, UnreadableImage, open_bytes
from strhub.utils.regular_files import read_regular

__all__ = ["LabeledWord", "WordSet", "from_dataset", "is_set", "open_set"]

log = logging.getLogger(__name__)

TAR: Final = (".tar", ".tar.gz", ".tgz")


class LabeledWord(NamedTuple):
    """A word to be read.

    source, name: which image of which file it is; label: as stored; load: opens the image,
    `UnreadableImage` if that cannot be; digest: of label and image, 0 where there is no file;
    content: the image's file, None if it cannot be read.
    """

    source: str
    name: str
    label: str
    load: Callable[[], Image.Image]
    digest: int = 0
    content: bytes | None = None


class Source(Protocol):
    """A file or folder of words."""

    path: str

    def words(self) -> Iterator[LabeledWord]:
        """Yield all words with a label, in order."""
        ...

    def open(self, names: Iterable[str]) -> Iterator[tuple[str, Image.Image]]:
        """Yield some images by their names, as far as they can be opened."""
        ...


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


@dataclass
class LmdbSource:
    """The records of an LMDB folder; their names are the keys of their images."""

    path: str

    def words(self) -> Iterator[LabeledWord]:
        """See `Source`."""
        stored = StoredWords(self.path)
        if stored.remark:
            log.warning("%s: %s", self.path, stored.remark)
        for record in stored.records(range(1, stored.count + 1)):
            if record.label is None or record.text is None:
                continue
            yield _encoded_word(
                self.path, image_key(record.number).decode(), record.text, record.encoded
            )

    def open(self, names: Iterable[str]) -> Iterator[tuple[str, Image.Image]]:
        """See `Source`."""
        stored = StoredWords(self.path)
        numbers = {int(name.rpartition("-")[2]): name for name in names}
        for record in stored.records(numbers):
            try:
                yield numbers[record.number], open_bytes(record.encoded or b"")
            except UnreadableImage:
                continue


@dataclass
class FolderSource:
    """The images of an annotation file; their names are the paths that it gives."""

    path: str

    def words(self) -> Iterator[LabeledWord]:
        """See `Source`. `DataError` if an image is named twice: for which label should count?"""
        annotations = Annotations(self.path)
        labels: dict[str, tuple[int, int]] = {}
        for annotation in annotations:
            name, label, line = annotation
            before = labels.setdefault(name, (hash(label), line))
            if before != (hash(label), line):
                what = "once more" if before[0] == hash(label) else "with two labels"
                raise DataError(
                    f"{annotations.where(annotation)} is named {what}, here and in line "
                    f"{before[1]}: leave one of the "
                    "two lines out"
                )
            place = annotations.path(annotation)
            try:
                content: bytes | None = read_regular(place, max_bytes=MAX_BYTES)
            except (OSError, ValueError):
                content = None
            yield _encoded_word(self.path, name, label, content)

    def open(self, names: Iterable[str]) -> Iterator[tuple[str, Image.Image]]:
        """See `Source`."""
        wanted, annotations = set(names), Annotations(self.path)
        for annotation in annotations:
            if annotation.image in wanted:
                try:
                    content = read_regular(annotations.path(annotation), max_bytes=MAX_BYTES)
                    yield annotation.image, open_bytes(content)
                except (OSError, ValueError):
                    continue


@dataclass
class ShardSource:
    """The samples of a tar; their names are their numbers in it, counted from 0."""

    path: str

    def words(self) -> Iterator[LabeledWord]:
        """See `Source`. What was read of a shard that is cut short counts."""
        try:
            for number, word in enumerate(read_words(self.path)):
                if not word.problem:
                    yield _encoded_word(self.path, str(number), word.label, word.encoded)
        except TruncatedShard as error:
            log.warning("shard left early: %s", error)

    def open(self, names: Iterable[str]) -> Iterator[tuple[str, Image.Image]]:
        """See `Source`; the whole shard is gone through, as far as the last of them."""
        wanted = set(names)
        for word in self.words():
            if word.name in wanted:
                wanted.discard(word.name)
                try:
                    yield word.name, word.load()
                except UnreadableImage:
                    continue
            if not wanted:
                return


@dataclass
class ReadSource:
    """Anything with `len()` and `read(index)`, such as a source of training; names are indices."""

    path: str
    source: Any

    def words(self) -> Iterator[LabeledWord]:
        """See `Source`."""
        labels = getattr(self.source, "labels", None)
        for index in range(len(self.source)):
            if labels is None:
                image, label = self.source.read(index)
                yield LabeledWord(self.path, str(index), label, partial(_same, image))
            else:
                yield LabeledWord(self.path, str(index), labels[index], partial(self._load, index))

    def open(self, names: Iterable[str]) -> Iterator[tuple[str, Image.Image]]:
        """See `Source`."""
        for name in names:
            try:
                yield name, self._load(int(name))
            except UnreadableImage:
                continue

    def _load(self, index: int) -> Image.Image:
        try:
            image: Image.Image = self.source.read(index)[0]
        except UnreadableRecord as error:
            raise UnreadableImage(str(error)) from error
        return image


def _same(image: Image.Image) -> Image.Image:
    return image


class _Rendered:
    """Rendered words by number, as validation reads them."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def read(self, index: int) -> tuple[Image.Image, str]:
        found = self._dataset._find(index, 0)
        return found.image, found.label


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


def from_dataset(name: str, dataset: Any) -> WordSet:
    """Return the words of a data set of training, such as a data module's `val_dataset`, as a test
    set.
    """
    sources = getattr(dataset, "sources", None)
    if sources is None:
        return WordSet(name, [ReadSource("rendered", _Rendered(dataset))])
    paths = [str(getattr(source, "path", number)) for number, source in enumerate(sources)]
    return WordSet(
        name, [ReadSource(path, source) for path, source in zip(paths, sources, strict=True)]
    )


def _encoded_word(source: str, name: str, label: str, content: bytes | None) -> LabeledWord:
    def load() -> Image.Image:
        if content is None:
            raise UnreadableImage("there is no image")
        return open_bytes(content)

    hashed = sha256(f"{label}\0".encode("utf-8", "surrogatepass"))
    hashed.update(content or b"")
    return LabeledWord(
        source, name, label, load, int.from_bytes(hashed.digest()[:16], "big"), content
    )
