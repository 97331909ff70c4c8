"""The work of one job: a scene's words, cropped and encoded. Worker processes run it, so all of it
is picklable.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from strhub.data.curation.writer import Record, SkippedRecord
from strhub.data.published.common import Scene, Word
from strhub.images.crops import (
    UnusablePolygon,
    crop_word,
    encode_crop,
    open_scene,
    turn_if_vertical,
)
from strhub.images.open import MAX_BYTES, UnreadableImage
from strhub.utils.regular_files import read_regular


@dataclass(frozen=True, kw_only=True)
class CropScene:
    """Turns a scene into records. The options are those of `strhub.images.crops`."""

    rectified: bool = False
    margin: float = 0.0
    turn_vertical: bool = False
    follow_exif: bool = False

    def __call__(self, scene: Scene) -> Iterator[Record]:
        """Yield the records of a scene's words.

        Raises:
            SkippedRecord: if the image can't be used, or, after the others, for the words that
                can't be cropped.
        """
        content = _read(scene.image)
        try:
            image, lossless = open_scene(content, follow_exif=self.follow_exif)
        except UnreadableImage as error:
            raise SkippedRecord(f"{scene.image}: {error}", "unreadable image") from error
        failures = []
        for word in scene.words:
            try:
                yield self._file(content, image, lossless, word), word.label
            except UnusablePolygon as error:
                failures.append(f"word {word.label!r}: {error}")
        if failures:
            raise SkippedRecord(
                f"{scene.image}: {'; '.join(failures)}", "scene with words that can't be cropped"
            )

    def _file(self, content: bytes, image: Image.Image, lossless: bool, word: Word) -> bytes:
        if word.polygon is None:
            crop = image
        else:
            crop = crop_word(image, word.polygon, rectified=self.rectified, margin=self.margin)
        turned = turn_if_vertical(crop, word.label) if self.turn_vertical else crop
        # The file of a word's image is kept as it is, unless it is rotated.
        return content if turned is image else encode_crop(turned, lossless=lossless)


def _read(path: str) -> bytes:
    try:
        return read_regular(path, max_bytes=MAX_BYTES)
    except FileNotFoundError as error:
        raise SkippedRecord(f"{path}: there is no such image", "missing image") from error
    except OSError as error:
        raise SkippedRecord(f"{path}: {error.strerror or error}", "unreadable image") from error
