#!/usr/bin/env python3
"""Render docs/figures/street.jpg, a street of shops, and let strhub read it:
docs/figures/street-read.jpg.

tools/site/street.py             # always the same image: no photograph, and nobody's rights
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from strhub import Spotter
from strhub.data.synth.backdrop import ground

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "docs" / "figures"
FONTS = ROOT / "strhub" / "data" / "synth" / "fonts"
SIZE = (1280, 720)
SEED = 5
SKY = (168, 186, 204)


class Sign(NamedTuple):
    """A panel with a text. box: left, top, right, bottom in pixels; turn: degrees; ground and ink:
    RGB.
    """

    text: str
    font: str
    box: tuple[int, int, int, int]
    ground: tuple[int, int, int] | None
    ink: tuple[int, int, int]
    turn: float = 0.0


SIGNS = (
    Sign("Harbour Books", "AbrilFatface-Regular", (70, 232, 500, 322), (24, 74, 66), (240, 226,
        190)),
    Sign("new & second hand", "CrimsonText-Regular", (120, 326, 450, 368), None, (235, 228, 214)),
    Sign("OPEN", "Bungee-Regular", (330, 470, 450, 520), (176, 38, 34), (250, 246, 238), -6),
    Sign("Corner Cafe", "KaushanScript-Regular", (560, 226, 860, 326), (94, 52, 33), (250, 232,
    200)), Sign("espresso 2.40", "GloriaHallelujah-Regular", (600, 440, 800, 490), (38, 42, 40),
    (236, 236, 226), 3), Sign("soup of the day", "GloriaHallelujah-Regular", (600, 490, 800, 535),
        (38, 42,
    40), (236, 236, 226), 3), Sign("BAKERY", "BebasNeue-Regular", (930, 222, 1190, 322), (226, 178,
    66), (60, 34, 24)), Sign("since 1936", "LibreBaskerville-Regular", (975, 330, 1150, 366), None,
    (238, 230, 214)), Sign("KING STREET", "ArchivoBlack-Regular", (520, 60, 760, 108), (22, 50,
        110), (245,
    245, 245)), Sign("Bus 42", "Arimo-Bold", (1060, 560, 1180, 604), (245, 245, 240), (20, 20, 24),
    2),
)  # fmt: skip


def render() -> Image.Image:
    """Return the street: a brick front with shop windows, signs in perspective, light, blur and
    grain.
    """
    rng = np.random.default_rng(SEED)
    image = ground("bricks", SIZE, (150, 96, 78), 26, 40, rng)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 640, SIZE[0], SIZE[1]), fill=(112, 110, 108))
    for left, right in ((70, 500), (560, 860), (930, 1190)):
        draw.rectangle((left - 14, 210, right + 14, 640), fill=(58, 48, 44))
        draw.rectangle((left + 6, 378, right - 6, 628), fill=(52, 66, 78))
        for pane in range(3):
            start = left + 14 + pane * (right - left - 28) // 3
            draw.rectangle(
                (start, 388, start + (right - left - 40) // 3 - 6, 620), fill=(74, 92, 106)
            )
    for sign in SIGNS:
        _hang(image, sign)
    image = _side_view(image)
    return _photographed(image, rng)


def _hang(image: Image.Image, sign: Sign) -> None:
    left, top, right, bottom = sign.box
    size = (right - left, bottom - top)
    panel = Image.new("RGBA", size, (*sign.ground, 255) if sign.ground else (0, 0, 0, 0))
    draw = ImageDraw.Draw(panel)
    if sign.ground:
        draw.rectangle((3, 3, size[0] - 4, size[1] - 4), outline=(*sign.ink, 255), width=2)
    points = size[1]
    while True:
        font = ImageFont.truetype(str(FONTS / f"{sign.font}.ttf"), points)
        box = draw.textbbox((0, 0), sign.text, font=font)
        if box[2] - box[0] < size[0] * 0.88 and box[3] - box[1] < size[1] * 0.68:
            break
        points -= 1
    position = ((size[0] - box[0] - box[2]) / 2, (size[1] - box[1] - box[3]) / 2)
    draw.text(position, sign.text, font=font, fill=(*sign.ink, 255))
    turned = panel.rotate(sign.turn, Image.Resampling.BICUBIC, expand=True)
    image.paste(turned, (left, top), turned)


def _side_view(image: Image.Image) -> Image.Image:
    """Return the image in perspective: the street goes back to the right."""
    wide, high = image.size
    source = np.array([(0, 0), (wide, 0), (wide, high), (0, high)], dtype=float)
    target = np.array(
        [(-60, -40), (wide + 10, 62), (wide + 10, high - 34), (-60, high + 40)], dtype=float
    )
    rows = []
    for (x, y), (u, v) in zip(target, source, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    coefficients = np.linalg.solve(np.array(rows), source.reshape(-1))
    return image.transform(
        image.size,
        Image.Transform.PERSPECTIVE,
        coefficients.tolist(),
        Image.Resampling.BICUBIC,
        fillcolor=SKY,
    )


def _photographed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return the image under evening light, a little out of focus and grainy."""
    blurred = image.filter(ImageFilter.GaussianBlur(0.9))
    pixels = np.asarray(blurred, dtype=np.float32)
    high, wide, _ = pixels.shape
    light = (
        1.12
        - 0.42 * np.linspace(0, 1, wide)[None, :, None] * np.linspace(0.5, 1, high)[:, None, None]
    )
    pixels = pixels * light * np.array([1.04, 1.0, 0.94]) + rng.normal(0, 5, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def main() -> None:
    """Write both images."""
    FIGURES.mkdir(exist_ok=True)
    image = render()
    image.save(FIGURES / "street.jpg", quality=85)
    page = Spotter()(FIGURES / "street.jpg")
    print(page.text)
    page.draw().convert("RGB").save(FIGURES / "street-read.jpg", quality=85)


if __name__ == "__main__":
    main()
