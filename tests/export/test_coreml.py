"""Core ML packages: by coremltools where it is installed, else what is said without it.

Core ML runs on a Mac only. What coremltools has made of a network is therefore computed here,
operator by operator, and held against PyTorch's logits.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")

from strhub import load
from strhub.cli import export as command
from strhub.errors import MissingExtra


def test_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "coremltools", None)
    with pytest.raises(MissingExtra, match=r"writing for Core ML needs: .*\[coreml\]"):
        command.run(["strhub-tiny", str(tmp_path / "words.mlpackage")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["strhub-tiny", "a.mlpackage", "--precision", "int8"], "float32 or float16, not int8"),
        (["strhub-tiny", "a.mlpackage", "--opset", "18"], "a model for Core ML has none"),
        (["strhub-tiny", "a.mlpackage", "--layout", "rapidocr"], r"is for \.onnx files"),
        (["strhub-tiny", "a.mlpackage", "--width", "64"], "reads images of 128 columns, not 64"),
        (["strhub-small", "a.mlpackage", "--width", "1602"], "a multiple of 4 up to 1600"),
        (["strhub-small", "a.onnx", "--width", "160"], r"--width is for \.mlpackage files"),
        (["strhub-tiny", "full.mlpackage"], "is there and no Core ML package"),
    ],
)
def test_what_it_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full.mlpackage").mkdir()
    with pytest.raises(ValueError, match=message):
        command.run(arguments)


def padded(values: dict[str, Any]) -> list[int]:
    """Return PyTorch's padding of the two last dimensions."""
    top, bottom, left, right = values["pad"]
    return [int(left), int(right), int(top), int(bottom)]


def convolved(x: Tensor, v: dict[str, Any]) -> Tensor:
    if v["pad_type"] == "custom":
        x = F.pad(x, padded(v))
    assert v["pad_type"] in ("custom", "valid")
    bias = v.get("bias")
    stride, dilations = tuple(map(int, v["strides"])), tuple(map(int, v["dilations"]))
    return F.conv2d(x, v["weight"], bias, stride, 0, dilations, int(v["groups"]))


def pooled(x: Tensor, v: dict[str, Any], *, mean: bool) -> Tensor:
    kernel, stride = tuple(map(int, v["kernel_sizes"])), tuple(map(int, v["strides"]))
    if v["pad_type"] == "custom":
        assert not mean or not any(v["pad"])
        x = F.pad(x, padded(v), value=0 if mean else -torch.inf)
    pool = F.avg_pool2d if mean else F.max_pool2d
    return pool(x, kernel, stride, ceil_mode=bool(v["ceil_mode"]))


def widened(x: Tensor, v: dict[str, Any]) -> Tensor:
    pads = [int(one) for one in v["pad"]]
    pairs = list(zip(pads[::2], pads[1::2], strict=True))
    flat = [one for pair in reversed(pairs) for one in pair]
    return F.pad(x, flat, value=float(v.get("constant_val", 0.0)))


def normed(x: Tensor, v: dict[str, Any]) -> Tensor:
    shape = x.shape[len(x.shape) - len(v["axes"]) :]
    return F.layer_norm(x, shape, v.get("gamma"), v.get("beta"), float(v["epsilon"]))


def multiplied(v: dict[str, Any]) -> Tensor:
    x = v["x"].mT if v["transpose_x"] else v["x"]
    return x @ (v["y"].mT if v["transpose_y"] else v["y"])


def axes_of(v: dict[str, Any]) -> tuple[int, ...]:
    return tuple(map(int, np.atleast_1d(np.asarray(v["axes"]))))


def tensor(one: Any) -> Tensor:
    return one if isinstance(one, Tensor) else torch.as_tensor(np.asarray(one))


def sliced(v: dict[str, Any]) -> Tensor:
    """Return a part; where a mask says so, from the beginning, to the end, or one without its
    dimension.
    """
    assert v.get("stride") is None or all(int(one) == 1 for one in v["stride"])
    parts: list[int | slice] = []
    alone = v.get("squeeze_mask", np.zeros(len(v["begin"])))
    for axis, (begin, end) in enumerate(zip(v["begin"], v["end"], strict=True)):
        first = None if "begin_mask" in v and v["begin_mask"][axis] else int(begin)
        last = None if "end_mask" in v and v["end_mask"][axis] else int(end)
        parts.append(int(begin) if alone[axis] else slice(first, last))
    return tensor(v["x"])[tuple(parts)]


def gathered(v: dict[str, Any]) -> Tensor:
    x, indices, axis = tensor(v["x"]), tensor(v["indices"]).long(), int(v["axis"])
    found = x.index_select(axis, indices.reshape(-1))
    return found.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def scattered(v: dict[str, Any]) -> Tensor:
    assert v["mode"] == "update"
    assert int(v["axis"]) == 0
    data = tensor(v["data"]).clone()
    data[tensor(v["indices"]).long()] = tensor(v["updates"])
    return data


def expanded(v: dict[str, Any]) -> Tensor:
    x = tensor(v["x"])
    for axis in sorted(axes_of(v)):
        x = x.unsqueeze(axis)
    return x


def largest(v: dict[str, Any]) -> Tensor:
    return tensor(v["x"]).argmax(int(v["axis"]), keepdim=bool(v["keep_dims"])).int()


