"""The tensors of a TorchScript archive, without running what else is in it.

OpenAI's CLIP files are such archives: code together with weights, which `torch.jit.load` would execute. Only the data
is read here: the pickle that lists the modules' attributes, by an unpickler that makes tensors and plain records and
refuses everything else, and the bytes of the tensors that it names.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip


class _Record:
    """A module's attributes; its class, which is code in the archive, is never made."""

    def __init__(self, *arguments: Any) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.attributes = dict(state) if isinstance(state, dict) else {}


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers by name.

    Raises `ValueError` for a file that is damaged, or that holds what no module of tensors has.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            listing = next((name for name in archive.namelist() if name.endswith("/data.pkl")), None)
            if listing is None:
                raise ValueError("it has no data.pkl")
            with archive.open(listing) as file:
                root = _Unpickler(file, archive, listing.removesuffix("data.pkl")).load()
            return dict(_tensors(root, ""))
    except (pickle.UnpicklingError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"{path} is refused as a TorchScript archive: {error}") from error
    except Exception as error:  # damaged bytes make an unpickler raise nearly anything
        raise ValueError(f"{path} is not a whole TorchScript archive: {type(error).__name__} {error}") from error


class _Unpickler(pickle.Unpickler):
    """Makes tensors, lists, dictionaries and records; every other name in the pickle is an error."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self.archive, self.folder = archive, folder
        self.storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the pickle stands for."""
        if module.startswith("__torch__"):
            return _Record
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
            ("torch.jit._pickle", "restore_type_tag"): _first,
            ("torch.jit._pickle", "build_intlist"): _first,
            ("torch.jit._pickle", "build_doublelist"): _first,
            ("torch.jit._pickle", "build_boollist"): _first,
            ("torch.jit._pickle", "build_tensorlist"): _first,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which weights have no need of")
        return known[module, name]

    def persistent_load(self, pid: Any) -> Tensor:
        """The numbers of a storage, flat."""
        kind, dtype, key, _, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not str(key).isalnum():
            raise pickle.UnpicklingError("it refers to something other than numbers")
        if key not in self.storages:
            content = bytearray(self.archive.read(f"{self.folder}data/{key}"))
            if len(content) < count * dtype.itemsize:
                raise pickle.UnpicklingError(f"its tensor {key} is cut off")
            self.storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        return self.storages[key]


def _rebuild_tensor(storage: Tensor, offset: int, size: Any, stride: Any, *unused: Any) -> Tensor:
    return storage.as_strided(tuple(size), tuple(stride), offset)  # fails where it would reach beyond the storage


def _rebuild_parameter(tensor: Tensor, *unused: Any) -> Tensor:
    return tensor


def _first(value: Any, *unused: Any) -> Any:
    return value


def _tensors(value: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors below a record, by dotted names."""
    for name, member in (value.attributes if isinstance(value, _Record) else {}).items():
        if isinstance(member, Tensor):
            yield f"{prefix}{name}", member
        elif isinstance(member, _Record):
            yield from _tensors(member, f"{prefix}{name}.")
