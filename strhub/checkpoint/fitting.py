"""Whether weights fit a network, by the names and shapes of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor, nn

__all__ = ["differences", "mismatch_table"]


def differences(network: nn.Module, weights: Mapping[str, Tensor]) -> list[tuple[str, str, str]]:
    """Return the parameters that do not fit, as (name, what the file has, what the model has),
    those of other shapes first.
    """
    expected = network.state_dict()
    shapes = [
        (name, str(tuple(weights[name].shape)), str(tuple(tensor.shape)))
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    missing = [
        (name, "nothing", str(tuple(tensor.shape)))
        for name, tensor in expected.items()
        if name not in weights
    ]
    surplus = [
        (name, str(tuple(tensor.shape)), "nothing")
        for name, tensor in weights.items()
        if name not in expected
    ]
    return [*shapes, *missing, *surplus]


def mismatch_table(problems: Sequence[tuple[str, str, str]], limit: int = 20) -> str:
    """Return lines of `differences` under each other, the first `limit` of them."""
    shown = problems[:limit]
    shown = [
        (ascii(name)[1:-1], has, wants) for name, has, wants in shown
    ]  # a name may hold anything
    names, found = max(len(name) for name, *_ in shown), max(len(has) for _, has, _ in shown)
    lines = [
        f"  {name:>{names}}: the file has {has:<{found}}  the model has {wants}"
        for name, has, wants in shown
    ]
    return "\n".join(
        [*lines, *([f"  and {len(problems) - limit} more"] if len(problems) > limit else [])]
    )
