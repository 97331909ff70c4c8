"""Files of `torch.save` and TorchScript archives to tensors and plain values; see
`strhub.checkpoint.pickled`.

Numbers lie in a file as they are, uncompressed: a file that holds more than its size says is
refused. What is not asked for, such as an optimizer's state, is not read.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from strhub.checkpoint.pickled import Inert, Refused, Storage, StoredTensor, unpickle
from strhub.errors import CheckpointError

_MAGIC = 0x1950A86A20F9469CFC6C  # begins a file of the format before archives
_LARGEST_LISTING = 8 << 20  # bytes of the pickle that lists a file's contents
_MOST_RECORDS = 200_000
_SLACK = 1 << 20


class TorchFile:
    """What a file holds, and its tensors when they are asked for.

    content: mappings, lists and values, with a `StoredTensor` for each tensor.
    """

    def __init__(
        self, path: Path, file: BinaryIO, content: Any, locations: Mapping[str, _Location]
    ) -> None:
        self.content = content
        self._path, self._file, self._locations = path, file, locations
        self._read: dict[str, Tensor] = {}

    def tensors(self, stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
        """Read tensors by name; `CheckpointError` if numbers are missing, or the tensors larger
        than the file.
        """
        total = sum(math.prod(tensor.size) * tensor.dtype.itemsize for tensor in stored.values())
        if total > 2 * self._path.stat().st_size + _SLACK:
            raise Refused("its tensors are larger than the file")
        return {name: self._tensor(tensor) for name, tensor in stored.items()}

    def _tensor(self, stored: StoredTensor) -> Tensor:
        numbers = self._numbers(stored.storage).view(stored.dtype)
        return numbers.as_strided(stored.size, stored.stride, stored.offset)

    def _numbers(self, storage: Storage) -> Tensor:
        """Return the bytes of a storage, flat."""
        if storage.key not in self._read:
            location, length = (
                self._locations.get(storage.key),
                storage.numbers * storage.dtype.itemsize,
            )
            if location is None or location.length < length:
                raise Refused(f"the numbers {storage.key} of a tensor are missing or cut off")
            self._file.seek(location.start)
            content = bytearray(self._file.read(location.length))
            if len(content) != location.length or location.checksum not in (
                None,
                zlib.crc32(content),
            ):
                raise Refused(f"the numbers {storage.key} of a tensor are cut off or damaged")
            if not length:
                return torch.empty(0, dtype=torch.uint8)
            self._read[storage.key] = torch.frombuffer(content, dtype=torch.uint8, count=length)
        return self._read[storage.key]


class _Location(NamedTuple):
    """Where bytes lie in a file, and their CRC-32 where it is known."""

    start: int
    length: int
    checksum: int | None = None


@contextmanager
def open_torch_file(path: Path) -> Iterator[TorchFile]:
    """Open a file of `torch.save` or a TorchScript archive.

    Raises `CheckpointError` for one that is damaged, that is no such file, or that holds more than
    tensors and plain values, whether on opening it or in the `with` block.
    """
    try:
        with path.open("rb") as file:
            yield _archive(path, file) if zipfile.is_zipfile(file) else _before_archives(path, file)
    except Refused as error:
        reason = ascii(str(error))[1:-1][:200]
        raise CheckpointError(
            f"{path} is refused: it holds more than tensors and plain values, or is damaged "
            f"({reason}). Save what is "
            "needed anew: strhub.save for a model, torch.save of a state_dict for weights"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # damaged bytes make a reader raise nearly anything
        raise CheckpointError(
            f"{path} is not a whole PyTorch checkpoint: {_first_line(error)}"
        ) from error


def check_archive(path: Path) -> None:
    """Raise `CheckpointError` for an archive whose records are compressed, or larger together than
    the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            archive_records(path, archive)
    except (
        OSError,
        zipfile.BadZipFile,
    ):  # of another format, or damaged, as its reader will report
        return


