"""An archive of `torch.export` (.pt2) as the engine of a reader: what `export.py` wrote, computed
by PyTorch's operators.

It is read by `archive_file`, not by PyTorch's own reader, which trusts archives.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from strhub.errors import CheckpointError, ConfigError
from strhub.inference.archive_file import read_archive_description, read_program
from strhub.inference.engine import Decode, ImageArray
from strhub.inference.onnx_engine import OnnxEngine
from strhub.inference.onnx_trial import try_graph

__all__ = ["ArchiveEngine"]


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
        if threads is not None:
            torch.set_num_threads(threads)
        self.description = read_archive_description(self._model)
        self._program = read_program(self._model)
        stored = self._model.stat().st_size
        try_graph(self._model, [3, *self.description["img_size"]], stored=stored)
        self._adopt_description(search)
        self._lanes, self._on_cpu = 1, True

    @property
    def session(self) -> Any:
        """Return no session: PyTorch computes."""
        return None

    @contextmanager
    def side_by_side(self) -> Iterator[Decode]:
        """See `Engine`."""
        yield self.decode

    def _logits(self, session: Any, images: ImageArray) -> ImageArray:
        with torch.no_grad():
            try:
                logits: ImageArray = self._program(torch.from_numpy(images)).float().numpy()
            except CheckpointError as error:
                raise CheckpointError(f"{self._model} cannot be computed: {error}") from error
        return self._checked(logits, len(images))
