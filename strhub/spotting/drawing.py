"""A page drawn: the image with outlines around its words, colored by confidence, and the texts
beside it.
"""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from strhub.errors import ConfigError
from strhub.spotting.page import Page, Word

_SURE, _DOUBTFUL = 0.9, 0.6
_COLORS = {"sure": (22, 150, 60), "fair": (220, 140, 0), "doubtful": (210, 40, 40)}
_LONGEST = 1600  # pixels of the longer side of what is drawn


def color_of(confidence: float) -> tuple[int, int, int]:
    """Return green from a confidence of 0.9 on, amber from 0.6, else red."""
    kind = "sure" if confidence >= _SURE else "fair" if confidence >= _DOUBTFUL else "doubtful"
    return _COLORS[kind]


def draw(page: Page, image: Image.Image | None = None) -> Image.Image:
    """Return the image with the words' outlines, and on its right a white sheet with the texts
    where the words are.

    The longer side of a large image is brought to 1600 pixels.

    Raises:
        ValueError: if no image is given and the page kept none.
    """
    image = image or page.image
    if image is None:
        raise ConfigError("the page has no image: pass it, or read with Spotter(keep_images=True)")
    ratio = min(1.0, _LONGEST / max(image.size))
    size = (max(1, round(image.width * ratio)), max(1, round(image.height * ratio)))
    sheet = Image.new("RGB", (2 * size[0], size[1]), "white")
    sheet.paste(image.convert("RGB").resize(size), (0, 0))
    pen = ImageDraw.Draw(sheet)
    scale = ratio * image.width / max(page.size[0], 1)
    for word in page.words:
        outline = [(x * scale, y * scale) for x, y in word.quad]
        color = color_of(word.confidence)
        pen.polygon(outline, outline=color, width=max(1, round(max(size) / 500)))
        _write(pen, word, [(x + size[0], y) for x, y in outline])
    pen.line([(size[0], 0), (size[0], size[1])], fill=(200, 200, 200))
    return sheet


def _write(pen: ImageDraw.ImageDraw, word: Word, outline: list[tuple[float, float]]) -> None:
    """Write a word so that it fills its place, at least legibly."""
    (x0, y0), (x1, y1), _, (x3, y3) = outline
    width = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    height = ((x3 - x0) ** 2 + (y3 - y0) ** 2) ** 0.5
    font = ImageFont.load_default(size=max(8.0, 0.8 * height))
    length = pen.textlength(word.text, font=font)
    if length > width > 0:
        font = ImageFont.load_default(size=max(8.0, 0.8 * height * width / length))
    left, top = min(x for x, _ in outline), min(y for _, y in outline)
    pen.text((left, top), word.text, fill=color_of(word.confidence), font=font)
