"""All sets of words in a folder or below it, whatever they are stored as."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from strhub.data.sources.annotation_files import ANNOTATION_NAMES, OTHER_NAMES
from strhub.data.sources.folder import FolderWords, find_annotated
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs

log = logging.getLogger(__name__)


def open_sources(
    folder: Path, prepare_label: Callable[[str], str], *, min_image_dim: int = 0
) -> list[LmdbWords | FolderWords]:
    """Return the sets in a folder or below it, and log how many words there are and were dropped.

    prepare_label: gives the label that a stored one becomes, or raises `DroppedLabel`.
    min_image_dim: pixels; smaller images count as unreadable. Raises `ValueError` if there is no
    set, or none with a word left to use.
    """
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
    options: dict[str, Any] = {"prepare_label": prepare_label, "min_image_dim": min_image_dim}
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
