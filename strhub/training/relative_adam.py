"""Adam whose steps are relative to the size of what they change, for weights with their norms
folded in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from strhub.training.optimizers import evaluate

_LEAST_ROW = 0.1  # minimum norm that a channel is treated as having, relative to a weight's own
_LEAST = 1e-3  # what a bias counts as
_EPSILON = 1e-12  # far below any gradient, whose size does not matter here


class RelativeAdam(Optimizer):
    """Adam (Kingma and Ba 2015) with each output channel's step scaled by the root mean square of
    its first weights.

    Where batch norms are folded into convolutions, channels differ a thousandfold in size, and
    Adam's steps, which are all alike, are nothing to some and ruin others. A scale of the
    parameter's size is Adafactor's (Shazeer and Stern 2018), there of whole tensors.

    params: parameters, (name, parameter) pairs, or groups of them; lr: of a parameter's own size,
        2.5e-4 for a start;
    weight_decay: decoupled, as AdamW's.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
    ) -> None:
        super().__init__(
            params, {"lr": lr, "weight_decay": weight_decay, "betas": (betas[0], betas[1])}
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step; parameters without a gradient stay as they are."""
        loss = evaluate(closure)
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["mean"], state["square"] = (
                        torch.zeros_like(parameter),
                        torch.zeros_like(parameter),
                    )
                    state["scale"] = scale_of(parameter)
                state["step"] += 1
                mean, square, count = state["mean"], state["square"], float(state["step"])
                mean.lerp_(parameter.grad, 1 - first)
                square.mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
                size = (square / (1 - second**count)).sqrt_().add_(_EPSILON)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.sub_(mean / size * state["scale"], alpha=group["lr"] / (1 - first**count))
        return loss


def scale_of(parameter: Tensor) -> Tensor:
    """Return the root mean square of each output channel of a weight, or of all of a bias, to
    multiply steps by.
    """
    size = parameter.square().mean().sqrt()
    if parameter.ndim < 2:
        return size.clamp(min=_LEAST)
    rows = parameter.flatten(1).square().mean(1).sqrt().clamp(min=_LEAST_ROW * float(size))
    return rows.view(-1, *[1] * (parameter.ndim - 1))
