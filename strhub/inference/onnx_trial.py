"""One run of an exported file (.onnx, .pt2) in another process, before this one is given the file.

A graph is a program: it may compute for hours, ask for terabytes, or meet a fault in the runtime
that ends the process. All of that happens to the other process, which has limits. The models that
strhub brings are not tried, nor are any where `STRHUB_TRUST_ONNX` is 1, which saves the time.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from strhub.errors import CheckpointError
from strhub.inference.onnx_graph import check_course
from strhub.utils.limited import OUT_OF_TIME, command, end_with_other, environment, limit
from strhub.weights import embedded_graph

__all__ = ["ARCHIVE", "MAX_CPU_SECONDS", "MAX_MEMORY", "TRUST", "is_trusted", "try_graph"]

log = logging.getLogger(__name__)

TRUST: Final = "STRHUB_TRUST_ONNX"
ARCHIVE: Final = ".pt2"
MAX_CPU_SECONDS: Final = 20  # for one image of zeros; the largest models take less than a second
MAX_SECONDS: Final = 180.0  # the same, by the clock, on a machine that has other things to do
MAX_MEMORY: Final = 4 << 30  # bytes, beside four times the file

_CODE: Final = "from strhub.inference.onnx_trial import main; main()"
_BEGUN: Final = b"begun\n"
_REFUSED: Final = 3  # exit status: standard error says why, after
_TOLD: Final = "\nrefused: "


def try_graph(path: Path, shape: Sequence[int], *, stored: int) -> None:
    """Load a file and compute one image of zeros, of `shape` (C, H, W), in another process.

    stored: bytes of the file and its weights. A file that has passed is not tried again while it
    stays as it is. Where no process can be started, a warning is logged.

    Raises:
        CheckpointError: if the course of an .onnx file depends on what an image shows; if the run
            fails, ends the process, or takes too much time or memory.
        OSError: if the file is not there.
    """
    if is_trusted(path):
        return
    status = path.stat()
    _try(path, tuple(shape), stored, (status.st_ino, status.st_size, status.st_mtime_ns))


def is_trusted(path: Path) -> bool:
    """Return whether a file came with strhub, or all are trusted."""
    own = embedded_graph().resolve().parent
    return os.environ.get(TRUST) == "1" or path.resolve().parent == own


@lru_cache(maxsize=16)
def _try(path: Path, shape: tuple[int, ...], stored: int, identity: tuple[int, int, int]) -> None:
    if path.suffix != ARCHIVE:
        try:
            check_course(path)
        except ValueError as error:
            raise CheckpointError(
                f"{path} is refused: {error}, and so may take any time. If the file is your own, "
                f"set {TRUST}=1 in the environment"
            ) from error
    arguments = [
        os.path.abspath(path),
        str(MAX_MEMORY + 4 * stored),
        str(MAX_CPU_SECONDS),
        *map(str, shape),
    ]
    watched, held = os.pipe()  # the other process ends when this one does, and so the pipe
    try:
        status, out, err = _ended(arguments, watched)
    except subprocess.TimeoutExpired as error:
        raise _too_slow(path) from error
    except OSError as error:
        log.warning("%s is used untried, since no process can be started: %s", path, error)
        return
    finally:
        os.close(watched)
        os.close(held)
    if not out.startswith(_BEGUN):  # it is not Python, or one without strhub
        log.warning("%s is used untried, since %s cannot be started", path, sys.executable)
    elif status == _REFUSED:
        told = err.decode("utf-8", "replace").rpartition(_TOLD)[2]
        raise CheckpointError(told.replace(arguments[0], str(path)))
    elif status in OUT_OF_TIME:
        raise _too_slow(path)
    elif status:
        raise CheckpointError(
            f"{path} cannot be loaded: it is damaged, or made to harm: "
            f"{'PyTorch' if path.suffix == ARCHIVE else 'ONNX Runtime'} crashes on it (status "
            f"{status} of the process that tried it)"
        )


def _ended(arguments: Sequence[str], stdin: int) -> tuple[int, bytes, bytes]:
    """Run the other process; return its status and what it printed."""
    ended = subprocess.run(
        command(_CODE, *arguments), env=environment(), stdin=stdin, capture_output=True,
        timeout=MAX_SECONDS, check=False,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


def _too_slow(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} cannot be loaded: one image takes over {MAX_CPU_SECONDS} seconds. If the file is "
        "your own, set "
        f"{TRUST}=1 in the environment"
    )


def main() -> None:
    """Live the life of the other process: limit itself, load, compute, and say what is wrong."""
    path, memory, seconds, *shape = sys.argv[1:]
    os.write(1, _BEGUN)
    end_with_other()
    limit(int(memory), int(seconds))
    try:
        _compute(Path(path), tuple(map(int, shape)))
    except (ValueError, ImportError, OSError) as error:
        refused = str(error)
    except MemoryError:
        refused = f"{path} cannot be loaded: it needs over {int(memory) >> 20} MiB"
    else:
        os._exit(0)
    os.write(2, (_TOLD + refused).encode("utf-8", "replace"))
    os._exit(_REFUSED)


def _compute(path: Path, shape: tuple[int, ...]) -> None:
    if path.suffix == ARCHIVE:
        from strhub.inference.archive_file import compute_archive_once

        compute_archive_once(path, shape)
    else:
        from strhub.inference.onnx_session import compute_once

        compute_once(path, shape)