def is_torchscript(path: Path) -> bool:
    """Return whether a file is a TorchScript archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def module_tensors(content: Any) -> dict[str, StoredTensor]:
    """Return the parameters and buffers of a scripted module, by dotted names, from what its
    archive holds.
    """
    return dict(_members(content, "", 0))


def _members(value: Any, prefix: str, depth: int) -> Iterator[tuple[str, StoredTensor]]:
    if depth > 40:
        raise Refused("its modules are nested too deeply")
    state = value.state if isinstance(value, Inert) and isinstance(value.state, Mapping) else {}
    for name, member in state.items():
        if isinstance(member, StoredTensor):
            yield f"{prefix}{name}", member
        elif isinstance(member, Inert):
            yield from _members(member, f"{prefix}{name}.", depth + 1)


def archive_records(
    path: Path, archive: zipfile.ZipFile, *, code: bool = False
) -> dict[str, zipfile.ZipInfo]:
    """Return the records by name, checking that none is compressed or occurs twice; code: whether
    to skip a script's code, which may be compressed.
    """
    listed = [record for record in archive.infolist() if not (code and "/code/" in record.filename)]
    records = {record.filename: record for record in listed}
    if len(records) != len(listed) or len(listed) > _MOST_RECORDS:
        raise CheckpointError(
            f"{path} is refused: it has several records of the same name, or too many records"
        )
    packed = [
        name for name, record in records.items() if record.compress_type or record.flag_bits & 1
    ]
    if packed or sum(record.file_size for record in listed) > path.stat().st_size:
        raise CheckpointError(
            f"{path} is refused: its records are compressed or overlap, and so could be of any "
            "size. PyTorch writes "
            "them as they are: save it anew with torch.save"
        )
    return records


def _archive(path: Path, file: BinaryIO) -> TorchFile:
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        records = archive_records(path, archive, code=True)
        listing = next(
            (name for name in records if name.endswith("data.pkl") and name.count("/") == 1), None
        )
        if listing is None:
            raise CheckpointError(
                f"{path} is not a PyTorch checkpoint: the archive has no data.pkl"
            )
        if records[listing].file_size > _LARGEST_LISTING:
            raise Refused("its list of contents is too long")
        folder = listing.removesuffix("data.pkl")
        if f"{folder}byteorder" in records and archive.read(f"{folder}byteorder") == b"big":
            raise CheckpointError(
                f"{path} was written on a big-endian machine: save its weights as safetensors there"
            )
        content, _ = unpickle(archive.read(listing), code=("__torch__",))
    prefix = f"{folder}data/"
    locations = {
        name.removeprefix(prefix): _location(file, record)
        for name, record in records.items()
        if name.startswith(prefix)
    }
    return TorchFile(path, file, content, locations)


def _location(file: BinaryIO, record: zipfile.ZipInfo) -> _Location:
    """Return where a record's bytes begin: after its own header, with a name and an extra field of
    any length.
    """
    file.seek(record.header_offset)
    header = file.read(30)
    name, extra = (int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return _Location(record.header_offset + 30 + name + extra, record.file_size, record.CRC)


def _before_archives(path: Path, file: BinaryIO) -> TorchFile:
    """Return the older format: a few pickles, then the storages in the order of their sorted
    keys.
    """
    size = path.stat().st_size
    file.seek(0)
    head = file.read(_LARGEST_LISTING)
    magic, at = unpickle(head)
    if magic != _MAGIC:
        raise Refused("it is a bare pickle, which torch.save does not write")
    for _ in ("protocol", "system"):
        at += unpickle(head[at:])[1]
    content, length = unpickle(head[at:])
    at += length
    keys, length = unpickle(head[at:])
    at += length
    widths = _widths(content)
    locations = {}
    for key in map(str, keys):
        file.seek(at)
        count = int.from_bytes(file.read(8), "little")
        location = _Location(at + 8, count * widths.get(key, 1))
        if location.start + location.length > size:
            raise Refused(f"the data {key} of a tensor are cut off")
        locations[key], at = location, location.start + location.length
    return TorchFile(path, file, content, locations)


def _widths(content: Any) -> dict[str, int]:
    """Return the bytes per number of each storage that anything in the content refers to."""
    widths: dict[str, int] = {}
    waiting, seen = [content], set[int]()
    while waiting:
        value = waiting.pop()
        if isinstance(value, StoredTensor):
            widths[value.storage.key] = value.storage.dtype.itemsize
        elif isinstance(value, Mapping | list | tuple | Inert) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Inert):
                waiting += [value.arguments, value.state, value.items]
            else:
                waiting += value.values() if isinstance(value, Mapping) else value
    return widths


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
