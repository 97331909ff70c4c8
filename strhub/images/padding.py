"""Batches of images of one height and different widths."""

from __future__ import annotations

from collections.abc import Sequence

import torch

# widths of batches are multiples of this many pixels, so that there are fewer different ones
BUCKET = 16


def pad(images: Sequence[torch.Tensor]) -> torch.Tensor:
    """Pad images (3, H, W) of one height to (B, 3, H, widest), on the right, with NaN, to a
    multiple of 16.

    If all have the same width, that is the width of the batch.
    """
    widths = [image.shape[-1] for image in images]
    if len(set(widths)) == 1:
        return torch.stack(list(images))
    widest = -(-max(widths) // BUCKET) * BUCKET
    padded = torch.full((len(images), *images[0].shape[:2], widest), float("nan"))
    for row, image in zip(padded, images, strict=True):
        row[..., : image.shape[-1]] = image
    return padded
