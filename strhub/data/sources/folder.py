"""Words straight from a folder of images with a file that says what they show, without making an
LMDB of them.

In: what `strhub.data.sources.annotations` reads. Out: RGB images with their labels, as from
`strhub.data.sources.lmdb`.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable
from pathlib import Path

from PIL.Image import Image

from strhub.data.sources.annotations import Annotation, Annotations, find_annotation_file
from strhub.data.sources.labeled import LabeledSource
from strhub.data.sources.lmdb import holds_lmdb
from strhub.images.open import UnreadableImage, open_image
from strhub.text.charset import DroppedLabel
from strhub.utils.folders import walk_folders
from strhub.utils.progress import progress

__all__ = ["FolderWords", "find_annotated"]

logger = logging.getLogger(__name__)


class FolderWords(LabeledSource):
    """The words of an annotation file whose labels can be used; a `WordSource`.

    All labels are read once, here; images are opened when asked for.

    Args:
        path: the annotation file, or a folder as `Annotations` takes it.
        prepare_label: takes a label, returns it as it is to be trained on or scored against, or
            raises `DroppedLabel`, and the image is left out. None: every image is kept, its label
            as it is.
        min_image_dim: images of less than this many pixels in width or height count as unreadable.

    Attributes:
        dropped: how many lines or images were left out, by reason: those of `prepare_label` and of
            `Annotations`.
        labels: the labels of the images that were kept, in the order of the file.

    Raises:
        ValueError: if there are no annotations.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        prepare_label: Callable[[str], str] | None = None,
        min_image_dim: int = 0,
    ) -> None:
        self.annotations = Annotations(path)
        super().__init__(self.annotations.source, min_image_dim)
        self._images: list[str] = []
        self._lines = array("q")
        for image_path, label, line in progress(self.annotations, f"labels of {self.path}"):
            try:
                self.labels.append(prepare_label(label) if prepare_label else label)
            except DroppedLabel as error:
                self.dropped[error.reason] += 1
            else:
                self._images.append(image_path)
                self._lines.append(line)
        self.dropped += self.annotations.skipped
        if problems := self.annotations.problems:
            count = self.annotations.skipped.total()
            logger.warning(
                "%s: %d left out for want of a path or label, such as %s",
                self.path,
                count,
                problems[0],
            )

    def _open(self, index: int) -> Image:
        """See `LabeledSource`."""
        try:
            return open_image(self.annotations.path(self._record(index)))
        except UnreadableImage:
            raise
        except ValueError as error:  # for paths that no file can have
            raise UnreadableImage(str(error)) from error

    def _where(self, index: int) -> str:
        return self.annotations.where(self._record(index))

    def _record(self, index: int) -> Annotation:
        return Annotation(self._images[index], self.labels[index], self._lines[index])


def find_annotated(root: str | Path) -> list[Path]:
    """Return every annotation file by one of the names in `ANNOTATION_NAMES` and `OTHER_NAMES`
    below `root`, sorted.

    Links to folders are followed, but no folder is taken twice. In a folder that holds an LMDB,
    such a file is thought to be what the LMDB was made from and is left out. `ValueError` if a
    folder has several.
    """
    found = []
    for folder, _, names in walk_folders(root, skip=lambda _, name: name.startswith(".")):
        if not holds_lmdb(names) and (file := find_annotation_file(Path(folder), names)):
            found.append(file)
    return sorted(found)
