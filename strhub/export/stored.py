"""A graph without weights of its own: it points at the tensors of a safetensors file that lies
beside it.

So one file of weights serves both readers. Safetensors are raw little-endian numbers at places that
the header tells, which is what ONNX calls external data; a row of a matrix or a third of it is a
place, too.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto
from torch import Tensor, nn

from strhub.inference.onnx_description import header_hash

# Kinds of numbers: of ONNX, and bytes of one.
_KINDS = {
    "F32": (TensorProto.FLOAT, 4),
    "F16": (TensorProto.FLOAT16, 2),
    "BF16": (TensorProto.BFLOAT16, 2),
}


class StoredWeights:
    """Where the parameters of a network lie in the safetensors file that it was loaded from.

    network: as loaded, in any precision; the views of its parameters are found by the memory that
        they share.
    """

    def __init__(self, network: nn.Module, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header: dict[str, Any] = json.loads(file.read(length))
        self._start = 8 + length  # of the numbers in the file
        self._locations = {
            tensor.untyped_storage().data_ptr(): (
                name,
                header[name]["dtype"],
                header[name]["data_offsets"][0],
            )
            for name, tensor in network.state_dict(keep_vars=True).items()
        }

    def tensor(self, values: Tensor) -> onnx.TensorProto:
        """Return an initializer that points at a parameter, or at a part of one whose numbers lie
        together.

        Raises `ValueError` for a tensor that is not stored, such as the result of a computation.
        """
        location = self._locations.get(values.untyped_storage().data_ptr())
        if location is None or not values.is_contiguous() or location[1] not in _KINDS:
            raise ValueError(f"a tensor of shape {tuple(values.shape)} is not in {self.path}")
        name, dtype, start = location
        kind, size = _KINDS[dtype]
        first = values.storage_offset()
        tensor = TensorProto(name=f"{name}@{first}", data_type=kind, dims=values.shape)
        tensor.data_location = TensorProto.EXTERNAL
        where = {
            "location": self.path.name,
            "offset": str(self._start + start + first * size),
            "length": str(math.prod(values.shape) * size),
        }
        for key, value in where.items():
            tensor.external_data.add(key=key, value=value)
        return tensor

    def description(self) -> dict[str, str]:
        """Return what a reader holds the file of weights against: its name and the SHA-256 of its
        header.
        """
        return {"file": self.path.name, "header": header_hash(self.path)}
