"""Words that strhub-model measures and calibrates on: of data sets, and rendered ones."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from PIL import Image

from strhub.cli.arguments import data_root_argument
from strhub.data.sources.dataset import UnreadableRecord
from strhub.data.sources.folder import FolderWords, find_annotated
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.data.synth import RenderedWords
from strhub.utils.progress import progress

Word: TypeAlias = tuple[Image.Image, str]


def word_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --data_root and --sets."""
    data_root_argument(parser)
    parser.add_argument(
        "--sets",
        nargs="*",
        default=[],
        metavar="NAME",
        help="folders of <data_root>/test, or of <data_root>, such as val/IIIT5k",
    )


def stored_words(
    root: Path, name: str, limit: int | None = None
) -> Iterator[tuple[Image.Image | None, str]]:
    """Yield words of <root>/test/<name>, or of <root>/<name> if that is not there, at most `limit`
    evenly chosen ones. The image is None if it cannot be read. `ValueError` if there is no folder.
    """
    folder = next((one for one in (root / "test" / name, root / name) if one.is_dir()), None)
    if folder is None:
        raise ValueError(f"{name} is neither in {root / 'test'} nor in {root}")
    sources: list[LmdbWords | FolderWords] = [
        *(LmdbWords(path, prepare_label=str) for path in find_lmdbs(folder)),
        *(FolderWords(path, prepare_label=str) for path in find_annotated(folder)),
    ]
    if not sources:
        raise ValueError(f"there are no words in {folder}")
    records = [(source, index) for source in sources for index in range(len(source))]
    count = min(len(records), limit or len(records))
    chosen = [records[number * len(records) // count] for number in range(count)]
    for source, index in progress(chosen, f"words of {name}"):
        try:
            image, label = source.read(index)
        except UnreadableRecord as error:
            yield None, error.label
        else:
            yield image.convert("RGB"), label


def rendered_words(charset: str, count: int, seed: int) -> Iterator[Word]:
    """Yield so many rendered words, of difficulties from 0 to 0.8."""
    words = RenderedWords(charset=charset, max_length=25, seed=seed, difficulty=(0.0, 0.8))
    yield from map(words.render, progress(range(count), "words rendered"))


def blank_images(count: int, seed: int) -> Iterator[Word]:
    """Yield rendered backgrounds with nothing to read."""
    words = RenderedWords(charset="a", max_length=1, seed=seed, difficulty=(0.0, 1.0), blanks=1.0)
    yield from map(words.render, progress(range(count), "backgrounds rendered"))
