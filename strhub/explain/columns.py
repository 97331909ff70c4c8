"""Images of where a CTC network read each character: a mark below the image for each, the darker
the surer.

In: an image and the probabilities of its columns. Out: a drawing. Pillow and NumPy only.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["draw_columns"]

WIDTH: Final = 480  # pixels of the drawing
ROOM: Final = 76  # below the image
_INK, _PAPER = (20, 20, 20), (255, 255, 255)


def draw_columns(
    image: Image.Image,
    probabilities: npt.NDArray[np.float32],
    tokenizer: Any,
    *,
    used: int | None = None,
) -> Image.Image:
    """Return an image with what was read below it: each character where it was read, with its
    probability.

    probabilities: (L, C), id 0 the blank; tokenizer: a `CTCTokenizer`; used: columns that the image
    fills, the rest is padding; by default all.
    """
    columns = max(1, min(used or len(probabilities), len(probabilities)))
    height = max(24, min(200, round(WIDTH * image.height / image.width)))
    sheet = Image.new("RGB", (WIDTH, height + ROOM), _PAPER)
    sheet.paste(image.convert("RGB").resize((WIDTH, height), Image.Resampling.BICUBIC))
    pen, font, small = (
        ImageDraw.Draw(sheet),
        ImageFont.load_default(size=30),
        ImageFont.load_default(size=17),
    )
    ids, sure = probabilities.argmax(1), probabilities.max(1)
    steps, _ = tokenizer.select(ids)
    for step in steps:
        x = WIDTH * (step + 0.5) / columns
        level = round(200 * (1 - float(sure[step])))
        pen.line([(x, 0), (x, height)], fill=(220, 60, 40), width=1)
        text = tokenizer.text_of(ids[[step]])
        pen.text((x, height + 22), text, fill=(level, level, level), font=font, anchor="mm")
        pen.text(
            (x, height + 58), f"{100 * float(sure[step]):.0f}", fill=_INK, font=small, anchor="mm"
        )
    return sheet
