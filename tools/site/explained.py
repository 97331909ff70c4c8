"""Figures of CTC, the contrastive objective, calibration and re-reading, as the code makes them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import strhub
from strhub.clip.contrastive import hidden_words
from strhub.clip.words import fold, word_keys
from strhub.data.module import SceneTextDataModule
from strhub.images.options import image_options
from strhub.inference.rectification import other_views
from strhub.inference.stacked_letters import side_by_side
from strhub.text.correction import CALIBRATION, Calibration

ROOT = Path(__file__).resolve().parents[2]
INK, LINE, SEES, WARM = "#607d8b", "#b0bec5", "#00897b", "#ef6c00"
FONT = ROOT / "strhub" / "data" / "synth" / "fonts" / "Arimo-Bold.ttf"


def svg(width: int, height: int, body: str) -> str:
    """Return a figure of so many pixels."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" font-family="sans-serif" font-size="13" fill="{INK}">{body}</svg>\n'
    )


def text(x: float, y: float, content: str, *, anchor: str = "middle", more: str = "") -> str:
    """Return a piece of text whose baseline is at y."""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {more}>{content}</text>'


def ctc() -> str:
    """Return what strhub-small reads in each column of a demo image, and the text of it."""
    path = ROOT / "demo_images" / "01.png"
    model = strhub.load("strhub-small")
    transform = SceneTextDataModule.get_transform(**image_options(model.hparams))
    image = transform(Image.open(path).convert("RGB")).unsqueeze(0)  # (1, 3, H, W)
    with torch.inference_mode():
        columns = model(image)[0].argmax(-1).tolist()  # ids, 0 = blank
    characters = ["", *model.hparams["charset_train"]]
    cell, left, top = 32, 20, 30
    across = round(image.shape[3] / 8 * cell)
    high = round(across * image.shape[2] / image.shape[3])
    encoded = base64.b64encode(path.read_bytes()).decode("ascii")
    parts = [
        text(left, 18, "the image, and a column of features every 8 pixels", anchor="start"),
        f'<image x="{left}" y="{top}" width="{across}" height="{high}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{encoded}"/>',
    ]
    y = top + high + 8
    for index, identity in enumerate(columns):
        x = left + index * cell
        style = f'fill="{SEES}"' if identity else f'fill="none" stroke="{LINE}"'
        parts.append(
            f'<rect x="{x + 1}" y="{y}" width="{cell - 2}" height="{cell - 2}" rx="3" {style}/>'
        )
        if identity:
            name = characters[identity]
            parts.append(text(x + cell / 2, y + 20, name, more='fill="#fff" font-weight="bold"'))
    runs = [(identity, len(list(run))) for identity, run in groupby(columns)]
    start = 0
    for identity, length in runs:
        if identity:
            middle = left + (start + length / 2) * cell
            parts.append(text(middle, y + 62, characters[identity], more='font-size="22"'))
        start += length
    parts.append(text(left, y + 92, "empty: the blank, no character here", anchor="start"))
    return svg(left * 2 + len(columns) * cell, y + 104, "".join(parts))


LABELS = ("Cafe", "cafe", "open", "exit")
READ = ("Cate", "cafe", "open", "edit")


def contrastive() -> str:
    """Return which words an image of a batch is compared with: its own, others, and what was
    misread.
    """
    keys = word_keys(LABELS)
    count = len(LABELS)
    hidden = hidden_words(
        keys, keys, torch.ones(count, dtype=torch.bool), torch.arange(count)
    ).tolist()
    misread = [
        bool(said) and fold(said) != fold(label) for said, label in zip(READ, LABELS, strict=True)
    ]
    cell, left, top = 56, 120, 62
    parts = [text(left + count * cell / 2, 18, "words of the batch", more='font-weight="bold"')]
    own = left + count * cell + 76
    parts.append(text(own + cell / 2, 18, "as misread", more='font-weight="bold"'))
    for row, label in enumerate(LABELS):
        parts.append(text(left + row * cell + cell / 2, top - 10, label))
        parts.append(text(left - 10, top + row * cell + 32, f"image of {label}", anchor="end"))
        for column in range(count):
            kind = (
                "own" if row == column else "left out" if hidden[row][column] else "held against it"
            )
            parts.append(_cell(left + column * cell, top + row * cell, cell, kind))
        kind = "held against it" if misread[row] else "left out"
        parts.append(_cell(own, top + row * cell, cell, kind))
        if misread[row]:
            middle = top + row * cell + 32
            parts.append(text(own + cell / 2, middle, READ[row], more='fill="#fff"'))
    y = top + count * cell + 30
    for x, kind, caption in (
        (left, "own", "its own word"),
        (left + 130, "held against it", "held against it"),
        (left + 270, "left out", "left out"),
    ):
        parts.append(_cell(x, y - 16, 22, kind))
        parts.append(text(x + 28, y, caption, anchor="start"))
    return svg(own + cell + 30, y + 16, "".join(parts))


