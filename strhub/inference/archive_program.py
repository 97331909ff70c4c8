"""A program of `torch.export`, computed step by step from the JSON that an archive has of it.

PyTorch's own reader makes Python of a program and runs it. Here a program is data: steps, each the
name of an operator that `archive_steps` lists, with numbers and the results of earlier steps.
Whatever else it names is refused, so there is nothing in a file that could run, read or write.
There are no loops either: how long a program takes depends on the sizes of its tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from strhub.errors import CheckpointError
from strhub.inference.archive_steps import (
    EMPTY,
    NUMBERS,
    WITHIN,
    Nested,
    Step,
    Value,
    name_of,
    number,
    read_step,
    values_of,
)

__all__ = ["Program"]

_MAJOR = 8  # of the schema that is read
_MOST_STEPS = 100_000
_MOST_INPUTS = 100_000


class Program:
    """A network of images (B, 3, H, W) to logits (B, L, C).

    Raises `CheckpointError` for one that holds anything but steps of known operators.
    """

    def __init__(self, exported: Any, tensors: Mapping[str, Tensor]) -> None:
        """Prepare to run the program. exported: its JSON, parsed. tensors: weights and constants by
        name.
        """
        try:
            if exported["schema_version"]["major"] != _MAJOR:
                raise CheckpointError(
                    "it was written by another version of PyTorch: export it again"
                )
            module = exported["graph_module"]
            self._graph = _Graph(module["graph"], [_MOST_STEPS])
            self._fixed = dict(_inputs(module["signature"]["input_specs"], tensors))
        except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise CheckpointError(f"its program is damaged: {_reason(error)}") from error
        images = [name for name, tensor in self._fixed.items() if tensor is None]
        if len(images) != 1 or len(self._graph.outputs) != 1:
            raise CheckpointError("its program does not take only images and return only logits")
        (self._images,) = images

    def __call__(self, images: Tensor) -> Tensor:
        """Return the logits; `CheckpointError` if a step cannot be computed."""
        (logits,) = self._graph.run({**self._fixed, self._images: images})
        if not isinstance(logits, Tensor):
            raise CheckpointError("its program does not return logits")
        return logits


class _Graph:
    """Steps in their order, and the names of what goes in and comes out."""

    def __init__(self, graph: Mapping[str, Any], left: list[int], *, within: bool = False) -> None:
        """Prepare a graph. left: how many more steps there may be, one number. within: whether it
        is part of a graph, and has none in it.
        """
        self.inputs = [name_of(one["as_tensor"]) for one in graph["inputs"]]
        self.outputs = [name_of(one["as_tensor"]) for one in graph["outputs"]]
        left[0] -= len(graph["nodes"])
        if left[0] < 0 or len(self.inputs) > _MOST_INPUTS:
            raise CheckpointError("its program is too long")
        needed = set(self.outputs)
        self._steps: list[Step] = []
        for node in reversed(graph["nodes"]):
            step = read_step(node)
            nested = [isinstance(one, Nested) for one in step.args]
            if any(nested) and (within or step.target != WITHIN):
                raise CheckpointError("its program has programs within programs")
            args = [
                _Graph(one.graph, left, within=True) if isinstance(one, Nested) else one
                for one in step.args
            ]
            used = dict.fromkeys(values_of([*step.args, *step.options.values()]))
            done = tuple(name for name in [*used, *step.results] if name not in needed)
            needed.update(used)
            self._steps.append(step._replace(args=tuple(args), done=done))
        self._steps.reverse()

    def run(self, values: dict[str, Any]) -> list[Any]:
        """Compute the steps; values: of the inputs, by name."""
        for step in self._steps:
            try:
                args = [_filled(one, values) for one in step.args]
                options = {name: _filled(one, values) for name, one in step.options.items()}
                results = _call(step.target, args, options)
            except (
                RuntimeError,
                TypeError,
                ValueError,
                KeyError,
                IndexError,
                AttributeError,
                NotImplementedError,
                ArithmeticError,
            ) as error:
                if isinstance(error, CheckpointError):
                    raise
                raise CheckpointError(f"{step.target}: {_reason(error)}") from error
            if len(results) != len(step.results):
                raise CheckpointError(f"{step.target} does not return what the program says")
            values.update(zip(step.results, results, strict=True))
            for name in step.done:
                values.pop(name, None)
        try:
            return [values[name] for name in self.outputs]
        except KeyError as error:
            raise CheckpointError("its program does not compute its output") from error


def _inputs(
    specs: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor | None]]:
    """Yield the names of a program's inputs with their weights; None for images."""
    for spec in specs:
        ((kind, said),) = spec.items()
        if kind == "user_input":
            yield name_of(said["arg"]["as_tensor"]), None
        elif kind in ("parameter", "buffer", "tensor_constant"):
            tensor = tensors.get(said[f"{kind}_name"])
            if tensor is None:
                raise CheckpointError("its program needs weights that are not in the archive")
            yield name_of(said["arg"]), tensor
        else:
            raise CheckpointError("its program takes more than images")


def _filled(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, Value):
        return values[argument.name]
    return [_filled(one, values) for one in argument] if isinstance(argument, list) else argument


def _call(target: str, args: list[Any], options: dict[str, Any]) -> list[Any]:
    """Return the results of a step, however many they are."""
    if target in NUMBERS:
        found: Any = number(NUMBERS[target](*map(number, args)))
    elif target == WITHIN:
        device, _, enabled, _, graph, *operands = args
        if device != "cpu" or enabled is not False or not isinstance(graph, _Graph):
            raise CheckpointError("its program asks for another precision than float32")
        return graph.run(dict(zip(graph.inputs, operands, strict=True)))
    else:
        name, overload = target.split(".")[3:]
        found = getattr(getattr(torch.ops.aten, EMPTY.get(name, name)), overload)(*args, **options)
    if found is None:
        return []
    return list(found) if isinstance(found, tuple | list) else [found]


def _reason(error: BaseException) -> str:
    return ascii((str(error).splitlines() or [type(error).__name__])[0][:200])[1:-1]
