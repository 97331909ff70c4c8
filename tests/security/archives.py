"""Archives of `torch.export` as a stranger might write them: small ones by hand, sound or not."""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

DESCRIPTION = {
    "format": 1,
    "architecture": "crnn",
    "tokenizer": "ctc",
    "charset": "ab",
    "img_size": [8, 8],
    "normalize": "default",
}
FLOAT = 7
TOUCH = b"cposix\nsystem\n(S'touch ran'\ntR."  # a pickle that runs a command
RUN = "__import__('os').system('touch ran')"  # what PyTorch's reader runs as Python


def tensor(name: str) -> dict[str, Any]:
    return {"as_tensor": {"name": name}}


def ints(*values: int) -> dict[str, Any]:
    return {"as_ints": list(values)}


def step(target: str, inputs: Sequence[Mapping[str, Any]], *outputs: Any) -> dict[str, Any]:
    """A step, as archives have it; outputs: names of tensors, or what is not one."""
    return {
        "target": target,
        "inputs": [{"name": "", "arg": one, "kind": 1} for one in inputs],
        "outputs": [tensor(one) if isinstance(one, str) else one for one in outputs],
        "metadata": {},
    }


MEANS = [
    step("torch.ops.aten.mean.dim", [tensor("images"), ints(1), {"as_bool": False}], "means"),
    step("torch.ops.aten.linear.default", [tensor("means"), tensor("w")], "logits"),
]
"""(B, 3, 8, 8) to logits (B, 8, 3)."""


def program(steps: Sequence[Any] = MEANS, **changes: Any) -> dict[str, Any]:
    """A program's JSON; changes: of what is at its top."""
    specs = [
        {"parameter": {"arg": {"name": "w"}, "parameter_name": "weight"}},
        {"user_input": {"arg": tensor("images")}},
    ]
    graph = {
        "inputs": [tensor("w"), tensor("images")],
        "outputs": [tensor("logits")],
        "nodes": list(steps),
        "sym_int_values": {"n": {"as_expr": {"expr_str": RUN}}},
    }
    module = {"graph": graph, "signature": {"input_specs": specs, "output_specs": []}}
    whole = {
        "graph_module": module,
        "schema_version": {"major": 8, "minor": 20},
        "opset_version": {"aten": 10},
        "guards_code": [],
        "range_constraints": {},
    }
    return {**whole, **changes}


def listed(path_name: str = "weight_0", *, use_pickle: Any = False, **meta: Any) -> dict[str, Any]:
    """The list of weights, of one (3, 8) matrix; meta: what is said otherwise of it."""
    said = {
        "dtype": FLOAT,
        "sizes": [{"as_int": 3}, {"as_int": 8}],
        "requires_grad": True,
        "device": {"type": "cpu", "index": None},
        "layout": 7,
        "strides": [{"as_int": 8}, {"as_int": 1}],
        "storage_offset": {"as_int": 0},
    }
    one = {
        "path_name": path_name,
        "is_param": True,
        "use_pickle": use_pickle,
        "tensor_meta": {**said, **meta},
    }
    return {"config": {"weight": one}}


def write_archive(
    path: Path,
    steps: Sequence[Any] = MEANS,
    *,
    records: Mapping[str, Any] | None = None,
    compressed: bool = False,
    **changes: Any,
) -> Path:
    """Write an archive; records: further ones or others, as bytes or JSON; None leaves one out."""
    contents: dict[str, Any] = {
        "archive_format": b"pt2",
        "archive_version": b"0",
        "models/model.json": program(steps, **changes),
        "data/weights/model_weights_config.json": listed(),
        "data/weights/weight_0": struct.pack("<24f", *range(24)),
        "data/constants/model_constants_config.json": {"config": {}},
        "data/sample_inputs/model.pt": TOUCH,
        "extra/strhub.json": DESCRIPTION,
        **(records or {}),
    }
    kind = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in contents.items():
            if content is not None:
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                archive.writestr(f"archive/{name}", data)
    return path