def _cell(x: int, y: int, size: int, kind: str) -> str:
    style = {
        "own": f'fill="{SEES}"',
        "held against it": f'fill="{WARM}"',
        "left out": f'fill="none" stroke="{LINE}"',
    }[kind]
    return f'<rect x="{x + 2}" y="{y + 2}" width="{size - 4}" height="{size - 4}" rx="3" {style}/>'


def calibration() -> str:
    """Return how sure strhub-small calls a text, by how sure the network is and what text it is."""
    calibrated = Calibration.of(strhub.load("strhub-small").hparams)
    assert calibrated != Calibration(), f"{CALIBRATION} is missing"
    side, left, top = 300, 60, 20
    parts = [
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="{LINE}"/>',
        f'<path d="M{left} {top + side} L{left + side} {top}" stroke="{LINE}" '
        'stroke-dasharray="4 4"/>',
    ]
    for part in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(text(left + part * side, top + side + 18, f"{part:g}"))
        parts.append(text(left - 8, top + (1 - part) * side + 4, f"{part:g}", anchor="end"))
    parts.append(text(left + side / 2, top + side + 40, "probability by the network"))
    parts.append(
        f'<text transform="translate(16 {top + side / 2:.0f}) rotate(-90)" '
        'text-anchor="middle">confidence</text>'
    )
    kinds = (("exit", SEES, "an English word"), ("exlt", WARM, "another text"), ("x", INK, "x"))
    for index, (content, color, name) in enumerate(kinds):
        steps = np.linspace(0.01, 0.99, 50)
        points = " ".join(
            f"{left + step * side:.0f},{top + (1 - calibrated(float(step), content)) * side:.0f}"
            for step in steps
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2.5"/>'
        )
        y = top + 30 + 26 * index
        x = left + side + 24
        parts.append(
            f'<path d="M{x} {y - 4} h24" stroke="{color}" stroke-width="2.5"/>'
            + text(x + 32, y, name if name != "x" else "a single character", anchor="start")
        )
    return svg(left + side + 190, top + side + 52, "".join(parts))


def rereading() -> Image.Image:
    """Return a steep word and the views of it that are read when the first reading is in doubt."""
    word = Image.open(ROOT / "demo_images" / "04.png").convert("RGB")
    border = tuple(int(value) for value in np.asarray(word)[[0, -1]].reshape(-1, 3).mean(0))
    steep = word.rotate(30, Image.Resampling.BICUBIC, expand=True, fillcolor=border)
    views = list(other_views(steep, len("CHOICE"), height=32))
    named = ["as it is", "closer", "wider", "made level: turned", "made level: sheared"]
    return _sheet([steep, *(view.image for view in views)], named)


def stacked() -> Image.Image:
    """Return words of letters one above the other, and each of them laid side by side."""
    images, titles = [], []
    for word, name in (("HOTEL", "Cinzel-Bold"), ("PARKING", "BebasNeue-Regular")):
        image = Image.new("RGB", (64, 58 * len(word)), "#37474f" if images else "#8d2b22")
        font = ImageFont.truetype(str(FONT.with_name(f"{name}.ttf")), 52)
        for number, letter in enumerate(word):
            place = (32, 29 + 58 * number)
            ImageDraw.Draw(image).text(place, letter, font=font, fill="#fff3e0", anchor="mm")
        column = side_by_side(image, height=48)
        assert column is not None
        images += [image, column.image]
        titles += ["as it is", f"{column.letters} letters side by side"]
    return _sheet(images, titles)


def _sheet(images: Sequence[Image.Image], titles: Sequence[str]) -> Image.Image:
    width, height, room = 230, 150, 34
    sheet = Image.new("RGB", (len(titles) * (width + 16) + 16, height + room + 16), "#eceff1")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(FONT), 18)
    for index, (image, title) in enumerate(zip(images, titles, strict=True)):
        ratio = min(width / image.width, height / image.height)
        size = (round(image.width * ratio), round(image.height * ratio))
        x = 16 + index * (width + 16)
        draw.text((x, 10), title, font=font, fill="#455a64")
        sheet.paste(image.resize(size, Image.Resampling.BICUBIC), (x, room + (height - size[1])))
    return sheet
