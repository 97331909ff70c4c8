"""An archive of `torch.export` (.pt2) as the engine of a reader: what `export.py` wrote, run by
PyTorch.

PyTorch's own reader of archives trusts them: open only those of people you trust.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from strhub.errors import CheckpointError, ConfigError
from strhub.inference.engine import Decode, ImageArray
from strhub.inference.onnx_description import METADATA_KEY
from strhub.inference.onnx_engine import OnnxEngine
from strhub.utils.regular_files import check_regular

__all__ = ["ArchiveEngine"]

_DESCRIPTION = f"{METADATA_KEY}.json"


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
        program, self.description = _load(self._model)
        self._module = program.module()
        self._adopt_description(search)
        self._lanes, self._on_cpu = 1, True

    @property
    def session(self) -> Any:
        """There is none: PyTorch computes."""
        return None

    @contextmanager
    def side_by_side(self) -> Iterator[Decode]:
        """See `Engine`."""
        yield self.decode

    def _logits(self, session: Any, images: ImageArray) -> ImageArray:
        with torch.no_grad():
            logits: ImageArray = self._module(torch.from_numpy(images)).float().numpy()
        return self._checked(logits, len(images))


def _load(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the program and what the file says of it."""
    extra = {_DESCRIPTION: ""}
    try:
        check_regular(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch, about its own format
            program = torch.export.load(path, extra_files=extra)
        description = json.loads(extra[_DESCRIPTION])
        needed = ("charset", "img_size", "normalize", "tokenizer")
        if missing := [name for name in needed if name not in description]:
            raise CheckpointError(f"{path} does not say its {', '.join(missing)}; export it again")
    except CheckpointError:
        raise
    except Exception as error:  # of many kinds, PyTorch's own among them
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise CheckpointError(
            f"{path} cannot be read as an archive of torch.export by strhub: {reason}"
        ) from error
    return program, description
