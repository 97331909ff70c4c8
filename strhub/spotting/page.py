"""What was read in a photograph or on a page: words in lines, lines in paragraphs, in the order in
which one reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

Quad = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""Corners x, y in pixels of the image, clockwise as seen, from the one where the text begins."""


@dataclass(frozen=True)
class Word:
    """text; quad: its corners; confidence: in [0, 1]; character_confidences: one a character."""

    text: str
    quad: Quad
    confidence: float
    character_confidences: tuple[float, ...] = ()


@dataclass(frozen=True)
class Line:
    """words: at least one; quad: of the whole line; rotation: degrees counter-clockwise that the
    line was turned by to be read, a multiple of 90.
    """

    words: tuple[Word, ...]
    quad: Quad
    rotation: int = 0

    @property
    def text(self) -> str:
        """Return the words with spaces between them."""
        return " ".join(word.text for word in self.words)

    @property
    def confidence(self) -> float:
        """Return the mean of the words' confidences, weighted by their lengths."""
        length = sum(len(word.text) for word in self.words)
        return sum(len(word.text) * word.confidence for word in self.words) / max(length, 1)


@dataclass(frozen=True)
class Paragraph:
    """lines: that belong together, from the top."""

    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """Return the lines under each other."""
        return "\n".join(line.text for line in self.lines)


@dataclass(frozen=True)
class Page:
    """All text of one image.

    paragraphs: in reading order; size: (width, height) of the image in pixels; rotation: degrees
    counter-clockwise by which the image would have to be turned for most of its text to be upright,
    a multiple of 90; source: the path given; number: of the page in a file of several, from 1;
    error: why the image could not be read; image: what was read, RGB, None if it was not kept.
    """

    paragraphs: tuple[Paragraph, ...]
    size: tuple[int, int]
    rotation: int = 0
    source: str | None = None
    number: int = 1
    error: str | None = None
    image: Image.Image | None = field(default=None, repr=False, compare=False)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Return all lines, in reading order."""
        return tuple(line for paragraph in self.paragraphs for line in paragraph.lines)

    @property
    def words(self) -> tuple[Word, ...]:
        """Return all words, in reading order."""
        return tuple(word for line in self.lines for word in line.words)

    @property
    def text(self) -> str:
        """Return the text, with an empty line between paragraphs."""
        return "\n\n".join(paragraph.text for paragraph in self.paragraphs)

    @property
    def confidence(self) -> float:
        """Return the mean of the words' confidences, 0 without any."""
        return sum(word.confidence for word in self.words) / max(len(self.words), 1)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the image, fit for JSON."""
        from strhub.spotting.formats import to_dict

        return to_dict(self)

    def export(self, format: str) -> str:
        """Return the page as `txt`, `json`, `tsv`, `hocr`, `alto` or `md`."""
        from strhub.spotting.formats import export

        return export(self, format)

    def draw(self, image: Image.Image | None = None) -> Image.Image:
        """Return the image with the words' outlines, colored by confidence, and the texts beside
        it.

        Raises:
            ValueError: if no image is given and none was kept.
        """
        from strhub.spotting.drawing import draw

        return draw(self, image)

    def show(self) -> None:
        """Open what `draw` returns in the system's image viewer."""
        self.draw().show()
