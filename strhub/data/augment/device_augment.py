"""Random distortions of whole batches on the device that trains: light, lens and view, in a few
large operations.

In: normalized images (B, 3, H, W) and a generator of their device. Out: as many of the same size.
For a fast device that `strhub.data.augment.operations`, an image at a time on the CPU, cannot feed.
It is no RandAugment: geometry stays within the canvas, since the images have their final size
    already.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

MAX_ROTATION = math.radians(12)
MAX_SHEAR = 0.35  # columns sideways a row down, as fractions of the half width and the half height
MAX_SCALE = 0.15
MAX_SHIFT = 0.08  # of half a side
MAX_PERSPECTIVE = 0.12  # change of scale from one edge to the other
MAX_CONTRAST = 0.6  # factors of 0.4 to 1.6
MAX_BRIGHTNESS = 0.4  # deviations
MAX_TINT = 0.25  # deviations, each color by itself
MAX_BLUR = 1.5  # standard deviation in pixels
MAX_NOISE = 0.3  # deviations
TAPS = 7  # of the blur


class BatchAugmentation:
    """Distort each image of a batch in some of four ways, each with its probability.

    strength: 0 leaves images as they are, 1 goes to the limits above. probability: of each way.
    """

    def __init__(self, *, strength: float = 1.0, probability: float = 0.5) -> None:
        for name, value in (("strength", strength), ("probability", probability)):
            if not 0 <= value <= 1:
                raise ValueError(
                    f"{name} of the batch augmentation is {value}: it must lie in [0, 1]"
                )
        self.strength, self.probability = strength, probability

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Distort images (B, 3, H, W), normalized; `generator` is on their device."""
        if not len(images):
            return images
        random = _BatchRandom(images, generator, self.strength, self.probability)
        return _add_noise(
            _blur(_change_light(_distort_perspective(images, random), random), random), random
        )


class _BatchRandom:
    """Random numbers of each image of a batch: 0 for the images that a way is not applied to."""

    def __init__(
        self, images: Tensor, generator: Generator, strength: float, probability: float
    ) -> None:
        self.count, self.device, self.dtype = len(images), images.device, images.dtype
        self.generator, self.strength, self.probability = generator, strength, probability

    def uniform(self, *shape: int) -> Tensor:
        """Draw numbers (B, *shape) in [-1, 1)."""
        return 2 * torch.rand(self.count, *shape, generator=self.generator, device=self.device) - 1

    def chosen(self) -> Tensor:
        """Return (B), `strength` for the images that are chosen and 0 for the others."""
        return self.strength * ((self.uniform() + 1) / 2 < self.probability)

    def normal_like(self, images: Tensor) -> Tensor:
        """Draw standard normal noise of the shape of `images`."""
        return torch.randn(
            images.shape, generator=self.generator, device=self.device, dtype=images.dtype
        )


def _distort_perspective(images: Tensor, random: _BatchRandom) -> Tensor:
    """Rotate, shear, scale, shift and tilt images in perspective; outside of an image its edge is
    repeated.
    """
    chosen = random.chosen()
    turn, shear, wide, high, right, down, tilt_x, tilt_y = (
        random.uniform(8) * chosen[:, None]
    ).unbind(1)
    height, width = images.shape[-2:]
    rows = torch.linspace(-1, 1, height, device=images.device)[None, :, None]  # (1, H, 1)
    columns = torch.linspace(-1, 1, width, device=images.device)[None, None, :]  # (1, 1, W)

    def each(values: Tensor) -> Tensor:
        return values[:, None, None]  # (B) -> (B, 1, 1)

    aspect = width / height
    cosine, sine = each(torch.cos(MAX_ROTATION * turn)), each(torch.sin(MAX_ROTATION * turn))
    x = columns * cosine - rows * sine / aspect + each(MAX_SHEAR * shear) * rows
    y = columns * sine * aspect + rows * cosine
    depth = 1 + each(MAX_PERSPECTIVE * tilt_x) * columns + each(MAX_PERSPECTIVE * tilt_y) * rows
    x = x * (1 + each(MAX_SCALE * wide)) / depth + each(MAX_SHIFT * right)
    y = y * (1 + each(MAX_SCALE * high)) / depth + each(MAX_SHIFT * down)
    grid = torch.stack([x, y], dim=-1).to(images.dtype)  # (B, H, W, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def _change_light(images: Tensor, random: _BatchRandom) -> Tensor:
    """Change the contrast about the image's mean, the brightness and the tint."""
    chosen = random.chosen()[:, None]
    factors, tint = random.uniform(2) * chosen, random.uniform(3) * chosen
    contrast = (1 + MAX_CONTRAST * factors[:, :1])[..., None, None]  # (B, 1, 1, 1)
    shift = (MAX_BRIGHTNESS * factors[:, 1:] + MAX_TINT * tint)[..., None, None]  # (B, 3, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * contrast.to(images.dtype) + shift.to(images.dtype)


def _blur(images: Tensor, random: _BatchRandom) -> Tensor:
    """Blur images by a Gaussian, of another width for each; those not chosen stay exactly as they
    are.
    """
    chosen = random.chosen()
    deviation = MAX_BLUR * chosen * (random.uniform() + 1) / 2  # (B)
    offsets = torch.arange(TAPS, device=images.device) - TAPS // 2
    kernel = torch.exp(-0.5 * (offsets / deviation.clamp(min=0.05)[:, None]) ** 2)  # (B, TAPS)
    kernel = (
        (kernel / kernel.sum(1, keepdim=True)).to(images.dtype).repeat_interleave(3, dim=0)
    )  # (B * 3, TAPS)
    count, _, height, width = images.shape
    planes = F.pad(images, [TAPS // 2] * 4, mode="replicate").view(
        1, count * 3, height + TAPS - 1, width + TAPS - 1
    )
    planes = F.conv2d(planes, kernel[:, None, :, None], groups=count * 3)
    planes = F.conv2d(planes, kernel[:, None, None, :], groups=count * 3)
    return torch.where(chosen[:, None, None, None] > 0, planes.view_as(images), images)


def _add_noise(images: Tensor, random: _BatchRandom) -> Tensor:
    """Add normal noise, of another amplitude for each image."""
    level = MAX_NOISE * random.chosen() * (random.uniform() + 1) / 2
    return images + level[:, None, None, None].to(images.dtype) * random.normal_like(images)