TYPES = {"int32": torch.int32, "fp32": torch.float32, "bool": torch.bool}

OPERATORS: dict[str, Any] = {
    "add": lambda v: tensor(v["x"]) + tensor(v["y"]),
    "cast": lambda v: tensor(v["x"]).to(TYPES[v["dtype"]]),
    "cumsum": lambda v: tensor(v["x"]).cumsum(int(v["axis"])),
    "equal": lambda v: tensor(v["x"]) == tensor(v["y"]),
    "expand_dims": expanded,
    "gather": gathered,
    "greater": lambda v: tensor(v["x"]) > tensor(v["y"]),
    "logical_and": lambda v: tensor(v["x"]) & tensor(v["y"]),
    "logical_not": lambda v: ~tensor(v["x"]),
    "reduce_argmax": largest,
    "scatter": scattered,
    "slice_by_index": sliced,
    "stack": lambda v: torch.stack([tensor(one) for one in v["values"]], int(v["axis"])),
    "sub": lambda v: tensor(v["x"]) - tensor(v["y"]),
    "avg_pool": lambda v: pooled(v["x"], v, mean=True),
    "concat": lambda v: torch.cat([tensor(one) for one in v["values"]], int(v["axis"])),
    "conv": lambda v: convolved(v["x"], v),
    "gelu": lambda v: F.gelu(v["x"], approximate={"EXACT": "none"}[v["mode"]]),
    "layer_norm": lambda v: normed(v["x"], v),
    "linear": lambda v: F.linear(v["x"], v["weight"], v.get("bias")),
    "matmul": multiplied,
    "max_pool": lambda v: pooled(v["x"], v, mean=False),
    "mul": lambda v: tensor(v["x"]) * tensor(v["y"]),
    "pad": lambda v: widened(v["x"], v),
    "reduce_mean": lambda v: v["x"].mean(axes_of(v), keepdim=bool(v["keep_dims"])),
    "relu": lambda v: v["x"].relu(),
    "reshape": lambda v: v["x"].reshape(tuple(map(int, v["shape"]))),
    "sigmoid_hard": lambda v: (v["x"] * float(v["alpha"]) + float(v["beta"])).clamp(0, 1),
    "silu": lambda v: F.silu(v["x"]),
    "softmax": lambda v: v["x"].softmax(int(v["axis"])),
    "split": lambda v: v["x"].split([int(one) for one in v["split_sizes"]], int(v["axis"])),
    "squeeze": lambda v: v["x"].squeeze(axes_of(v)),
    "transpose": lambda v: v["x"].permute(tuple(map(int, v["perm"]))),
}


def computed(converted: Any, images: Tensor) -> Tensor:
    """Return what a converted program gives for images, computed by PyTorch's operators."""
    [function] = converted._mil_program.functions.values()
    [name] = function.inputs
    found: dict[str, Any] = {name: images}

    def value(one: Any) -> Any:
        if isinstance(one, list | tuple):
            return [value(each) for each in one]
        if one.name in found:
            return found[one.name]
        known = one.val
        if isinstance(known, np.ndarray) and known.dtype.kind == "f":
            return torch.from_numpy(np.array(known))
        return float(known) if isinstance(known, np.floating) else known

    for operation in function.operations:
        if operation.op_type == "const":
            continue
        values = {key: value(one) for key, one in operation.inputs.items() if one is not None}
        outputs = OPERATORS[operation.op_type](values)
        several = outputs if isinstance(outputs, list | tuple) else [outputs]
        for output, tensor in zip(operation.outputs, several, strict=True):
            assert tuple(output.shape) == tuple(tensor.shape)
            found[output.name] = tensor
    [output] = function.outputs
    return found[output.name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("strhub-small", {}),
        ("strhub-tiny", {"decode_ar": False, "refine_iters": 0}),
        ("strhub-tiny", {"decode_ar": True, "refine_iters": 1}),
    ],
)
def test_the_converted_program_gives_pytorchs_logits(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of coremltools' own imports
        coremltools = pytest.importorskip("coremltools")
    from strhub.export.coreml import convert_for_coreml, size_for_coreml, write_coreml

    model = load(name, **options)
    height, width = size_for_coreml(model, None)
    converted = convert_for_coreml(model)
    images = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        expected, found = model.model.eval()(images), computed(converted, images)
    torch.testing.assert_close(found[:, : expected.shape[1]], expected, rtol=1e-4, atol=1e-3)

    path = tmp_path / "words.mlpackage"
    for precision in ("float32", "float16"):  # the second replaces the first
        write_coreml(model, path, precision=precision, card={"license": "MIT"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec = coremltools.models.MLModel(str(path), skip_model_load=True).get_spec()
    [taken], [values] = spec.description.input, spec.description.output
    assert taken.name == "images"
    assert list(taken.type.multiArrayType.shape) == [1, 3, height, width]
    assert values.name == "logits"
    assert list(values.type.multiArrayType.shape) == list(found.shape)
    reported = json.loads(spec.description.metadata.userDefined["strhub"])
    assert reported["charset"] == model.tokenizer.charset
    assert reported["card"] == {"license": "MIT"}
    assert [one.name for one in tmp_path.iterdir()] == ["words.mlpackage"]
