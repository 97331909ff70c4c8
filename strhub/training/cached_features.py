"""A frozen encoder is run once an image: training goes on from its stored features.

In: a system whose encoder is frozen for good, and the data of its run. Out: a store of features
(`strhub.data.loading.features`) that belongs to the encoder's weights and the data, which the data
then deals out in place of images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from strhub.errors import ConfigError
from strhub.models.layers.widths import image_widths
from strhub.models.network import Network
from strhub.training.systems.base import System

__all__ = ["UsesFeatures", "cache_features", "compute_features", "weights_hash"]


@runtime_checkable
class UsesFeatures(Protocol):
    """Data whose training images can give way to features of them."""

    def use_features(
        self,
        folder: Path,
        compute: Callable[[Sequence[Tensor]], list[Tensor]],
        *,
        views: int,
        made_of: Mapping[str, Any],
    ) -> None:
        """Find the features of all training images in a folder, or compute them, and deal them out.

        made_of: what they depend on beside the images, by name; `ConfigError` if it has changed.
        """


def cache_features(system: System, data: object, device: torch.device | str = "cpu") -> None:
    """Compute the features of a run's training images, or find them on the disk, and let the data
    deal them out.

    system: with the weights that its encoder keeps. device: where to compute them.
    Raises `ConfigError` for what can't be cached, and for a folder with features of something else.
    """
    options = system.fine_tuning
    if not isinstance(data, UsesFeatures):
        raise ConfigError(
            f"finetune.cache_features: {type(data).__name__} has no words by number: leave it out"
        )
    for layer in system.encoder():
        layer.learn(False)
    network, half = system.model.to(device), bool(options.frozen_half)
    before = network.training
    data.use_features(
        Path(str(options.cache_features)),
        lambda images: compute_features(network.eval(), images, half=half),
        views=options.cache_views or 1,
        made_of={"the encoder's weights": weights_hash(system), "finetune.frozen_half": half},
    )
    network.train(before).to("cpu")


@torch.no_grad()
def compute_features(
    network: Network, images: Sequence[Tensor], *, half: bool = False
) -> list[Tensor]:
    """Return the features (N, D) that a network's trunk makes of images (3, H, W), padded on the
    right or not: of each as if it were alone.

    half: compute in bfloat16. Raises `ConfigError` if the network has no trunk.
    """
    device = next(network.parameters()).device
    own = image_widths(torch.stack([*images])) if _same_shape(images) else None
    ready = [
        _padded(image if own is None else image[..., : own[number]], network.padding)
        for number, image in enumerate(images)
    ]
    by_width: dict[int, list[int]] = {}
    for number, image in enumerate(ready):
        by_width.setdefault(image.shape[-1], []).append(number)
    found: dict[int, Tensor] = {}
    precision = torch.autocast(device.type, torch.bfloat16) if half else nullcontext()
    for numbers in by_width.values():
        with precision:
            features = network.trunk(torch.stack([ready[n] for n in numbers]).to(device))
        if features is None or features.ndim != 3:
            raise ConfigError(
                f"finetune.cache_features: {type(network).__name__} with this encoder cannot go on "
                "from stored features: leave it out"
            )
        found |= dict(zip(numbers, features.float().cpu(), strict=True))
    return [found[number] for number in range(len(images))]


def weights_hash(system: System) -> str:
    """Return a hash of the weights and statistics of a system's encoder."""
    digest = hashlib.sha256()
    for layer in system.encoder():
        tensors: list[Tensor] = list(layer.own)
        for module in layer.modules:
            tensors += [*module.state_dict().values()]
        for tensor in tensors:
            digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
            numbers = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
            digest.update(numbers.numpy().tobytes())
    return digest.hexdigest()


def _same_shape(images: Sequence[Tensor]) -> bool:
    return len({image.shape for image in images}) == 1


def _padded(image: Tensor, padding: tuple[int, int] | None) -> Tensor:
    """Return an image (3, H, W) with zeros up to the width that the network takes it with."""
    if padding is None:
        return image
    least, step = padding
    width = -(-max(least, image.shape[-1]) // step) * step
    return F.pad(image.nan_to_num(0.0), (0, width - image.shape[-1]))
