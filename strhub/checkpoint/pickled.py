"""Pickles of tensors and plain values to data, with nothing in them ever imported or called.

Every class or function that a pickle names becomes a `Name`, and what it would make of one an
`Inert` record or, for the few kinds in the table below, plain data: so there is nothing that a file
could run. Numbers of tensors are not read
here: a `StoredTensor` says where they lie. `plain` turns what is left into lists, mappings, numbers
    and texts.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

from strhub.errors import CheckpointError

# Packages that leave plain records in checkpoints. Whatever else a pickle names, the file is
# refused.
_PACKAGES = (
    "torch", "numpy", "collections", "omegaconf", "pathlib", "argparse", "typing", "lightning",
        "pytorch_lightning",
    "lightning_fabric", "strhub",
)  # fmt: skip
_BUILTINS = (
    "set", "frozenset", "slice", "range", "complex", "bytes", "bytearray", "list", "dict", "tuple",
        "int", "long",
    "float", "str", "unicode", "bool", "object", "NoneType", "getattr",
)  # fmt: skip
_FUNCTIONS = (
    "_rebuild_", "_reconstruct", "_get_layout", "scalar", "dtype", "ndarray", "device", "float",
        "bfloat16", "half",
    "double", "int", "uint", "long", "short", "bool", "complex", "restore_type_tag", "build_",
)  # fmt: skip
_MAPPINGS = ("collections.OrderedDict", "collections.defaultdict", "collections.Counter")
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path", "PurePath")
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
_MOST_VALUES = 100_000  # visits to plain values, counted each time one is reached
_DEEPEST = 40

_STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}


class Refused(CheckpointError):
    """A pickle, or a part of it that is needed, holds more than tensors and plain values."""


class Storage(NamedTuple):
    """Numbers in a file: which record or block of it they are, of what type, and how many."""

    key: str
    dtype: torch.dtype
    numbers: int


class StoredTensor(NamedTuple):
    """Where a tensor's numbers lie."""

    storage: Storage
    dtype: torch.dtype
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Name(NamedTuple):
    """What a pickle calls a class or function."""

    path: str

    @property
    def last(self) -> str:
        """Return the name without its module."""
        return self.path.rpartition(".")[2]


class Inert:
    """What a pickle would have made by calling something: the name of that, the arguments, and what
    was set after.
    """

    def __init__(self, name: Name, arguments: tuple[Any, ...]) -> None:
        self.name, self.arguments = name, arguments
        self.state: Any = None
        self.items: dict[Any, Any] = {}

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items[key] = value


def unpickle(data: bytes, *, code: tuple[str, ...] = ()) -> tuple[Any, int]:
    """Read one pickle from the beginning of `data`; what it holds and how long it is.

    code: packages that may be named besides, whose classes become records as all others do.
    Raises `Refused` for one that names what plain state has no need of. Damage raises nearly
    anything.
    """
    file = io.BytesIO(data)
    return _Unpickler(file, code).load(), file.tell()


