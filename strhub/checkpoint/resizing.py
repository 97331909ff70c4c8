"""Which axes of a table grow, and grids and kernels in another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from strhub.checkpoint.scene_text_model import build_network

Grid = tuple[int, int]


# Parameter names to the axes that grow with something.
Axes = Mapping[str, Sequence[int]]


def growing_axes(hparams: Mapping[str, Any], **change: Any) -> Axes:
    """Return the axes whose size other hyper-parameters change, by the names of parameters that
    have such.
    """
    with torch.random.fork_rng(devices=[]):
        before, after = (
            build_network({**hparams, **options}).state_dict() for options in ({}, change)
        )
    return {
        name: [
            axis
            for axis, sizes in enumerate(zip(tensor.shape, after[name].shape, strict=True))
            if len({*sizes}) > 1
        ]
        for name, tensor in before.items()
        if name in after and after[name].shape != tensor.shape
    }


def character_tables(hparams: Mapping[str, Any]) -> Axes:
    """Return the parameters of a model that have a row or column for each character, with the
    axes.
    """
    charset = hparams["charset_train"]
    unused = next(chr(code) for code in range(0x4E00, 0x9FFF) if chr(code) not in charset)
    return growing_axes(hparams, charset_train=charset + unused)


def resize_grid(positions: Tensor, before: Grid, after: Grid) -> Tensor:
    """Map positions (rows * columns, D) of one grid to another, bicubic. The same grid gives the
    same numbers.
    """
    if before == after:
        return positions
    image = positions.float().T.unflatten(1, before).unsqueeze(0)  # (1, D, rows, columns)
    image = F.interpolate(image, size=after, mode="bicubic", align_corners=False, antialias=True)
    return image.squeeze(0).flatten(1).T.to(positions)


def resize_patch_kernel(kernel: Tensor, size: Grid) -> Tensor:
    """Return a kernel (D, C, h, w) for patches of another size: it sees a patch as the old one sees
    that patch resized.
    """
    before = (kernel.shape[2], kernel.shape[3])
    pixels = (
        torch.eye(size[0] * size[1]).unflatten(1, size).unsqueeze(0)
    )  # (1, h' * w', h', w'): one lit in each
    resized = F.interpolate(
        pixels, size=before, mode="bicubic", align_corners=False, antialias=True
    )
    weights = (
        kernel.float().flatten(2) @ resized[0].flatten(1).T
    )  # (D, C, h * w) by (h * w, h' * w')
    return weights.unflatten(2, size).to(kernel)
