#!/usr/bin/env python3
"""Measure how well models read letters that stand one above the other, and what that does to other
tall images.

python benchmarks/stacked_letters.py strhub-small strhub-tiny --data_root data --sets val/IC15

Columns of 3 to 9 letters are rendered in the fonts of the package: in one color on a shade of
another, a little rotated, 14 to 50 pixels wide, some blurred, as JPEG. Of the sets, the words that
are over 1.5 times as high as wide are read. Only letters and digits count, in lower case.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from strhub import Recognizer
from strhub.cli.model_words import Word, stored_words, word_arguments
from strhub.data.synth.fontfiles import find_fonts
from strhub.inference.preparation import TALL
from strhub.text import CHARSET_36, CharsetAdapter
from strhub.text.word_prior import english_words

SIZE = 64  # of the font, in pixels


def rendered_columns(count: int, seed: int) -> list[Word]:
    """Return columns of letters, the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    words = [word for word in list(english_words())[:12_000] if 3 <= len(word) <= 9]
    fonts = [font for font in find_fonts(None) if "#" not in font]
    found: list[Word] = []
    while len(found) < count:
        kind, word = rng.random(), str(rng.choice(words))
        word = word.upper() if kind < 0.8 else word.capitalize() if kind < 0.9 else word
        image = rendered_column(word, ImageFont.truetype(str(rng.choice(fonts)), SIZE), rng)
        if image.height > TALL * image.width:
            found.append((image, word))
    return found


def rendered_column(
    word: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator
) -> Image.Image:
    """Render a word from top to bottom."""
    boxes = [font.getbbox(letter) for letter in word]
    top, bottom = font.getbbox("H")[1::2]
    high, wide = bottom - top, max(box[2] - box[0] for box in boxes)
    pitch, sides, ends = (
        high * rng.uniform(1.12, 1.7),
        rng.uniform(0.03, 0.25),
        rng.uniform(0.02, 0.2),
    )
    size = (round(wide * (1 + 2 * sides)), round(pitch * (len(word) - 1) + high * (1 + 2 * ends)))
    ground, ink = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    while abs(ground.mean() - ink.mean()) < 60:
        ground, ink = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    shade = np.linspace(-1, 1, size[1])[:, None, None] * rng.uniform(-30, 30)
    noise = rng.normal(0, rng.uniform(0, 12), (size[1], size[0], 1))
    image = Image.fromarray(np.clip(ground + shade + noise, 0, 255).astype(np.uint8))
    for number, (letter, box) in enumerate(zip(word, boxes, strict=True)):
        place = (size[0] / 2 - (box[0] + box[2]) / 2, high * ends + pitch * number - top)
        ImageDraw.Draw(image).text(place, letter, font=font, fill=color_of(ink))
    image = image.rotate(rng.uniform(-4, 4), Image.Resampling.BICUBIC, fillcolor=color_of(ground))
    width = int(rng.integers(14, 51))
    image = image.resize((width, max(1, round(image.height * width / image.width))))
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1)))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(45, 93)))
    return Image.open(file).convert("RGB")


def color_of(values: np.ndarray) -> tuple[int, int, int]:
    """Return a color as Pillow takes it."""
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def tall_words(root: Path, sets: Sequence[str]) -> list[Word]:
    """Return the words of data sets that are tall."""
    return [
        (image, label)
        for name in sets
        for image, label in stored_words(root, name)
        if image is not None and image.height > TALL * image.width
    ]


def right(reader: Recognizer, words: Sequence[Word]) -> int:
    """Return how many are read right."""
    adapt = CharsetAdapter(CHARSET_36)
    readings = reader([image for image, _ in words])
    return sum(
        adapt(one.text) == adapt(label) for one, (_, label) in zip(readings, words, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", help="id or path")
    parser.add_argument("--count", type=int, default=300, help="columns to render")
    parser.add_argument("--seed", type=int, default=0)
    word_arguments(parser)
    args = parser.parse_args()
    kinds = {"rendered columns": rendered_columns(args.count, args.seed)}
    if args.sets:
        kinds["tall words"] = tall_words(args.data_root, args.sets)
    print("| model | words | number | one look | re-read |\n| --- | --- | --- | --- | --- |")
    for model in args.models:
        once, again = Recognizer(model, reread_below=0), Recognizer(model)
        for kind, words in kinds.items():
            counts = (len(words), right(once, words), right(again, words))
            print(f"| {model} | {kind} | {' | '.join(map(str, counts))} |", flush=True)


if __name__ == "__main__":
    main()
