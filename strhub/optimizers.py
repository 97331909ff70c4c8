"""Optimisers that torch does not have as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer


class MuonWithAdamW(Optimizer):
    """Muon for the weight matrices, AdamW for the rest: embeddings, heads, convolutions, norms and biases.

    Muon (Jordan et al. 2024) makes each matrix's update orthogonal. Trained from nothing on few words, recognisers
    learn from several times fewer than with AdamW alone. Its updates are scaled to AdamW's usual size (Liu et al.
    2025), so that one learning rate serves both.

    params: (name, parameter) pairs, as `named_parameters()` gives; lr, weight_decay: of both; betas: AdamW's;
    momentum: Muon's.
    """

    def __init__(
        self,
        params: Iterable[tuple[str, nn.Parameter]],
        *,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.98),
        momentum: float = 0.95,
    ) -> None:
        named = [(name, parameter) for name, parameter in params if parameter.requires_grad]
        matrices = [parameter for name, parameter in named if is_hidden_matrix(name, parameter)]
        rest = [parameter for name, parameter in named if not is_hidden_matrix(name, parameter)]
        if not matrices or not rest:
            raise ValueError("this optimiser needs both weight matrices and other parameters")
        self._parts: list[Optimizer] = [
            Muon(matrices, lr=lr, weight_decay=weight_decay, momentum=momentum, adjust_lr_fn="match_rms_adamw"),
            AdamW(rest, lr=lr, weight_decay=weight_decay, betas=(betas[0], betas[1])),
        ]
        super().__init__([{"params": matrices}, {"params": rest}], {"lr": lr})
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


def is_hidden_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter maps features to features, as Muon wants, rather than tokens, pixels or classes."""
    return parameter.ndim == 2 and "embed" not in name and not name.startswith(("head.", "model.head."))
