"""The process that computes a stranger's exported file; see `limited_session`.

    limited_worker PATH BYTES SECONDS THREADS DEVICE C H W

It limits itself, computes one image of zeros, says what the graph is like, and computes what comes,
until nothing more can come.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from strhub.errors import CheckpointError
from strhub.inference.limited_messages import receive, send
from strhub.inference.limited_session import ARCHIVE, describe
from strhub.utils.limited import limit, unlimit_time

__all__ = ["main"]

_AT_ONCE: Final = 16  # requests, more than any engine has


def main() -> None:
    """Live the life of the process."""
    path, memory, seconds, threads, device, *shape = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the one that has started it
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what native code prints is no answer
    out.write(b"begun\n")
    out.flush()
    limit(0 if device_takes_memory(device) else int(memory), int(seconds))
    worker = _Worker(out)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pool.submit(
            worker.begin, Path(path), int(memory), int(threads), device, tuple(map(int, shape))
        )
        try:
            while True:
                head, arrays = receive(sys.stdin.buffer)
                pool.submit(worker.compute, head, arrays)
        finally:
            os._exit(0)


def device_takes_memory(device: str) -> bool:
    """Return whether CUDA is used, whose drivers reserve far more memory than they use."""
    if device == "cpu":
        return False
    from strhub.utils.telemetry import import_onnxruntime

    try:
        return "CUDAExecutionProvider" in import_onnxruntime().get_available_providers()
    except ImportError:
        return False


class _Worker:
    """The session, and where its answers go."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self._lock = out, threading.Lock()
        self._session: Any = None

    def begin(
        self, path: Path, memory: int, threads: int, device: str, shape: tuple[int, ...]
    ) -> None:
        """Load the file, compute an image of zeros, and say what the graph is like."""
        try:
            self._session = _opened(path, threads, device or None)
            inputs = {
                one.name: np.zeros((1, *shape), np.float32)
                for one in self._session.get_inputs()[:1]
            }
            self._session.run(None, inputs)
            said = describe(self._session)
        except MemoryError:
            said = {"refused": f"{path} cannot be loaded: it needs over {memory >> 20} MiB"}
        except ImportError as error:
            said = {"refused": str(error), "kind": "ImportError"}
        except (CheckpointError, OSError) as error:
            said = {"refused": str(error)[:2000]}
        except Exception as error:  # of many kinds, the runtimes' own
            said = {"refused": f"{path} cannot be computed: {_reason(error)}"}
        unlimit_time()  # whoever has started this process looks at the clock from now on
        self._answer(said)

    def compute(self, head: dict[str, Any], arrays: list[Any]) -> None:
        """Compute what was sent and answer."""
        said: dict[str, Any] = {"number": head["number"]}
        found: Sequence[Any] = ()
        try:
            inputs = dict(zip(head["names"], arrays, strict=True))
            found = self._session.run(head["outputs"], inputs)
        except MemoryError:
            said["error"] = "there is not enough memory for it"
        except Exception as error:  # of many kinds, the runtimes' own
            said["error"] = _reason(error)
        self._answer(said, found)

    def _answer(self, said: dict[str, Any], arrays: Sequence[Any] = ()) -> None:
        try:
            with self._lock:
                send(self._out, said, arrays)
        except BaseException:  # half an answer, or nobody there
            os._exit(1)


def _reason(error: Exception) -> str:
    return ascii((str(error).splitlines() or [type(error).__name__])[0][:300])[1:-1]


def _opened(path: Path, threads: int, device: str | None) -> Any:
    if path.suffix == ARCHIVE:
        from strhub.inference.archive_engine import ArchiveSession

        return ArchiveSession(path, threads)
    from strhub.inference.onnx_session import open_session

    return open_session(path, device=device, threads=threads)
