"""Optimisers that torch does not have as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """Muon for the weight matrices, AdamW for the rest: embeddings, heads, convolutions, norms and biases.

    Muon (Jordan et al. 2024) makes each matrix's update orthogonal. Trained from nothing on few words, recognisers
    learn from several times fewer than with AdamW alone. Its updates are scaled to AdamW's usual size (Liu et al.
    2025), so that one learning rate serves both.

    params: (name, parameter) pairs, as `named_parameters()` gives, or groups of such pairs with an `lr`, `weight_decay`
    or `name` of their own; lr, weight_decay: of both; betas: AdamW's; momentum: Muon's.
    """

    def __init__(
        self,
        params: Iterable[tuple[str, nn.Parameter]] | Iterable[Mapping[str, Any]],
        *,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.98),
        momentum: float = 0.95,
    ) -> None:
        matrices, rest = split_by_kind(params)
        if not matrices or not rest:
            raise ValueError("this optimiser needs both weight matrices and other parameters")
        self._parts: list[Optimizer] = [
            Muon(matrices, lr=lr, weight_decay=weight_decay, momentum=momentum, adjust_lr_fn="match_rms_adamw"),
            AdamW(rest, lr=lr, weight_decay=weight_decay, betas=(betas[0], betas[1])),
        ]
        super().__init__([{"params": group["params"]} for group in (*matrices, *rest)], {"lr": lr})
        # The parts' own groups, so that whoever sets a learning rate here sets it there.
        self.param_groups = [group for part in self._parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self._parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of both."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state of both."""
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self._parts for group in part.param_groups]


def split_by_kind(params: Iterable[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Pairs, or groups of pairs, to the groups for Muon and those for AdamW; what does not learn is left out."""
    listed = list(params)
    groups: list[Any] = listed if listed and isinstance(listed[0], Mapping) else [{"params": listed}]
    kinds: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    for group in groups:
        named = [(name, parameter) for name, parameter in group["params"] if parameter.requires_grad]
        for kind, wanted, suffix in zip(kinds, (True, False), ("-matrices", "-rest"), strict=True):
            members = [parameter for name, parameter in named if is_hidden_matrix(name, parameter) is wanted]
            label = {"name": group["name"] + suffix} if "name" in group else {}
            if members:
                kind.append({**group, "params": members, **label})
    return kinds


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter maps features to features, as Muon wants, rather than tokens, pixels or classes."""
    return parameter.ndim == 2 and "embed" not in name and not name.startswith(("head.", "model.head."))
