"""Archives of `torch.export` (.pt2), read as records of JSON and of numbers.

PyTorch's own reader of archives trusts them: it unpickles what they hold, loads libraries, and runs
expressions and guards in them as Python. None of that is done here, and records that would be for
that are not opened.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from strhub.checkpoint.schema import LARGEST_JSON, parse_json
from strhub.checkpoint.torch_files import archive_records, open_torch_file
from strhub.errors import CheckpointError
from strhub.inference.archive_program import Program
from strhub.inference.archive_steps import dtype_of
from strhub.inference.onnx_description import METADATA_KEY, checked_description
from strhub.utils.regular_files import open_regular

__all__ = ["read_archive_description", "read_program"]

_DESCRIPTION = f"extra/{METADATA_KEY}.json"
_PROGRAM = "models/model.json"
_LARGEST_DIMENSION = 1 << 40
_MOST_TENSORS = 100_000


def read_archive_description(path: Path) -> dict[str, Any]:
    """Return what an archive says of itself; `CheckpointError` if it is damaged or not of
    strhub.
    """
    with _Records(path) as records:
        text = records.read(_DESCRIPTION, most=LARGEST_JSON).decode("utf-8")
        return checked_description(text, path)


def read_program(path: Path) -> Program:
    """Return what an archive computes; `CheckpointError` if that is more than a network of
    words.
    """
    with _Records(path) as records:
        tensors = {**_tensors(records, "weights"), **_tensors(records, "constants")}
        text = records.read(_PROGRAM, most=LARGEST_JSON)
        return Program(parse_json(text, f"{path}: its program"), tensors)


class _Records:
    """An archive's records by name, without the folder that all are in; errors inside say which
    file it is.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> _Records:
        try:
            self._file = open_regular(self._path)
        except OSError as error:
            raise self._error(error.strerror or error) from error
        try:
            self._archive = zipfile.ZipFile(self._file)
            records = archive_records(self._path, self._archive)
        except BaseException as error:
            self._file.close()
            self.__exit__(type(error), error, None)
            raise
        self._records = {name.partition("/")[2]: one for name, one in records.items()}
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if isinstance(error, CheckpointError) and not str(error).startswith(str(self._path)):
            raise self._error(error) from error
        if isinstance(error, Exception) and not isinstance(error, CheckpointError | MemoryError):
            raise self._error(error) from error

    def __contains__(self, name: str) -> bool:
        return name in self._records

    def read(self, name: str, *, most: int | None = None) -> bytes:
        """Return a record's bytes, of `most` at most."""
        record = self._records.get(name)
        if record is None:
            raise CheckpointError(f"it has no {name[:80]!a}: ./export.py writes such archives")
        if most is not None and record.file_size > most:
            raise CheckpointError(f"its {name} is over {most >> 20} MiB")
        return self._archive.read(record)

    def tensors_of_before(self, name: str) -> dict[str, Tensor]:
        """Return the tensors in a record that is a file of `torch.save`, of older versions."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weights.pt"
            path.write_bytes(self.read(name))
            with open_torch_file(path) as file:
                return file.tensors(file.content)

    def _error(self, reason: object) -> CheckpointError:
        said = (str(reason).splitlines() or [type(reason).__name__])[0][:300]
        return CheckpointError(
            f"{self._path} cannot be read as an archive of torch.export by strhub: {said}"
        )


def _tensors(records: _Records, kind: str) -> dict[str, Tensor]:
    """Return an archive's weights, or its constants, by name."""
    folder = f"data/{kind}"
    if f"{folder}/model.pt" in records:
        return records.tensors_of_before(f"{folder}/model.pt")
    text = records.read(f"{folder}/model_{kind}_config.json", most=LARGEST_JSON)
    config = parse_json(text, f"the list of its {kind}")["config"]
    if len(config) > _MOST_TENSORS:
        raise CheckpointError("it has too many tensors")
    numbers: dict[str, Tensor] = {}
    found: dict[str, Tensor] = {}
    for name, said in config.items():
        if said["use_pickle"] is not False:
            raise CheckpointError(f"its {name[:80]!a} is a pickle, which could run code")
        record = said["path_name"]
        if record not in numbers:
            content = bytearray(records.read(f"{folder}/{record}"))
            empty = torch.empty(0, dtype=torch.uint8)
            numbers[record] = torch.frombuffer(content, dtype=torch.uint8) if content else empty
        found[str(name)] = _tensor(numbers[record], said["tensor_meta"])
    return found


def _tensor(numbers: Tensor, said: Mapping[str, Any]) -> Tensor:
    """Return bytes as the tensor that they are said to be."""
    sizes, strides = ([_whole(one) for one in said[name]] for name in ("sizes", "strides"))
    return numbers.view(dtype_of(said["dtype"])).as_strided(
        sizes, strides, _whole(said["storage_offset"])
    )


def _whole(said: Mapping[str, Any]) -> int:
    value = said["as_int"]
    if not isinstance(value, int) or not 0 <= value <= _LARGEST_DIMENSION:
        raise CheckpointError("it has a tensor of an impossible size")
    return value
