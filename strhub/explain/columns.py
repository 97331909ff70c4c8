"""Images of where a CTC network read each character: a mark below the image for each, the darker
the surer.

In: an image and where its characters were read. Out: a drawing. Pillow only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_columns"]

WIDTH: Final = 480  # pixels of the drawing
ROOM: Final = 76  # below the image
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


def draw_columns(
    image: Image.Image, characters: Sequence[tuple[str, int, float]], columns: int
) -> Image.Image:
    """Return an image with what was read below it: each character where it was read, with its
    probability.

    characters: each with the column it was read in and its probability, as
    `strhub.inference.engine.NetworkEngine.locate` tells; columns: that the image fills, at least 1.
    """
    height = max(24, min(200, round(WIDTH * image.height / image.width)))
    sheet = Image.new("RGB", (WIDTH, height + ROOM), _PAPER)
    sheet.paste(image.convert("RGB").resize((WIDTH, height), Image.Resampling.BICUBIC))
    pen, font, small = (
        ImageDraw.Draw(sheet),
        ImageFont.load_default(size=30),
        ImageFont.load_default(size=17),
    )
    for text, column, sure in characters:
        x = WIDTH * (column + 0.5) / columns
        level = round(200 * (1 - sure))
        pen.line([(x, 0), (x, height)], fill=(220, 60, 40), width=1)
        pen.text((x, height + 22), text, fill=(level, level, level), font=font, anchor="mm")
        pen.text((x, height + 58), f"{100 * sure:.0f}", fill=_INK, font=small, anchor="mm")
    return sheet
