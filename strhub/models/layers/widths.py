"""Images of any width, padded to few different ones: what networks that keep an image's aspect
share.

The narrower images of a batch are padded on the right with NaN, which is no color (see
`strhub.images.padding`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

# pixels; the published weights read narrower images worse than padded ones
LEAST_WIDTH: Final = 160
# pixels; widths are padded to multiples of it, so that there are fewer different ones
WIDTH_STEP: Final = 32


def padded_width(width: int) -> int:
    """Return the width in pixels to which an image of `width` is padded: at least 160, a multiple
    of 32.
    """
    least: int = torch.sym_max(LEAST_WIDTH, width)  # as max, but an exported program keeps it open
    return (least + WIDTH_STEP - 1) // WIDTH_STEP * WIDTH_STEP


def image_widths(images: Tensor) -> list[int]:
    """Return the width of each image (B, 3, H, W), less its padding of NaN."""
    widths: list[int] = (~images[:, 0, 0].isnan()).sum(1).tolist()
    return widths


def pad_columns(images: Tensor) -> Tensor:
    """Return images (B, 3, H, W) with zeros on the right, up to `padded_width`."""
    width = images.shape[3]
    return F.pad(images, (0, padded_width(width) - width))


def group_by_width(images: Tensor) -> Iterator[tuple[list[int], Tensor]]:
    """Yield the indices of images (B, 3, H, W) that are padded to one width, and those images with
    zeros up to it.
    """
    widths = [padded_width(width) for width in image_widths(images)]
    for width in sorted({*widths}):
        group = [index for index, own in enumerate(widths) if own == width]
        yield group, pad_columns(images[group, ..., :width].nan_to_num(0.0))
