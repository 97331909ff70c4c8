"""What a model costs: parameters, multiply-adds, activations, latency, memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from strhub.utils.progress import progress


class Latency(NamedTuple):
    """Milliseconds of one call: the median, and the quartiles around it."""

    median: float
    lower: float
    upper: float


class Cost(NamedTuple):
    """Parameters, multiply-adds and numbers in the outputs of layers."""

    parameters: int
    multiply_adds: int
    activations: int


def summarize(times: Sequence[float]) -> Latency:
    """Return the median and the quartiles of at least two times."""
    lower, _, upper = quantiles(times, n=4, method="inclusive")  # within the times, however few
    return Latency(median(times), lower, upper)


def time_calls(
    call: Callable[[], Any], *, repeats: int, warm_up: int, device: torch.device | None = None
) -> Latency:
    """Time a call `repeats` times after `warm_up` untimed ones; on a GPU, of any make, each is
    waited for.
    """
    return summarize(time_in_turn({"": call}, repeats=repeats, warm_up=warm_up, device=device)[""])


def time_in_turn(
    calls: Mapping[str, Callable[[], Any]],
    *,
    repeats: int,
    warm_up: int,
    device: torch.device | None = None,
) -> dict[str, list[float]]:
    """Return the milliseconds of each call in each of `repeats` rounds, at least two. In a round
    every call is made once, so that other work on the machine disturbs all alike, and the ratio of
    two calls in the same round says more than their times do.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in progress(range(warm_up + repeats), "rounds timed"):
        for name, call in calls.items():
            begin = time.perf_counter()
            call()
            if device is not None and device.type != "cpu":
                torch.accelerator.synchronize(device)
            if number >= warm_up:
                times[name].append(1000 * (time.perf_counter() - begin))
    return times


def ratios(times: Mapping[str, Sequence[float]], to: str) -> dict[str, Latency]:
    """Return the median and quartiles of each call's time, relative to that of one of them in the
    same round.
    """
    return {
        name: summarize([one / other for one, other in zip(values, times[to], strict=True)])
        for name, values in times.items()
    }


def count_parameters(network: nn.Module) -> int:
    """Return numbers in all parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, images: Tensor, max_length: int) -> int:
    """Count the multiply-adds of one reading of `images`, with all steps run: those of matrix
    products, convolutions and attention.
    """
    return _multiply_adds(network, images, max_length)[""]


def costs(
    network: nn.Module, images: Tensor, max_length: int, *, depth: int = 1
) -> dict[str, Cost]:
    """Return what the whole, by the name "", and each module down to `depth` cost in one reading of
    `images`, all steps run.

    A network may use a module's weights without calling it, as PARSeq does step by step: that
    counts for the whole alone.
    """
    multiply_adds, activations = (
        count(network, images, max_length) for count in (_multiply_adds, _activations)
    )
    names = [name for name, _ in network.named_modules() if name.count(".") < depth]
    return {
        name: Cost(
            count_parameters(network.get_submodule(name)),
            multiply_adds.get(name, 0),
            activations.get(name, 0),
        )
        for name in names
    }


def _multiply_adds(network: nn.Module, images: Tensor, max_length: int) -> dict[str, int]:
    counter = FlopCounterMode(display=False)
    frozen = deepcopy(network).requires_grad_(
        False
    )  # the counter follows gradients where there may be any
    with torch.no_grad(), counter:
        frozen(images, max_length)
    whole = type(network).__name__
    counts = {
        name: sum(operators.values()) // 2 for name, operators in counter.get_flop_counts().items()
    }
    by_name = {
        name.removeprefix(f"{whole}."): count
        for name, count in counts.items()
        if name.startswith(f"{whole}.")
    }
    return {**by_name, "": counter.get_total_flops() // 2}


def _activations(network: nn.Module, images: Tensor, max_length: int) -> dict[str, int]:
    totals: dict[str, int] = {"": 0}

    def count_for(name: str) -> Callable[[nn.Module, Any, Any], None]:
        parents = [
            "",
            *(name[:index] for index, sign in enumerate(name) if sign == "."),
            *([name] if name else []),
        ]

        def add(module: nn.Module, inputs: Any, output: Any) -> None:
            for parent in parents:
                totals[parent] = totals.get(parent, 0) + output.numel()

        return add

    kinds = (nn.Linear, nn.Conv2d, nn.Embedding)
    hooks = [
        module.register_forward_hook(count_for(name))
        for name, module in network.named_modules()
        if isinstance(module, kinds)
    ]
    try:
        with torch.inference_mode():
            network(images, max_length)
    finally:
        for hook in hooks:
            hook.remove()
    return totals


def peak_memory(device: torch.device) -> float:
    """Return the most memory that this process has held so far, in MiB: the GPU's, or resident
    memory on the CPU.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
