"""What a model costs: parameters, multiply-adds, activations, latency."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


class Latency(NamedTuple):
    """Milliseconds of one call: the median, and the quartiles around it."""

    median: float
    lower: float
    upper: float


def time_calls(call: Callable[[], Any], *, repeats: int, warm_up: int, device: torch.device | None = None) -> Latency:
    """Time a call `repeats` times after `warm_up` untimed ones; on a GPU each is waited for."""

    def timed() -> float:
        begin = time.perf_counter()
        call()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        return 1000 * (time.perf_counter() - begin)

    for _ in range(warm_up):
        timed()
    times = [timed() for _ in range(max(2, repeats))]
    lower, _, upper = quantiles(times, n=4)
    return Latency(median(times), lower, upper)


def count_parameters(network: nn.Module) -> int:
    """Numbers in all parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, images: Tensor, max_length: int) -> int:
    """Multiply-adds of one reading of `images`, all steps run: matrix products, convolutions and attention."""
    counter = FlopCounterMode(display=False)
    frozen = deepcopy(network).requires_grad_(False)  # the counter follows gradients where there may be any
    with torch.no_grad(), counter:
        frozen(images, max_length)
    return counter.get_total_flops() // 2


def count_activations(network: nn.Module, images: Tensor, max_length: int) -> int:
    """Numbers in the outputs of all linear, convolution and embedding layers of one reading of `images`."""
    total = 0

    def add(module: nn.Module, inputs: Any, output: Any) -> None:
        nonlocal total
        total += output.numel()

    kinds = (nn.Linear, nn.Conv2d, nn.Embedding)
    hooks = [module.register_forward_hook(add) for module in network.modules() if isinstance(module, kinds)]
    try:
        with torch.inference_mode():
            network(images, max_length)
    finally:
        for hook in hooks:
            hook.remove()
    return total
