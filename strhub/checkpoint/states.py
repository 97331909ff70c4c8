"""Files with nothing but weights, as other projects publish them: tensors by the names in the file.

No code in it is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from strhub.checkpoint.pickled import StoredTensor
from strhub.checkpoint.torch_files import is_torchscript, module_tensors, open_torch_file
from strhub.errors import CheckpointError

__all__ = ["read_state"]


def read_state(path: Path) -> dict[str, Tensor]:
    """Return all tensors of a file by the names in it, floating-point ones in float32.

    path: safetensors, TorchScript, or a state dictionary that torch has saved. Raises
    `CheckpointError` for a file that is not there, damaged, or not safe to read.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        try:
            content = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    else:
        with open_torch_file(path) as file:
            if isinstance(file.content, list):
                raise CheckpointError(f"{path} holds a list, not a checkpoint")
            stored = module_tensors(file.content) if is_torchscript(path) else _listed(file.content)
            content = file.tensors(stored)
    tensors = {name.removeprefix("module."): tensor for name, tensor in content.items()}
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def _listed(content: Any) -> dict[str, StoredTensor]:
    """Return the tensors of a state dictionary, whatever lies beside them; none for something
    else.
    """
    state = content.get("state_dict", content) if isinstance(content, Mapping) else {}
    state = state if isinstance(state, Mapping) else {}
    return {str(name): value for name, value in state.items() if isinstance(value, StoredTensor)}
