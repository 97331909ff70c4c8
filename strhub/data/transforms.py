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
Pixels = npt.NDArray[np.uint8]

COLUMN = 4  # widths of pictures that keep their aspect are multiples of so many pixels: the networks' columns


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


def augmentation(choice: bool | str | Augmentation | None) -> Augmentation | None:
    """What to distort training pictures with.

    Args:
        choice: None or False for nothing; True or 'default' for `RandAugment` as in the PARSeq paper; 'strong' for
            `SceneAugment`; or an augmentation of your own, which is returned as it is.

    Raises:
        ValueError: for another name.
    """
    if choice is None or choice is False:
        return None
    if choice is True or choice == "default":
        from strhub.data.augment import RandAugment

        return RandAugment()
    if choice == "strong":
        from strhub.data.scene import SceneAugment

        return SceneAugment()
    if isinstance(choice, str):
        raise ValueError(f"there is no augmentation {choice!r}; known: true or default, strong, false")
    return choice


def picture_to_pixels(picture: Image.Image, img_size: Sequence[int], *, spare: float | None = None) -> Pixels:
    """RGB picture of any size to pixels (H, W, 3), resized bicubically with no regard to its aspect.

    spare: first take means of whole pixels, where that leaves at least so many times `img_size`: several times as fast
    for large pictures, and the same to within a grey level or two.
    """
    height, width = img_size
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=spare))


def normalise(pixels: Pixels, normalize: Normalization) -> npt.NDArray[np.float32]:
    """Pixels (..., H, W, 3), 0 to 255, to normalised arrays (..., 3, H, W): of many pictures at once in least time."""
    planes = np.moveaxis(pixels, -1, -3)
    scale, shift = _scale_and_shift(normalize)
    result = np.empty(planes.shape, dtype=np.float32)
    np.multiply(planes, scale, out=result, dtype=np.float32)
    np.subtract(result, shift, out=result)
    return result


def picture_to_array(
    picture: Image.Image, img_size: Sequence[int], normalize: Normalization
) -> npt.NDArray[np.float32]:
    """RGB picture of any size to a normalised array (3, H, W), resized bicubically with no regard to its aspect."""
    return normalise(picture_to_pixels(picture, img_size), normalize)


def kept_width(size: tuple[int, int], img_size: Sequence[int]) -> int:
    """The width to which a picture of `size`, (width, height), is brought, in pixels: a multiple of 4.

    img_size: [height, greatest width]. A picture that would be wider than that is squeezed, one that would be narrower
    than it is high is stretched to a square.
    """
    height, widest = img_size
    columns = round(height * size[0] / size[1] / COLUMN)
    return min(max(columns, height // COLUMN), widest // COLUMN) * COLUMN


def picture_to_kept_pixels(picture: Image.Image, img_size: Sequence[int], *, spare: float | None = None) -> Pixels:
    """RGB picture to pixels (H, W, 3), H of `img_size` and W by `kept_width`; spare: see `picture_to_pixels`."""
    return picture_to_pixels(picture, (img_size[0], kept_width(picture.size, img_size)), spare=spare)


def picture_to_kept_array(
    picture: Image.Image, img_size: Sequence[int], normalize: Normalization
) -> npt.NDArray[np.float32]:
    """RGB picture to a normalised array (3, H, W), H of `img_size` and W by `kept_width`."""
    return normalise(picture_to_kept_pixels(picture, img_size), normalize)


def _scale_and_shift(normalize: Normalization) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What to multiply pixels of 0 to 255 by and what to subtract then, (3, 1, 1) each."""
    mean, std = (np.asarray(values, dtype=np.float32)[:, None, None] for values in normalize)
    return np.float32(1 / 255) / std, mean / std


class WordTransform:
    """Picture to tensor: rotate, augment, resize, normalise.

    rotation: degrees counter-clockwise, the canvas expanded. augment: a choice for `augmentation`; what it gives is
    called with the picture and a generator.
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

    def __call__(self, picture: Image.Image, rng: np.random.Generator | None = None) -> torch.Tensor:
        """Picture to (3, H, W). `rng` is what the augmentation draws from; without it, from fresh entropy."""
        return self.batch([picture], [rng if rng is not None else np.random.default_rng()])[0]

    def batch(self, pictures: Sequence[Image.Image], rngs: Sequence[np.random.Generator]) -> torch.Tensor:
        """B pictures with a generator each to (B, 3, H, W): what calling for each gives, in less time.

        Some tens of pictures are a good number: all of them are held in memory at full size.
        """
        import torch

        from strhub.data.augment import ArrayAugmentation, to_pixels

        pictures = [self._upright(picture) for picture in pictures]
        if not isinstance(self.augment, ArrayAugmentation):
            if self.augment is not None:
                pictures = [self.augment(picture, rng) for picture, rng in zip(pictures, rngs, strict=True)]
            arrays = [picture_to_array(picture, self.img_size, self.normalize) for picture in pictures]
            return torch.from_numpy(np.stack(arrays))
        # Step by step, not picture by picture: so each step's code is in the processor's cache for all but the first.
        copies = [to_pixels(picture) for picture in pictures]
        distorted = [self.augment.distort(pixels, rng) for pixels, rng in zip(copies, rngs, strict=True)]
        resized = torch.empty((len(pictures), 3, *self.img_size), dtype=torch.uint8)
        for place, pixels in zip(resized, distorted, strict=True):
            planes = torch.from_numpy(pixels).permute(2, 0, 1)[None]  # (1, 3, h, w)
            # Torch's is Pillow's to within a grey level, but for a few pixels in a thousand, in half the time.
            place.copy_(torch.nn.functional.interpolate(planes, self.img_size, mode="bicubic", antialias=True)[0])
        scale, shift = _scale_and_shift(self.normalize)
        return resized.float().mul_(torch.from_numpy(scale)).sub_(torch.from_numpy(shift))

    def _upright(self, picture: Image.Image) -> Image.Image:
        picture = picture if picture.mode == "RGB" else picture.convert("RGB")
        return picture.rotate(self.rotation, expand=True) if self.rotation else picture
