"""Runs of a stranger's graph with limits on time and memory, in this process.

A trial (`onnx_trial`) has computed one image before. A thread looks ten times a second at the runs
that go on, and tells those to stop that take too much; the runtime does so between two operators.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from strhub.errors import CheckpointError

__all__ = ["LimitedSession"]

SECONDS: Final = 60.0  # that a run may take, on a machine that has other things to do
SECONDS_AN_IMAGE: Final = 10.0  # more
_PAUSE = 0.1


class LimitedSession:
    """A session of ONNX Runtime whose runs have limits.

    options: makes the runtime's options of a run. memory: bytes by which this process may grow
    during a run.
    """

    def __init__(
        self, session: Any, options: Callable[[], Any], path: Path, *, memory: int
    ) -> None:
        self._session, self._options, self._path, self._memory = session, options, path, memory
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs
        self.get_providers = session.get_providers

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, Any]) -> Any:
        """Compute, as the session does; `CheckpointError` if that takes too much."""
        images = max(len(array) for array in inputs.values())
        seconds = SECONDS + SECONDS_AN_IMAGE * images
        run = _Run(self._options(), time.monotonic() + seconds, _resident() + self._memory)
        _WATCH.add(run)
        try:
            return self._session.run(outputs, inputs, run.options)
        except Exception as error:  # of many kinds, all of onnxruntime's own
            if run.stopped:
                raise CheckpointError(
                    f"{self._path}: {images} images took {run.stopped}: over {seconds:.0f} seconds "
                    f"or {self._memory >> 20} MiB are not computed"
                ) from error
            raise
        finally:
            _WATCH.remove(run)


class _Run:
    """A run that goes on; stopped: why it was told to stop."""

    def __init__(self, options: Any, deadline: float, memory: int) -> None:
        self.options, self.deadline, self.memory, self.stopped = options, deadline, memory, ""


class _Watch:
    """The runs that go on, and the thread that looks at them, which ends when there are none."""

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        """Begin without runs: those of another process are not ours."""
        self._lock = threading.Lock()
        self._runs: set[_Run] = set()
        self._watching = False

    def add(self, run: _Run) -> None:
        """Look at a run from now on."""
        with self._lock:
            self._runs.add(run)
            if not self._watching:
                self._watching = True
                threading.Thread(target=self._look, name="strhub-limits", daemon=True).start()

    def remove(self, run: _Run) -> None:
        """Forget a run, which has ended."""
        with self._lock:
            self._runs.discard(run)

    def _look(self) -> None:
        while True:
            time.sleep(_PAUSE)
            with self._lock:
                if not self._runs:
                    self._watching = False
                    return
                now, memory = time.monotonic(), _resident()
                for run in self._runs:
                    if now > run.deadline or memory > run.memory:
                        run.stopped = "too long" if now > run.deadline else "too much memory"
                        run.options.terminate = True


def _resident() -> int:
    """Return the bytes of memory that this process has, or 0 where nothing says so."""
    with suppress(OSError, ValueError, IndexError), open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    return 0


_WATCH = _Watch()
