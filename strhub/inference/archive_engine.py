"""An archive of `torch.export` (.pt2) as the engine of a reader: what `export.py` wrote, computed
by PyTorch's operators.

It is read by `archive_file`, not by PyTorch's own reader, which trusts archives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from strhub.errors import CheckpointError, ConfigError
from strhub.inference.archive_file import read_archive_description, read_program
from strhub.inference.engine import Decode, ImageArray
from strhub.inference.limited_session import LimitedSession, is_trusted
from strhub.inference.onnx_description import IMAGES, LOGITS
from strhub.inference.onnx_engine import OnnxEngine
from strhub.inference.onnx_session import available_threads
from strhub.utils.processes import PerProcess

__all__ = ["ArchiveEngine"]


class _Named(NamedTuple):
    name: str
    shape: list[int]


class ArchiveSession:
    """An archive's program, used as a session of ONNX Runtime; `CheckpointError` if it is more than
    a network of words.
    """

    def __init__(self, path: Path, threads: int | None) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        self._path, self._program = path, read_program(path)

    def get_inputs(self) -> list[_Named]:
        """Return the one input."""
        return [_Named(IMAGES, [])]

    def get_outputs(self) -> list[_Named]:
        """Return the one output."""
        return [_Named(LOGITS, [])]

    def get_providers(self) -> list[str]:
        """Return nothing: PyTorch computes."""
        return []

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, ImageArray]) -> list[Any]:
        """Compute images (B, 3, H, W) to logits (B, L, C); `CheckpointError` if that fails."""
        try:
            with torch.no_grad():
                return [self._program(torch.from_numpy(inputs[IMAGES])).float().numpy()]
        except CheckpointError as error:
            raise CheckpointError(f"{self._path} cannot be computed: {error}") from error


def _open(path: Path, shape: Sequence[int], threads: int | None) -> ArchiveSession | LimitedSession:
    if is_trusted(path):
        return ArchiveSession(path, threads)
    return LimitedSession(
        path,
        shape,
        stored=path.stat().st_size,
        threads=threads or available_threads(),
        device="cpu",
    )


class ArchiveEngine(OnnxEngine):
    """Arguments are those of `strhub.Recognizer`; how it decodes was settled when the file was
    written.

    Raises:
        CheckpointError: for a file that is not there, damaged or not of strhub.
        ConfigError: for another device than the CPU, or options of decoding.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | None = None,
        threads: int | None = None,
        **search: Any,
    ) -> None:
        if str(device or "auto") not in ("auto", "cpu"):
            raise ConfigError(
                f"{model} is read on the CPU: leave the device {device!r} out, or export to .onnx"
            )
        self._model = Path(model)
        self.description = read_archive_description(self._model)
        shape = [3, *self.description["img_size"]]
        opened = partial(_open, self._model, shape, threads)
        self._alone = self._shared = PerProcess(opened, opened())
        self._adopt_description(search)
        self._lanes, self._on_cpu = 1, True

    @contextmanager
    def side_by_side(self) -> Iterator[Decode]:
        """See `Engine`."""
        yield self.decode

    def _logits(self, session: Any, images: ImageArray) -> ImageArray:
        (logits,) = session.run([LOGITS], {IMAGES: images})
        return self._checked(logits, len(images))
