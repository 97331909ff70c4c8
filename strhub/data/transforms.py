"""A word's picture to what a model takes.

`picture_to_array` needs NumPy and Pillow only, so that every reader can share it; `WordTransform` makes torch tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

if TYPE_CHECKING:
    import torch

Augmentation = Callable[[Image.Image, np.random.Generator], Image.Image]


class Normalization(NamedTuple):
    """Mean and standard deviation of the colours, red, green, blue, each in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


NORMALIZATIONS = {
    "default": Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "clip": Normalization((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
}


def normalization(name: str) -> Normalization:
    """The preset of that name."""
    if name not in NORMALIZATIONS:
        raise ValueError(f"there is no normalisation {name!r}; known: {', '.join(NORMALIZATIONS)}")
    return NORMALIZATIONS[name]


def picture_to_array(
    picture: Image.Image, img_size: Sequence[int], normalize: Normalization
) -> npt.NDArray[np.float32]:
    """RGB picture of any size to a normalised array (3, H, W), resized bicubically with no regard to its aspect."""
    height, width = img_size
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(resized, dtype=np.float32)  # (H, W, 3), 0 to 255
    scale = np.float32(1 / 255) / np.asarray(normalize.std, dtype=np.float32)
    shift = np.asarray(normalize.mean, dtype=np.float32) / np.asarray(normalize.std, dtype=np.float32)
    return np.ascontiguousarray((pixels * scale - shift).transpose(2, 0, 1))


class WordTransform:
    """Picture to tensor: rotate, augment, resize, normalise.

    rotation: degrees counter-clockwise, the canvas expanded. augment: called with the picture and a generator.
    """

    def __init__(
        self,
        img_size: Sequence[int],
        *,
        augment: Augmentation | None = None,
        rotation: float = 0,
        normalize: str = "default",
    ) -> None:
        if len(img_size) != 2 or min(img_size) < 1:
            raise ValueError(f"img_size is [height, width] in pixels, not {list(img_size)}")
        self.img_size = (int(img_size[0]), int(img_size[1]))
        self.augment = augment
        self.rotation = rotation
        self.normalize = normalization(normalize)

    def __call__(self, picture: Image.Image, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Picture to (3, H, W). `rng` is what the augmentation draws from; without it, from fresh entropy."""
        import torch

        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
        if self.rotation:
            picture = picture.rotate(self.rotation, expand=True)
        if self.augment is not None:
            picture = self.augment(picture, rng if rng is not None else np.random.default_rng())
        return torch.from_numpy(picture_to_array(picture, self.img_size, self.normalize))
