"""Which images are re-read, and how.

In: the first look at an image, and the image. Out: further looks without their texts, and what each
of them sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from strhub.inference.rectification import other_views
from strhub.inference.rereading import DOUBT, ViewReading
from strhub.inference.stacked_letters import side_by_side


class Doubts(NamedTuple):
    """What a first look leaves open.

    word: how the word stands in the image; column: whether a tall image shows letters one above the
        other.
    """

    word: bool
    column: bool


@dataclass(frozen=True, kw_only=True)
class FurtherLooks:
    """below: confidence below which a word is re-read, 0 for never; a tall image is read as a
    column from `DOUBT` on, if that is more. height: of the model's images, in pixels; keep_aspect:
    whether they keep theirs; upside_down: whether to turn words by 180 degrees, too.
    """

    below: float
    height: int
    keep_aspect: bool
    upside_down: bool

    def doubts(self, first: ViewReading, *, tall: bool) -> Doubts:
        """Return what to look for. What was turned by 90 degrees can only be a column."""
        text, confidence, *_ = first.decoded
        if not self.below or not text:
            return Doubts(word=False, column=False)
        return Doubts(
            word=confidence < self.below and not first.rotation,
            column=tall and confidence < max(self.below, DOUBT),
        )

    def __call__(
        self, first: ViewReading, image: Image.Image, doubts: Doubts
    ) -> Iterator[tuple[ViewReading, Image.Image]]:
        """Yield the looks that the doubts ask for. image: RGB, at least 1 x 1."""
        if doubts.word:
            views = other_views(
                image, len(first.decoded.text), height=self.height, keep_aspect=self.keep_aspect
            )
            for turn, view, cut in views:
                yield first._replace(rotation=turn, cut=cut), view
            if self.upside_down:
                yield first._replace(rotation=180), image.transpose(Image.Transpose.ROTATE_180)
        if doubts.column:
            column = side_by_side(image, height=self.height)
            if column is not None:
                yield first._replace(rotation=0, letters=column.letters), column.image
