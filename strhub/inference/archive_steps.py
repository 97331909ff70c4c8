"""Steps of a program of `torch.export`, read from JSON and held against what a network of words is
made of.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import torch

from strhub.errors import CheckpointError

__all__ = [
    "EMPTY",
    "NUMBERS",
    "WITHIN",
    "Nested",
    "Step",
    "Value",
    "dtype_of",
    "name_of",
    "number",
    "read_step",
    "values_of",
]

_LARGEST_NUMBER = (1 << 63) - 1
# Operators that compute with tensors and nothing else: those that networks of words have.
_ATEN = frozenset(
    """
    __and__ __or__ _assert_tensor_metadata _softmax abs adaptive_avg_pool1d adaptive_avg_pool2d
    add add_ addmm alias all amax amin any arange argmax argmin avg_pool1d avg_pool2d baddbmm
    batch_norm bitwise_and bitwise_not bitwise_or bmm cat ceil chunk clamp clamp_max clamp_min
    clone constant_pad_nd contiguous conv1d conv2d copy_ cos cumsum detach detach_ div div_
    dropout dropout_ einsum elu embedding empty_like eq erf exp expand expand_as eye
    feature_dropout fill_ flatten flip floor floor_divide full full_like gather ge gelu glu
    grid_sampler group_norm gt hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_
    index index_select instance_norm layer_norm le leaky_relu leaky_relu_ lift_fresh_copy linear
    linspace log log_softmax logical_and logical_not logical_or lstm lstm_cell lt masked_fill
    masked_fill_ matmul max max_pool2d maximum mean min minimum mish mm movedim mul mul_ narrow
    native_group_norm native_layer_norm ne neg new_empty new_full new_ones new_zeros norm ones
    ones_like pad permute pixel_shuffle pow prod reciprocal reflection_pad2d relu relu6 relu6_
    relu_ remainder repeat replication_pad2d reshape roll round rsqrt rsub
    scaled_dot_product_attention scatter select sigmoid sigmoid_ sign silu silu_ sin slice
    softmax softplus split split_with_sizes sqrt square squeeze stack std sub sub_ sum swapaxes
    sym_size t tanh tanh_ tensor_split tile to topk transpose tril triu unbind unflatten unfold
    unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var view view_as where
    zeros zeros_like
    """.split()  # noqa: SIM905
)
NUMBERS: Mapping[str, Callable[..., Any]] = {
    "_operator.add": operator.add,
    "_operator.sub": operator.sub,
    "_operator.mul": operator.mul,
    "_operator.floordiv": operator.floordiv,
    "_operator.mod": operator.mod,
    "_operator.neg": operator.neg,
    "torch.sym_max": max,
    "torch.sym_min": min,
}
WITHIN: Final = "torch.ops.higher_order.wrap_with_autocast"  # a few steps in float32
EMPTY = {"new_empty": "new_zeros", "empty_like": "zeros_like"}  # memory that held something else
_DTYPES: Mapping[int, torch.dtype] = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_MEMORY_FORMATS = {1: torch.contiguous_format, 2: torch.channels_last, 4: torch.preserve_format}


class Value(NamedTuple):
    """The result of an earlier step, or an input."""

    name: str


class Nested(NamedTuple):
    """Steps that are an argument of a step, as JSON."""

    graph: Mapping[str, Any]


class Step(NamedTuple):
    """An operator's name, what it is called with, what its results are called, and which values
    nobody needs after it.
    """

    target: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    results: tuple[str, ...]
    done: tuple[str, ...] = ()


def read_step(node: Mapping[str, Any]) -> Step:
    """Read a step; `CheckpointError` if it is none of a network of words."""
    target = node["target"]
    if not isinstance(target, str) or not _is_known(target):
        raise CheckpointError(
            f"it computes {str(target)[:80]!a}, which is not an operator that strhub's archives "
            "have; export the model as .onnx, or its weights as .safetensors"
        )
    args, options = [], {}
    for one in node["inputs"]:
        value = _argument(one["arg"])
        if one.get("kind") == 2:  # by keyword
            options[_text(one["name"])] = value
        else:
            args.append(value)
    results: list[str] = []
    for one in node["outputs"]:
        ((kind, said),) = one.items()
        if kind == "as_tensor":
            results.append(name_of(said))
        elif kind == "as_tensors":
            results += map(name_of, said)
        elif kind == "as_sym_int":
            results.append(_text(said["as_name"]))
        else:
            raise CheckpointError("its program computes something else than tensors")
    return Step(target, tuple(args), options, tuple(results), ())


def _is_known(target: str) -> bool:
    if target in NUMBERS or target == WITHIN:
        return True
    parts = target.split(".")
    if parts[:3] != ["torch", "ops", "aten"] or len(parts) != 5 or parts[3] not in _ATEN:
        return False
    overloads: list[str] = getattr(torch.ops.aten, parts[3]).overloads()
    return parts[4] in overloads and "out" not in parts[4]


def _argument(argument: Mapping[str, Any]) -> Any:
    """Return a number, text or type, or what stands for a value."""
    ((kind, said),) = argument.items()
    if kind == "as_none":
        return None
    if kind == "as_tensor":
        return Value(name_of(said))
    if kind == "as_tensors":
        return [Value(name_of(one)) for one in said]
    if kind in ("as_int", "as_float", "as_bool"):
        return number(said)
    if kind in ("as_ints", "as_floats", "as_bools"):
        return [number(one) for one in said]
    if kind == "as_sym_int":
        return _size(said)
    if kind == "as_sym_ints":
        return [_size(one) for one in said]
    if kind == "as_optional_tensors":
        return [Value(name_of(one["as_tensor"])) if "as_tensor" in one else None for one in said]
    if kind == "as_string":
        return _text(said)
    if kind == "as_scalar_type":
        return dtype_of(said)
    if kind == "as_memory_format":
        return _MEMORY_FORMATS[said]
    if kind == "as_layout" and said == 7:
        return torch.strided
    if kind == "as_device" and said["type"] == "cpu":
        return torch.device("cpu")
    if kind == "as_graph":
        return Nested(said["graph"])
    raise CheckpointError(f"its program has an argument of the kind {str(kind)[:40]!a}")


def _size(said: Mapping[str, Any]) -> Any:
    return Value(_text(said["as_name"])) if "as_name" in said else number(said["as_int"])


def name_of(said: Mapping[str, Any]) -> str:
    """Return what a value is called."""
    return _text(said["name"])


def _text(said: Any) -> str:
    if not isinstance(said, str) or len(said) > 1000:
        raise CheckpointError("its program has something else where a name has to be")
    return said


def number(said: Any) -> Any:
    """Return a number of a file, if it is one and not too large."""
    if said in ("Infinity", "-Infinity", "NaN"):
        return float(said)
    if not isinstance(said, int | float) or abs(said) > _LARGEST_NUMBER:
        raise CheckpointError("its program has something else where a number has to be")
    return said


def values_of(arguments: Sequence[Any]) -> Iterator[str]:
    """Yield the names of the values in arguments."""
    for one in arguments:
        if isinstance(one, Value):
            yield one.name
        elif isinstance(one, list):
            yield from values_of(one)


def dtype_of(code: Any) -> torch.dtype:
    """Return the type of numbers that a code in an archive stands for."""
    if not isinstance(code, int) or code not in _DTYPES:
        raise CheckpointError("it has numbers of a type that no model for words has")
    return _DTYPES[code]
