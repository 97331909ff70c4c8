"""Parameter groups for the optimizer, with the rates and decays that fine-tuning asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from strhub.training.fine_tuning import FineTuning, Layer

__all__ = ["is_undecayed", "split_groups"]

LOW_RANK = "low_rank."  # how the names of low-rank changes to the encoder begin


def split_groups(
    groups: Iterable[Any],
    options: FineTuning,
    layers: Sequence[Layer],
    *,
    lr: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Return parameter groups with the rates and decays that the options ask for.

    groups: (name, parameter) pairs or groups of such pairs with rates of their own, which are
    multiplied; lr: the rate of a group that names none.
    """
    layer_of = {id(p): number for number, layer in enumerate(layers) for p in layer.parameters()}
    groups = _as_groups(groups)
    of_encoder = {
        name for group in groups for name, _ in group["params"] if name.startswith(LOW_RANK)
    }
    found: dict[str, dict[str, Any]] = {}
    for number, group in enumerate(groups):
        for name, parameter in group["params"]:
            layer = layer_of.get(id(parameter), len(layers) - 1 if name in of_encoder else None)
            rate = options.rate(layer, len(layers))
            decays = not (options.decay_weights_only and is_undecayed(name, parameter))
            where = (
                "others"
                if layer is None
                else f"encoder-{layer}"
                if options.layer_decay
                else "encoder"
            )
            label = where + (f"-{number}" if number else "") + ("" if decays else "-undecayed")
            entry = found.setdefault(
                label,
                {
                    **group,
                    "params": [],
                    "name": label,
                    "lr": group.get("lr", lr) * rate,
                    "weight_decay": group.get("weight_decay", weight_decay) if decays else 0.0,
                },
            )
            entry["params"].append((name, parameter))
    return list(found.values())


def _as_groups(groups: Iterable[Any]) -> list[dict[str, Any]]:
    listed = list(groups)
    return listed if listed and isinstance(listed[0], dict) else [{"params": listed}]


def is_undecayed(name: str, parameter: nn.Parameter) -> bool:
    """Return whether a parameter belongs to a norm or is a bias, a position or a class token."""
    last = name.rpartition(".")[2]
    return (
        parameter.ndim <= 1
        or last.startswith(("pos_", "cls_token"))
        or last in ("bias", "in_proj_bias")
    )
