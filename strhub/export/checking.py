"""How far what was written is from the model that it was written from."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.images.options import image_options
from strhub.inference.onnx_description import IMAGES, LOGITS
from strhub.inference.onnx_session import open_session
from strhub.inference.reading import ImageArray


def largest_difference(model: SceneTextModel, path: str | Path) -> float:
    """Return the largest difference of the file's logits from the model's; see
    `largest_difference_of`.

    Needs onnxruntime.
    """
    session = open_session(path)
    return largest_difference_of(model, lambda images: session.run([LOGITS], {IMAGES: images})[0])


def largest_difference_of(
    model: SceneTextModel, compute: Callable[[ImageArray], ImageArray]
) -> float:
    """Return by how much other logits differ from the model's at most, on soft noise, one and three
    images at a time; infinity if a batch's number of steps differs.

    compute: images (B, 3, H, W) to logits (B, L, C), by another runtime.
    """
    network = copy.deepcopy(model.model).eval().cpu()
    height, width = model.hparams["img_size"]
    if image_options(model.hparams)["keep_aspect"]:
        width = min(width, 256)
    largest = 0.0
    for batch in (1, 3):
        images = soft_noise(batch, (height, width))
        with torch.inference_mode():
            expected = network(images).numpy()
        found = compute(images.numpy())
        if found.shape != expected.shape:
            return float("inf")
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest


def soft_noise(batch: int, img_size: Sequence[int]) -> Tensor:
    """Return images (B, 3, H, W) of clouds: smooth like photographs, since noise would make spatial
    transformers chaotic.
    """
    generator = torch.Generator().manual_seed(batch)
    coarse = torch.rand(batch, 3, 4, 16, generator=generator) * 2 - 1
    size = (int(img_size[0]), int(img_size[1]))
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic").clamp(-1, 1)
