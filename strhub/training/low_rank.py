"""Low-rank changes to linear layers, learned in place of their weights (LoRA: Hu et al. 2022).

The layers stay where they are and keep their names. Whoever asks for their weights, be it a
checkpoint, the average or `strhub.save`, gets them with the change merged in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn

from strhub.errors import ConfigError
from strhub.models.layers.vision_transformer import BlockStack
from strhub.training.fine_tuning import Layer

# What autocast computes in 16 bits, so that it makes no difference that the weights are: all else,
# such as norms, needs float32.
_HELD_IN_HALF = (nn.Linear, nn.modules.conv._ConvNd)

__all__ = ["LowRank", "compute_in_half", "low_rank_changes", "recompute_blocks"]


class LowRank(nn.Module):
    """To each layer's output for x it adds up @ down @ x, which is zero at first.

    The layers' own weights are saved besides, as one tensor, so that a run resumes exactly.
    """

    def __init__(self, layers: Sequence[nn.Linear], rank: int) -> None:
        super().__init__()
        self._layers = [*layers]  # a list, so that they are no parts of this one
        self.down = nn.ParameterList(
            torch.randn(rank, layer.in_features) * layer.in_features**-0.5 for layer in layers
        )
        self.up = nn.ParameterList(torch.zeros(layer.out_features, rank) for layer in layers)
        for number, layer in enumerate(layers):
            layer.register_forward_hook(partial(self._add, number))
            layer.register_state_dict_post_hook(partial(self._merge, number))

    def _add(self, number: int, layer: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        return output + args[0] @ self.down[number].T @ self.up[number].T

    def _merge(
        self, number: int, layer: nn.Module, state: dict[str, Any], prefix: str, _: Any
    ) -> None:
        change = self.up[number].detach() @ self.down[number].detach()
        state[f"{prefix}weight"] = state[f"{prefix}weight"] + change

    def get_extra_state(self) -> Tensor:
        """Return the layers' own weights, (N)."""
        return torch.cat([layer.weight.detach().flatten() for layer in self._layers])

    def set_extra_state(self, state: Tensor) -> None:
        """Give the layers, which have been loaded with the change merged in, their own weights."""
        sizes = [layer.weight.numel() for layer in self._layers]
        with torch.no_grad():
            for layer, weight in zip(self._layers, state.split(sizes), strict=True):
                layer.weight.copy_(weight.view_as(layer.weight))


def low_rank_changes(encoder: Sequence[Layer], rank: int) -> LowRank:
    """Return low-rank changes to an encoder, whose own parameters learn no more; `ConfigError` if
    it has no linear layer.
    """
    for layer in encoder:
        layer.learn(False)
    modules = [one for layer in encoder for part in layer.modules for one in part.modules()]
    linear = [one for one in modules if type(one) is nn.Linear]  # others are not called as such
    if not linear:
        raise ConfigError(
            "finetune.lora_rank: the encoder has no linear layer that could be changed: leave it "
            "out"
        )
    return LowRank(linear, rank)


def recompute_blocks(network: nn.Module) -> None:
    """Recompute a network's transformer blocks for the backward pass; `ConfigError` if it has
    none.
    """
    able = [one for one in network.modules() if isinstance(one, BlockStack)]
    if not able:
        raise ConfigError(
            "finetune.recompute: the model has no blocks of a vision transformer: leave it out"
        )
    for one in able:
        one.recompute = True


def compute_in_half(encoder: Sequence[Layer]) -> None:
    """Let a frozen encoder compute in bfloat16, and hold the weights of its linear layers and
    convolutions in it. It returns float32, and its state is float32, rounded.
    """
    for layer in encoder:
        layer.learn(False)
        for module in layer.modules:
            module.forward = _in_half(module.forward)
            for part in module.modules():
                if isinstance(part, _HELD_IN_HALF):
                    part.to(torch.bfloat16)
                    part.register_state_dict_post_hook(_as_float32)  # type: ignore[no-untyped-call]


def _as_float32(module: nn.Module, state: dict[str, Any], prefix: str, _: dict[str, Any]) -> None:
    """Give a module's weights in a state dictionary the type that others have."""
    for name, tensor in module.named_parameters(recurse=False):
        state[prefix + name] = tensor.detach().float()


def _in_half(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @wraps(forward)
    def computed(images: Tensor, *args: Any) -> Tensor:
        with torch.no_grad(), torch.autocast(images.device.type, torch.bfloat16):
            return forward(images, *args).float()

    return computed
