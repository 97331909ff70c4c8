"""An image of a word to the tensor that a model takes, distorted on the way where that is asked
for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from strhub.images.preprocess import image_to_resized_array, normalization, scale_and_shift

if TYPE_CHECKING:
    import torch

Augmentation = Callable[[Image.Image, np.random.Generator], Image.Image]


def augmentation(choice: bool | str | Augmentation | None) -> Augmentation | None:
    """Return what to distort training images with.

    Args:
        choice: None or False for nothing; True or 'default' for `RandAugment` as in the PARSeq
            paper; 'strong' for `SceneAugment`; or an augmentation of your own, which is returned as
            it is.

    Raises:
        ValueError: for another name.
    """
    if choice is None or choice is False:
        return None
    if choice is True or choice == "default":
        from strhub.data.augment.operations import RandAugment

        return RandAugment()
    if choice == "strong":
        from strhub.data.augment.scene import SceneAugment

        return SceneAugment()
    if isinstance(choice, str):
        raise ValueError(
            f"there is no augmentation {choice!r}; known: true or default, strong, false"
        )
    return choice


class WordTransform:
    """Image to tensor: rotate, augment, resize, normalize.

    rotation: degrees counter-clockwise, the canvas expanded. augment: a choice for `augmentation`;
    what it gives is called with the image and a generator.
    """

    def __init__(
        self,
        img_size: Sequence[int],
        *,
        augment: bool | str | Augmentation | None = None,
        rotation: float = 0,
        normalize: str = "default",
    ) -> None:
        if len(img_size) != 2 or min(img_size) < 1:
            raise ValueError(f"img_size is [height, width] in pixels, not {list(img_size)}")
        self.img_size = (int(img_size[0]), int(img_size[1]))
        self.augment = augmentation(augment)
        self.rotation = rotation
        self.normalize = normalization(normalize)

    def __call__(self, source: Image.Image, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Map an image to (3, H, W). `rng` is what the augmentation draws from; by default fresh
        entropy.
        """
        return self.batch([source], [rng if rng is not None else np.random.default_rng()])[0]

    def batch(
        self, sources: Sequence[Image.Image], rngs: Sequence[np.random.Generator]
    ) -> torch.Tensor:
        """Map B images with a generator each to (B, 3, H, W): as calling for each, but in less
        time.

        Some tens of images are a good number: all of them are held in memory at full size.
        """
        import torch

        from strhub.data.augment.operations import ArrayAugmentation, to_pixels

        sources = [self._upright(source) for source in sources]
        if not isinstance(self.augment, ArrayAugmentation):
            if self.augment is not None:
                sources = [
                    self.augment(source, rng) for source, rng in zip(sources, rngs, strict=True)
                ]
            arrays = [
                image_to_resized_array(source, self.img_size, self.normalize) for source in sources
            ]
            return torch.from_numpy(np.stack(arrays))
        # Step by step, not image by image: so each step's code is in the processor's cache for all
        # but the first.
        copies = [to_pixels(source) for source in sources]
        distorted = [
            self.augment.distort(pixels, rng) for pixels, rng in zip(copies, rngs, strict=True)
        ]
        resized = torch.empty((len(sources), 3, *self.img_size), dtype=torch.uint8)
        for row, pixels in zip(resized, distorted, strict=True):
            planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (1, 3, h, w)
            # Torch's is Pillow's to within a gray level, but for a few pixels in a thousand, in
            # half the time.
            row.copy_(
                torch.nn.functional.interpolate(
                    planes, self.img_size, mode="bicubic", antialias=True
                )[0]
            )
        scale, shift = scale_and_shift(self.normalize)
        return resized.float().mul_(torch.from_numpy(scale)).sub_(torch.from_numpy(shift))

    def _upright(self, source: Image.Image) -> Image.Image:
        source = source if source.mode == "RGB" else source.convert("RGB")
        return source.rotate(self.rotation, expand=True) if self.rotation else source
