"""Images of what a PARSeq looks at: one tile a character, the brighter the more it attends there.

In: a model and images. Out: readings, attention as arrays, and drawings. Needs Pillow alone beside
    torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.images.open import UnreadableImage, open_image
from strhub.images.options import image_options, image_to_array
from strhub.models.parseq.attention import read_with_attention
from strhub.models.parseq.model import PARSeq

_TILE_HEIGHT, _LABEL_HEIGHT, _GAP = 96, 26, 6  # pixels
_LONGEST_ROW = 9  # tiles beside each other
_BACKGROUND, _INK = (255, 255, 255), (20, 20, 20)
# From dark to bright: what is attended to stands out on photographs of any color.
_COLORS = np.array(
    [(10, 10, 45), (95, 20, 110), (200, 55, 70), (250, 150, 35), (252, 250, 165)], dtype=np.float64
)


class Attended(NamedTuple):
    """What was read in an image and where.

    source: as given; picture: RGB, None if it could not be read; characters: the text, then [E]
        where it was read;
    confidence: of the text; maps: (len(characters), H', W'), shares on the patches' grid.
    """

    source: str
    original: Image.Image | None
    text: str
    confidence: float
    maps: npt.NDArray[np.float32]
    error: str | None = None


def attend(
    model: SceneTextModel,
    sources: Sequence[str | Path | Image.Image],
    device: torch.device | str = "cpu",
) -> Iterator[Attended]:
    """Read images one by one, with attention. `ValueError` for a model that is no PARSeq."""
    if not isinstance(model.model, PARSeq):
        raise ValueError(
            f"attention can only be shown for PARSeq models, and this is a "
            f"{model.hparams['architecture']}"
        )
    options = image_options(model.hparams)
    model.eval().to(device)
    for source in sources:
        try:
            original = open_image(source)
        except UnreadableImage as error:
            yield Attended(str(source), None, "", 0.0, np.zeros((0, 1, 1), np.float32), str(error))
            continue
        image = torch.from_numpy(image_to_array(original, options)).unsqueeze(0).to(device)
        logits, maps = read_with_attention(model.model, image)
        ((text, confidence, *_),) = model.decoding(logits.float())
        shown = min(len(text) + 1, maps.shape[1])  # [E] as well
        yield Attended(
            str(source), original, text, confidence, maps[0, :shown].float().cpu().numpy()
        )


def draw(attended: Attended) -> Image.Image:
    """Return the image, then a tile for each character and one for the end, with what was attended
    to.
    """
    if attended.original is None:
        raise ValueError(f"{attended.source} could not be read: {attended.error}")
    width, height = attended.original.size
    tile = (min(2 * _TILE_HEIGHT, max(40, round(_TILE_HEIGHT * width / height))), _TILE_HEIGHT)
    original = attended.original.resize(tile, Image.Resampling.BICUBIC)
    titles = [f"{attended.text} {attended.confidence:.2f}", *attended.text, "[E]"]
    tiles = [original, *(_overlay(original, fractions) for fractions in attended.maps)]
    per_row = min(_LONGEST_ROW, len(tiles))
    rows = -(-len(tiles) // per_row)
    step = (tile[0] + _GAP, tile[1] + _LABEL_HEIGHT + _GAP)
    sheet = Image.new("RGB", (per_row * step[0] + _GAP, rows * step[1] + _GAP), _BACKGROUND)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    for number, (title, image) in enumerate(zip(titles, tiles, strict=False)):
        left, top = _GAP + number % per_row * step[0], _GAP + number // per_row * step[1]
        sheet.paste(image, (left, top))
        text = title
        while pen.textlength(text, font=font) > tile[0] and len(text) > 2:
            text = text[:-2] + "…"
        pen.text(
            (left + tile[0] / 2, top + tile[1] + _LABEL_HEIGHT / 2),
            text,
            fill=_INK,
            font=font,
            anchor="mm",
        )
    return sheet


def _overlay(original: Image.Image, fractions: npt.NDArray[np.float32]) -> Image.Image:
    """Lay shares (H', W') over a gray image, scaled so that the largest is brightest."""
    scaled = fractions / max(float(fractions.max()), 1e-9)
    smooth = Image.fromarray(scaled.astype(np.float32)).resize(
        original.size, Image.Resampling.BILINEAR
    )
    heat = np.clip(np.asarray(smooth, dtype=np.float64), 0, 1)[..., None]  # (H, W, 1)
    position = heat[..., 0] * (len(_COLORS) - 1)
    below = np.minimum(position.astype(int), len(_COLORS) - 2)
    colors = _COLORS[below] + (_COLORS[below + 1] - _COLORS[below]) * (position - below)[..., None]
    gray = np.asarray(original.convert("L"), dtype=np.float64)[..., None]
    mixed = (0.45 + 0.25 * heat) * colors + (0.55 - 0.25 * heat) * gray
    return Image.fromarray(mixed.round().clip(0, 255).astype(np.uint8))
