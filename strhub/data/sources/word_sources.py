"""Where the words of a set are read from: LMDB, folders, tar shards, or a data set of torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import NamedTuple, Protocol

from PIL import Image

from strhub.data.curation.stored import StoredWords
from strhub.data.sources.annotations import Annotations
from strhub.data.sources.labeled import LabeledWords, UnreadableRecord, WordSource
from strhub.data.sources.lmdb import image_key
from strhub.data.sources.tar import TruncatedShard, read_words
from strhub.errors import DataError
from strhub.images.open import MAX_BYTES, UnreadableImage, open_bytes
from strhub.utils.regular_files import read_regular

log = logging.getLogger(__name__)


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
        """Read as `Source` says. `DataError` if an image is named twice: which label should
        count?
        """
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
            path = annotations.path(annotation)
            try:
                content: bytes | None = read_regular(path, max_bytes=MAX_BYTES)
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
        """Read as `Source` says. What could be read of a truncated shard counts."""
        try:
            for number, word in enumerate(read_words(self.path)):
                if not word.problem:
                    yield _encoded_word(self.path, str(number), word.label, word.encoded)
        except TruncatedShard as error:
            log.warning("shard left early: %s", error)

    def open(self, names: Iterable[str]) -> Iterator[tuple[str, Image.Image]]:
        """Open as `Source` says; the whole shard is read, as far as the last of them."""
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
    source: WordSource

    def words(self) -> Iterator[LabeledWord]:
        """See `Source`."""
        if isinstance(self.source, LabeledWords):
            for index, label in enumerate(self.source.labels):
                yield LabeledWord(self.path, str(index), label, partial(self._load, index))
            return
        for index in range(len(self.source)):
            image, label = self.source.read(index)
            yield LabeledWord(self.path, str(index), label, partial(_same, image))

    def open(self, names: Iterable[str]) -> Iterator[tuple[str, Image.Image]]:
        """See `Source`."""
        for name in names:
            try:
                yield name, self._load(int(name))
            except UnreadableImage:
                continue

    def _load(self, index: int) -> Image.Image:
        try:
            return self.source.read(index)[0]
        except UnreadableRecord as error:
            raise UnreadableImage(str(error)) from error


def _same(image: Image.Image) -> Image.Image:
    return image


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
