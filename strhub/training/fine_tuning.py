"""How gently a trained model is trained on: a frozen encoder, rates by layer, weight decay on
weights alone.

In: the options of `finetune` in the configuration and a network. Out: which layers learn at which
step, and parameter groups for the optimizer. Everything follows from the number of the step, so a
resumed run does what it would have done.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from strhub.models.network import Network
from strhub.utils.options import check_options

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


@dataclass(frozen=True)
class FineTuning:
    """The options. All null: everything learns at the same rate, as without them.

    freeze_encoder: true to leave the encoder as it is, a number to do so for so many steps, `2
        epochs` for those.
    unfreeze_every: after that, let one more layer of the encoder learn every so many steps, the
        topmost first.
    layer_decay: in (0, 1], how many times the rate of the layer above each encoder layer has; the
        topmost has all.
    decoder_rate: how many times the usual rate all that is not encoder has.
    decay_weights_only: no weight decay on norms, biases and positions.
    lora_rank: the encoder's own weights stay as they are; what is learned is a change of so low a
        rank to each of its linear layers, see `strhub.training.low_rank`.
    recompute: keep nothing from within the encoder's blocks for the backward pass, which computes
        them again: less memory, the same gradients, more time.
    cache_features: folder of features; a frozen encoder (`freeze_encoder` is true) computes them
        once for each training image, and an epoch does without it. cache_views: how often each
        image is prepared for that, each time augmented anew; None: once.
    frozen_half: an encoder that is frozen for good computes in bfloat16, and holds its weights so.
    """

    freeze_encoder: bool | int | str | None = None
    unfreeze_every: int | None = None
    layer_decay: float | None = None
    decoder_rate: float | None = None
    decay_weights_only: bool | None = None
    lora_rank: int | None = None
    recompute: bool | None = None
    cache_features: str | None = None
    cache_views: int | None = None
    frozen_half: bool | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | None) -> FineTuning:
        """Build the options from a mapping; `ValueError` for an unknown option or a value out of
        range.
        """
        options = dict(options or {})
        check_options(options, cls.__dataclass_fields__, "finetune")
        parsed = cls(**options)
        steps, every = parsed.freeze_encoder, parsed.unfreeze_every
        if (
            not _is_count(steps, least=0)
            and not isinstance(steps, bool)
            and parsed.frozen_epochs is None
        ):
            raise ValueError(
                f"finetune.freeze_encoder is {steps}: it must be true, false, a number of steps or "
                "such as '2 epochs'"
            )
        if not _is_count(every, least=1):
            raise ValueError(
                f"finetune.unfreeze_every is {every}: it must be a number of steps, at least 1"
            )
        if every is not None and steps is True:
            raise ValueError(
                "finetune.unfreeze_every needs a number of steps in freeze_encoder, not true"
            )
        if not _is_count(parsed.lora_rank, least=1):
            raise ValueError(f"finetune.lora_rank is {parsed.lora_rank}: it must be at least 1")
        parsed._check_frozen()
        if parsed.lora_rank and (parsed.freezes or parsed.layer_decay is not None):
            raise ValueError(
                "finetune.lora_rank leaves the encoder's own weights as they are: leave out "
                "freeze_encoder, unfreeze_every and layer_decay"
            )
        for name, value, most in (
            ("layer_decay", parsed.layer_decay, 1.0),
            ("decoder_rate", parsed.decoder_rate, None),
        ):
            if value is not None and not (value > 0 and (most is None or value <= most)):
                raise ValueError(
                    f"finetune.{name} is {value}: it must be "
                    f"positive{' and at most 1' if most else ''}"
                )
        return parsed

    def _check_frozen(self) -> None:
        """Raise `ValueError` for options of an encoder that never learns, where it does."""
        if not _is_count(self.cache_views, least=1):
            raise ValueError(f"finetune.cache_views is {self.cache_views}: it must be at least 1")
        if self.cache_views is not None and not self.cache_features:
            raise ValueError("finetune.cache_views goes with cache_features: set that, too")
        for name in ("cache_features", "frozen_half"):
            if getattr(self, name) and self.freeze_encoder is not True:
                raise ValueError(
                    f"finetune.{name} is for an encoder that never learns: set "
                    "finetune.freeze_encoder=true"
                )

    @property
    def frozen_epochs(self) -> int | None:
        """Return for how many epochs the encoder is frozen, if it was given in epochs."""
        parsed = (
            re.fullmatch(r"(\d+) epochs?", self.freeze_encoder)
            if isinstance(self.freeze_encoder, str)
            else None
        )
        return int(parsed[1]) if parsed else None

    def in_steps(self, steps_per_epoch: int) -> FineTuning:
        """Return the same with epochs counted in steps."""
        epochs = self.frozen_epochs
        return self if epochs is None else replace(self, freeze_encoder=epochs * steps_per_epoch)

    @property
    def freezes(self) -> bool:
        """Return whether anything is frozen at any time."""
        return bool(self.freeze_encoder) or self.unfreeze_every is not None

    @property
    def rates(self) -> bool:
        """Return whether encoder and decoder have rates of their own."""
        return self.layer_decay is not None or self.decoder_rate is not None

    @property
    def groups(self) -> bool:
        """Return whether the optimizer treats some parameters differently from others."""
        return self.rates or bool(self.decay_weights_only)

    def frozen_layers(self, step: int, layers: int) -> int:
        """Return how many of so many encoder layers, counted from the image, do not learn at a
        step; see `in_steps`.
        """
        if self.freeze_encoder is True:
            return layers
        since = step - int(self.freeze_encoder or 0)
        if since < 0:
            return layers
        if self.unfreeze_every is None:
            return 0
        return max(0, layers - 1 - since // self.unfreeze_every)

    def rate(self, layer: int | None, layers: int) -> float:
        """Return how many times the usual rate an encoder layer has; None for all that is not
        encoder.
        """
        if layer is None:
            return self.decoder_rate or 1.0
        return (self.layer_decay or 1.0) ** (layers - 1 - layer)


def _is_count(value: Any, *, least: int) -> bool:
    """Return whether an option is absent or a whole number that is large enough."""
    return value is None or (
        isinstance(value, int) and not isinstance(value, bool) and value >= least
    )


class Layer:
    """A layer of an encoder: modules, and parameters that belong to none of them, such as
    positions.
    """

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.own: list[nn.Parameter] = []

    def parameters(self) -> list[nn.Parameter]:
        """Return all of its parameters."""
        return [
            *self.own,
            *(parameter for module in self.modules for parameter in module.parameters()),
        ]

    def learn(self, active: bool, *, gradients: bool = True) -> None:
        """Let it learn or not. What does not is in evaluation mode, so that norms keep their
        statistics too.

        gradients: whether to stop those as well; if not, the caller has to drop them.
        """
        for module in self.modules:
            module.train(active)
        for parameter in self.parameters() if gradients else ():
            parameter.requires_grad_(active)


def encoder_layers(network: Network, outputs: Iterable[str]) -> list[Layer]:
    """Return the layers of a network's encoder, from the image on.

    The encoder is what the network says (`encoder_parts`). Otherwise it is all its parts without a
    table of characters.
    outputs: names of the parameters that are such tables.

    The items of a list or sequence of modules are layers, and so is each other part. Norms and what
    has no weights belong to the layer before, parameters of no part to the first layer.
    """
    parts: Sequence[nn.Module | nn.Parameter] = network.encoder_parts() or _encoder_parts(
        network, list(outputs)
    )
    layers = [Layer()]
    for part in parts:
        if isinstance(part, nn.Parameter):
            layers[0].own.append(part)
            continue
        for unit in _units(part):
            if isinstance(unit, nn.Parameter):
                layers[0].own.append(unit)
                continue
            if any(map(_has_weights, layers[-1].modules)) and _has_weights(unit):
                layers.append(Layer())
            layers[-1].modules.append(unit)
    return layers


def _encoder_parts(network: nn.Module, outputs: Sequence[str]) -> list[nn.Module | nn.Parameter]:
    children = list(network.named_children())
    reading = [
        name for name, _ in children if any(output.startswith(f"{name}.") for output in outputs)
    ]
    free: list[nn.Module | nn.Parameter] = [
        child for name, child in children if name not in reading
    ]
    if free:
        return [*(parameter for _, parameter in network.named_parameters(recurse=False)), *free]
    if not reading:
        raise ValueError(f"{type(network).__name__} has no part that could be its encoder")
    # Every part reads characters, and the first one reads the image: its encoder is the model's.
    inner = [
        name.removeprefix(f"{reading[0]}.") for name in outputs if name.startswith(f"{reading[0]}.")
    ]
    return _encoder_parts(network.get_submodule(reading[0]), inner)


def _units(part: nn.Module) -> list[nn.Module | nn.Parameter]:
    """Return a part's own parameters, then its parts, with lists of modules opened."""
    units: list[nn.Module | nn.Parameter] = list(part.parameters(recurse=False))
    if units and not list(part.children()):
        return [part]
    for child in part.children():
        units += list(child) if isinstance(child, nn.ModuleList) else [child]
    return units or [part]


def _has_weights(unit: nn.Module) -> bool:
    """Return whether a module has parameters other than those of norms."""
    of_norms = {
        id(p)
        for module in unit.modules()
        if isinstance(module, _NORMS)
        for p in module.parameters()
    }
    return any(id(parameter) not in of_norms for parameter in unit.parameters())