class _Unpickler(pickle._Unpickler):
    """The machine without its power to import, call or change anything."""

    dispatch: ClassVar = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: io.BytesIO, code: tuple[str, ...]) -> None:
        super().__init__(file)
        self._packages = (*_PACKAGES, *code)
        self.stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        """Return a name for what the pickle wants to import."""
        if module in ("builtins", "__builtin__", "_codecs"):
            if name in (("encode",) if module == "_codecs" else _BUILTINS):
                return Name(f"builtins.{name}")
        elif module in ("copy_reg", "copyreg") and name == "_reconstructor":
            return Name("copyreg._reconstructor")
        elif module.partition(".")[0] in self._packages:
            last = name.rpartition(".")[2]
            known = f"{module}.{name}" in _MAPPINGS
            # classes; of functions, those that make tensors
            if known or last[:1].isupper() or last.startswith(_FUNCTIONS):
                return Name(f"{module}.{name}")
        raise Refused(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Storage:
        """Return numbers that lie elsewhere in the file."""
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            raise Refused("it refers to something other than numbers, such as a pickled module")
        _, dtype, key, _, count, *view = pid
        known = _STORAGES.get(dtype.last) if isinstance(dtype, Name) else None
        if known is None or not isinstance(count, int) or not 0 <= count < 1 << 48 or any(view):
            raise Refused("it refers to numbers of an unknown type, or impossibly many")
        return Storage(str(key), known, count)

    def _call(self) -> None:
        arguments, name = self.stack.pop(), self.stack[-1]
        self.stack[-1] = _made(name, arguments)

    def _set(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Inert):
            self.stack[-1].state = state

    def _refuse(self) -> None:
        raise Refused("it is pickled in a way that weights never are")


_handlers: dict[int, Callable[[Any], None]] = _Unpickler.dispatch
_handlers.update({code[0]: _Unpickler._call for code in (pickle.REDUCE, pickle.NEWOBJ)})
_handlers[pickle.BUILD[0]] = _Unpickler._set
for _code in (
    pickle.OBJ,
    pickle.INST,
    pickle.NEWOBJ_EX,
    pickle.EXT1,
    pickle.EXT2,
    pickle.EXT4,
    pickle.PERSID,
):
    _handlers[_code[0]] = _Unpickler._refuse


def _made(name: Any, arguments: Any) -> Any:
    """Return what stands for `name(*arguments)`."""
    if not isinstance(name, Name) or not isinstance(arguments, tuple):
        raise Refused("it calls something that has no name")
    if name.path in _MAPPINGS:
        return dict(arguments[0]) if arguments and not isinstance(arguments[0], Name) else {}
    if name.path in ("builtins.set", "builtins.frozenset"):
        return set(*arguments[:1])
    if name.path == "builtins.encode" and arguments[1:] == ("latin1",):
        return str(arguments[0]).encode("latin1")
    if name.path == "torch.Size":
        return tuple(arguments[0])
    if name.path.startswith("torch._utils._rebuild_tensor_v"):
        return _tensor(*arguments)
    if name.path.startswith("torch._utils._rebuild_parameter"):
        return arguments[0]
    if name.path == "torch._tensor._rebuild_from_type_v2":
        return _made(arguments[0], arguments[2])
    if name.path.startswith("torch.jit._pickle."):  # a value and the type that it must have
        return arguments[0]
    return Inert(name, arguments)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> StoredTensor:
    """Return a tensor within the numbers that it names; `Refused` where it would reach beyond
    them.
    """
    dtype = storage.dtype if len(rest) < 3 else getattr(torch, rest[2].last, None)
    if not isinstance(dtype, torch.dtype):
        raise Refused("it has a tensor of an unknown type")
    numbers = [offset, *size, *stride]
    if len(size) != len(stride) or not all(
        isinstance(number, int) and 0 <= number < 1 << 48 for number in numbers
    ):
        raise Refused("it has a tensor of impossible sizes")
    tensor = StoredTensor(storage, dtype, offset, tuple(size), tuple(stride))
    available = storage.numbers * storage.dtype.itemsize // dtype.itemsize
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if 0 not in size and last >= available:
        raise Refused("it has a tensor that reaches beyond its numbers")
    return tensor


class _Budget:
    """How many values may still be looked at."""

    def __init__(self) -> None:
        self.left = _MOST_VALUES

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Refused("it holds too many values beside its weights")


def plain(value: Any) -> Any:
    """Return the numbers, texts, lists and mappings in what `unpickle` returned, and nothing else.

    OmegaConf's and argparse's containers become mappings and lists, NumPy's scalars numbers, paths
    texts, sets lists.
    Raises `Refused` that names the class of anything else.
    """
    return _plain(value, _Budget(), 0)


def _plain(value: Any, budget: _Budget, depth: int) -> Any:
    budget.spend()
    if depth > _DEEPEST:
        raise Refused("its values are nested too deeply")
    if isinstance(value, Inert):
        return _plain_record(value, budget, depth)
    if isinstance(value, Mapping):
        return {str(key): _plain(member, budget, depth + 1) for key, member in value.items()}
    if isinstance(value, StoredTensor | Name | Storage):
        what = value.path if isinstance(value, Name) else "a tensor"
        raise Refused(f"it holds {what} where a plain value belongs")
    if isinstance(value, list | tuple | set):
        return [_plain(member, budget, depth + 1) for member in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise Refused(f"it holds a value of the class {type(value).__name__}")


def _plain_record(record: Inert, budget: _Budget, depth: int) -> Any:
    path, state = record.name.path, record.state
    if path.startswith("pathlib.") and record.name.last in _PATHS:
        return "/".join(map(str, record.arguments)).replace("//", "/")
    if path in _SCALARS:
        return _scalar(*record.arguments)
    if path.startswith("omegaconf.") and isinstance(state, Mapping):
        inner = state.get("_content", state.get("_val"))
        return _plain(inner, budget, depth + 1)
    if path == "argparse.Namespace" and isinstance(state, Mapping):
        return _plain(state, budget, depth + 1)
    if record.name.last == "AttributeDict":  # Lightning's own kind of dictionary
        return _plain(record.items or state or {}, budget, depth + 1)
    raise Refused(f"it holds an object of the class {path}")


def _scalar(kind: Any, data: Any) -> Any:
    """Return the number that NumPy pickled as its type and its bytes."""
    code = kind.arguments[0] if isinstance(kind, Inert) else ""
    order: Any = kind.state[1] if isinstance(kind, Inert) and isinstance(kind.state, tuple) else "<"
    if (
        not isinstance(code, str)
        or code[:1] not in tuple("biuf")
        or order not in ("<", ">", "|", "=")
    ):
        raise Refused("it holds a NumPy scalar that is not a number")
    dtype = np.dtype(code).newbyteorder("=" if order == "|" else order)
    if not isinstance(data, bytes) or len(data) != dtype.itemsize:
        raise Refused("it holds a NumPy scalar that is damaged")
    return np.frombuffer(data, dtype)[0].item()
