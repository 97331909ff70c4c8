"""`torch.export` archives (.pt2): a program that PyTorch runs without this package, or compiles
ahead.

    program = torch.export.load("words.pt2")
    logits = program.module()(images)

A program has no loop that ends by what is read: step-by-step reading takes all of its steps,
whatever an image shows.
"""

from __future__ import annotations

import copy
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.export.generic import exported_program
from strhub.images.options import image_options
from strhub.inference.onnx_description import METADATA_KEY
from strhub.models.network import Network
from strhub.utils.files import replacing

DESCRIPTION = f"{METADATA_KEY}.json"  # beside the program in the archive


class AllSteps(nn.Module):
    """A network that never stops early."""

    def __init__(self, network: Network, steps: int) -> None:
        super().__init__()
        self.network, self.steps = network, steps

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to logits (B, L, C), with a constant L."""
        return self.network(images, self.steps)


def write_archive(model: SceneTextModel, description: Mapping[str, Any], path: Path) -> None:
    """Write a model and what is to be known of it, all or nothing. `ValueError` if it cannot be
    exported.
    """
    network = copy.deepcopy(model.model).eval().cpu().float()
    height, width = model.hparams["img_size"]
    program = exported_program(
        AllSteps(network, int(model.hparams["max_label_length"])),
        (height, width),
        any_width=image_options(model.hparams)["keep_aspect"],
    )
    extra = {DESCRIPTION: json.dumps(description, ensure_ascii=False)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()  # PyTorch's own writer ends the process where a disk is full
        torch.export.save(program, content, extra_files=extra)
        with replacing(path) as partial, partial.open("wb") as file:
            file.write(content.getbuffer())  # no name keeps the view, should the disk be full
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error


def largest_difference_of_archive(model: SceneTextModel, path: Path) -> float:
    """Return the largest difference of the archive's logits from the model's, over the steps that
    the model takes.
    """
    from strhub.export.checking import soft_noise

    module = torch.export.load(path).module()
    network = copy.deepcopy(model.model).eval().cpu().float()
    largest = 0.0
    for batch in (1, 3):
        images = soft_noise(batch, model.hparams["img_size"])
        with torch.inference_mode():
            expected = network(images)
        with torch.no_grad():
            found = module(images)
        largest = max(largest, float((found[:, : expected.shape[1]] - expected).abs().max()))
    return largest
