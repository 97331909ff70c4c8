"""What a model takes of an image: its size, whether its aspect is kept, its normalization. The one
place that says so.

In: a model's hyper-parameters, or an exported file's description. Out: keyword arguments for every
data module, transform, benchmark and tool that prepares images for that model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
from PIL import Image

from strhub.images.preprocess import image_to_kept_array, image_to_resized_array, normalization


class ImageOptions(TypedDict):
    """img_size: [height, width] in pixels, the width the greatest one if the aspect is kept;
    normalize: a preset.
    """

    img_size: tuple[int, int]
    keep_aspect: bool
    normalize: str


def image_options(hparams: Mapping[str, Any]) -> ImageOptions:
    """Return what a model of these hyper-parameters takes of its images.

    Missing ones stand for what models had before there was a choice: no aspect kept, to [-1, 1].
    Raises `KeyError` without `img_size`.
    """
    height, width = hparams["img_size"]
    return ImageOptions(
        img_size=(int(height), int(width)),
        keep_aspect=bool(hparams.get("keep_aspect", False)),
        normalize=str(hparams.get("normalize", "default")),
    )


def image_to_array(image: Image.Image, options: ImageOptions) -> npt.NDArray[np.float32]:
    """Return an RGB image of any size as the array (3, H, W) that a model of these options
    takes.
    """
    to_array = image_to_kept_array if options["keep_aspect"] else image_to_resized_array
    return to_array(image, options["img_size"], normalization(options["normalize"]))
