"""Words straight from a folder of images with a file that says what they show, without making an
LMDB of them.

In: what `strhub.data.sources.annotations` reads. Out: RGB images with their labels, as from
`strhub.data.sources.lmdb`.
"""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PIL.Image import Image

from strhub.data.sources.annotations import Annotation, Annotations, find_annotation_file
from strhub.data.sources.dataset import UnreadableRecord
from strhub.images.open import UnreadableImage, open_image
from strhub.text.charset import DroppedLabel
from strhub.utils.folders import walk_folders

__all__ = ["FolderWords", "find_annotated"]

logger = logging.getLogger(__name__)


class FolderWords:
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
        self.path = self.annotations.source
        self.min_image_dim = min_image_dim
        self.dropped: Counter[str] = Counter()
        self.labels: list[str] = []
        self._images: list[str] = []
        self._lines = array("q")
        for image_path, label, line in self.annotations:
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

    def __len__(self) -> int:
        """How many images were kept."""
        return len(self.labels)

    def read(self, index: int) -> tuple[Image, str]:
        """The RGB image and label of a record, `0 <= index < len(self)`.

        Raises:
            IndexError: if there is no such record.
            UnreadableRecord: if its image is missing, damaged, under `min_image_dim` or over 64
                megapixels.
        """
        if not 0 <= index < len(self):
            raise IndexError(
                f"no record {index} in {self.path}: it has {len(self)}, counted from 0"
            )
        record = Annotation(self._images[index], self.labels[index], self._lines[index])
        try:
            image = open_image(self.annotations.path(record))
            if min(image.size) < self.min_image_dim:
                size = f"{image.width}x{image.height}"
                raise UnreadableImage(
                    f"{size} pixels are under the minimum side of {self.min_image_dim}"
                )
        except ValueError as error:  # of a path that no file can have, too
            raise UnreadableRecord(
                f"{self.annotations.where(record)}: {error}", record.label
            ) from error
        return image, record.label


def find_annotated(root: str | Path) -> list[Path]:
    """Return every annotation file by one of the names in `ANNOTATION_NAMES` and `OTHER_NAMES`
    below `root`, sorted.

    Links to folders are followed, but no folder is taken twice. In a folder that holds an LMDB,
    such a file is thought to be what the LMDB was made from and is left out. `ValueError` if a
    folder has several.
    """
    found = []
    for folder, _, names in walk_folders(root, skip=lambda _, name: name.startswith(".")):
        if "data.mdb" not in names and (file := find_annotation_file(Path(folder), names)):
            found.append(file)
    return sorted(found)
