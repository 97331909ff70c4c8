"""Sessions of ONNX Runtime: opened with limits, on some threads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from strhub.errors import CheckpointError
from strhub.inference.batches import available_processors
from strhub.inference.limited_session import LimitedSession, is_trusted
from strhub.inference.onnx_description import file_contents
from strhub.utils.telemetry import import_onnxruntime


def open_session(
    model: str | Path,
    *,
    device: str | None = None,
    threads: int | None = None,
    tried: Sequence[int] | None = None,
) -> Any:
    """Open ONNX Runtime's session of a file; the arguments and errors are those of `Recognizer`.

    tried: the shape (C, H, W) of an image that is computed first, if the file is a stranger's: in
        another process with limits, see `limited_session`, as all that follows.
    """
    path = Path(model)
    stored = file_contents(path).stored
    if threads is not None and threads < 1:
        raise ValueError(f"threads is {threads}: it must be at least 1")
    if tried is not None and not is_trusted(path):
        return LimitedSession(
            path, tried, stored=stored, threads=threads or available_threads(), device=device
        )
    try:
        onnxruntime = import_onnxruntime()
    except ModuleNotFoundError as error:
        raise ImportError(
            "onnxruntime is not installed; reading .onnx files needs: pip install onnxruntime"
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_threads()
    options.inter_op_num_threads = 1  # there is one thing to do at a time
    options.log_severity_level = 4  # not even errors, which are raised anyway
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=_providers(onnxruntime, device)
        )
    except Exception as error:  # of many kinds, all of onnxruntime's own
        raise CheckpointError(
            f"{path} cannot be loaded by onnxruntime {onnxruntime.__version__}: "
            f"{reason(error)[:500]}. Is the file "
            "whole, and that of its weights, if they are in another? A file written for newer "
            "operators needs a newer "
            "onnxruntime, or export it with a lower --opset"
        ) from error


def reason(error: Exception) -> str:
    return ascii((str(error).splitlines() or [type(error).__name__])[0])[1:-1]


def identity(path: Path) -> tuple[int, int, int] | None:
    """Return what differs when a file has been replaced; none if it has gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _providers(onnxruntime: Any, device: str | None) -> list[str]:
    available = onnxruntime.get_available_providers()
    cuda = "CUDAExecutionProvider"
    if device not in (None, "auto", "cpu", "cuda"):
        raise ValueError(f"there is no device {device!r}; known: cpu, cuda")
    if device == "cuda" and cuda not in available:
        raise ValueError(
            "the device 'cuda' cannot be used here: this onnxruntime has none (onnxruntime-gpu has)"
        )
    return [*([cuda] if device != "cpu" and cuda in available else []), "CPUExecutionProvider"]


def available_threads() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return available_processors()
