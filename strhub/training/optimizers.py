"""Optimizers: Muon for matrices, with AdamW for everything else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from strhub.errors import ConfigError
from strhub.utils.options import unknown_name_message
from strhub.utils.precision import choose_precision

MUON_PRECISIONS = ("auto", "float32", "bfloat16")
QUINTIC = (3.4445, -4.7750, 2.0315)  # coefficients of Jordan et al. 2024, for five steps


class MuonWithAdamW(Optimizer):
    """Muon for the weight matrices, AdamW for the rest: embeddings, heads, convolutions, norms and
    biases.

    Muon (Jordan et al. 2024) makes each matrix's update orthogonal. Trained from nothing on few
    words, recognizers learn from several times fewer than with AdamW alone. Its updates are scaled
    to AdamW's usual size (Liu et al. 2025), so that one learning rate serves both.

    params: (name, parameter) pairs, as `named_parameters()` gives, or groups of such pairs with an
    `lr`, `weight_decay` or `name` of their own; lr, weight_decay: of both; betas: AdamW's;
    momentum, precision: Muon's.
    """

    def __init__(
        self,
        params: Iterable[tuple[str, nn.Parameter]] | Iterable[Mapping[str, Any]],
        *,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.98),
        momentum: float = 0.95,
        precision: str = "auto",
    ) -> None:
        matrices, rest = split_by_kind(params)
        if not matrices or not rest:
            raise ValueError("this optimizer needs both weight matrices and other parameters")
        self._parts: list[Optimizer] = [
            Muon(
                matrices, lr=lr, weight_decay=weight_decay, momentum=momentum, precision=precision
            ),
            AdamW(rest, lr=lr, weight_decay=weight_decay, betas=(betas[0], betas[1])),
        ]
        super().__init__([{"params": group["params"]} for group in (*matrices, *rest)], {"lr": lr})
        # The parts' own groups, so that setting a learning rate here sets it there.
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step of both."""
        loss = evaluate(closure)
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Return the state of both."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of both."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


class Muon(Optimizer):
    """Momentum whose every update is made orthogonal (Jordan et al. 2024), in the size of AdamW's
    (Liu et al. 2025).

    Matrices of one shape are made orthogonal together. Unlike torch's own it works in bfloat16 only
    on devices that multiply in it: other CPUs would spend several times longer here than on the
    gradients.

    params: matrices, or groups of them; lr, weight_decay (decoupled): as AdamW's; momentum:
        Nesterov's.
    precision: what the iteration multiplies in: "float32", "bfloat16", or "auto", bfloat16 where
    the device has instructions for it. Weights and momentum keep their own.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        precision: str = "auto",
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        if precision not in MUON_PRECISIONS:
            raise ConfigError(unknown_name_message(precision, MUON_PRECISIONS, "precision of Muon"))
        self.precision = precision  # not in a group: a checkpoint of another machine would set it
        shapes = {
            tuple(parameter.shape) for group in self.param_groups for parameter in group["params"]
        }
        if wrong := sorted(shape for shape in shapes if len(shape) != 2):
            raise ValueError(
                f"Muon is for matrices, but a parameter has the shape {wrong[0]}: give it to AdamW"
            )

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; parameters without a gradient stay as they are."""
        loss = evaluate(closure)
        for group in self.param_groups:
            by_shape: dict[Any, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape, parameter.dtype, parameter.device].append(parameter)
            for parameters in by_shape.values():
                self._update(
                    parameters, **{name: group[name] for name in ("lr", "weight_decay", "momentum")}
                )
        return loss

    def _update(
        self, parameters: list[nn.Parameter], *, lr: float, weight_decay: float, momentum: float
    ) -> None:
        """Update parameters of one shape."""
        ahead = []  # the momentum as it will be if the gradient stays (Nesterov)
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            assert gradient is not None
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(gradient)
            mean: Tensor = state["momentum_buffer"]
            mean.lerp_(gradient, 1 - momentum)
            ahead.append(gradient.lerp(mean, momentum))
        scale = (
            0.2 * max(ahead[0].shape) ** 0.5
        )  # an orthogonal update of this size has AdamW's usual root mean square
        dtype = choose_precision(self.precision, ahead[0].device)
        for parameter, update in zip(
            parameters, orthogonalize(torch.stack(ahead), dtype=dtype), strict=True
        ):
            parameter.mul_(1 - lr * weight_decay).add_(update, alpha=-lr * scale)


def evaluate(closure: Callable[[], Any] | None) -> Any:
    """Return what a step's closure gives, gradients kept; None without one."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def orthogonalize(
    matrices: Tensor, *, steps: int = 5, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Bring the singular values of matrices (N, R, C) near 1, by Newton and Schulz's iteration.

    They end between 0.7 and 1.2, but for those that begin next to nothing; that is near enough
    (Jordan et al. 2024).
    dtype: what is multiplied in. The result has the type of `matrices`.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if tall else matrices  # (N, r, c), r <= c: the smaller products
    result = wide.to(dtype)
    result = result / result.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    first, third, fifth = QUINTIC
    for _ in range(steps):
        square = result @ result.mT  # (N, r, r)
        result = (
            first * result + torch.baddbmm(square, square, square, beta=third, alpha=fifth) @ result
        )
    return (result.mT if tall else result).to(matrices.dtype)


def split_by_kind(params: Iterable[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split pairs, or groups of pairs, into the groups for Muon and those for AdamW; frozen
    parameters are left out.
    """
    listed = list(params)
    groups: list[Any] = (
        listed if listed and isinstance(listed[0], Mapping) else [{"params": listed}]
    )
    kinds: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for group in groups:
        named = [
            (name, parameter) for name, parameter in group["params"] if parameter.requires_grad
        ]
        for kind, wanted, suffix in zip(kinds, (True, False), ("-matrices", "-rest"), strict=True):
            members = [
                parameter
                for name, parameter in named
                if is_hidden_matrix(name, parameter) is wanted
            ]
            label = {"name": group["name"] + suffix} if "name" in group else {}
            if members:
                kind.append({**group, "params": members, **label})
    return kinds


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Return whether a parameter maps features to features, as Muon wants, rather than tokens,
    pixels or classes.
    """
    return (
        parameter.ndim == 2
        and "embed" not in name
        and not name.startswith(("head.", "model.head."))
    )
