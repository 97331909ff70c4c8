"""Low-rank changes to linear layers, learned in place of their weights (LoRA: Hu et al. 2022).

The layers stay where they are and keep their names. Whoever asks for their weights, be it a
checkpoint, the average or `strhub.save`, gets them with the change merged in.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LowRank", "linear_layers"]


def linear_layers(modules: Sequence[nn.Module]) -> list[nn.Linear]:
    """Return the linear layers in some modules, those that are called as such."""
    return [one for module in modules for one in module.modules() if type(one) is nn.Linear]


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
