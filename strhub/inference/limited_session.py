"""Exported files of strangers (.onnx, .pt2), computed in another process that has limits.

A graph is a program: it may compute for hours, ask for terabytes, or meet a fault in the runtime
that ends the process; within one operator nothing can stop it. All of that happens to the other
process (`limited_worker`), which first computes one image of zeros, then what it is sent, and is
killed when a run takes too long. The models that strhub brings are computed in this process, as are
all where `STRHUB_TRUST_ONNX` is 1, which saves the time.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np

from strhub.errors import CheckpointError
from strhub.inference.limited_messages import receive, send
from strhub.inference.onnx_graph import check_control_flow
from strhub.utils.limited import OUT_OF_TIME, command, environment
from strhub.weights import embedded_graph

__all__ = ["ARCHIVE", "TRUST", "LimitedSession", "is_trusted"]

TRUST: Final = "STRHUB_TRUST_ONNX"
ARCHIVE: Final = ".pt2"
MAX_CPU_SECONDS: Final = 20  # for one image of zeros; the largest models take less than a second
MAX_SECONDS: Final = 180.0  # the same, by the clock, on a machine that has other things to do
MAX_MEMORY: Final = 4 << 30  # bytes, beside four times the file
SECONDS: Final = 60.0  # that a run may take, on a machine that has other things to do
SECONDS_AN_IMAGE: Final = 10.0  # more

_CODE: Final = "from strhub.inference.limited_worker import main; main()"
_PIPE: Final = 1 << 20  # bytes, where a pipe's size can be chosen


class _Named(NamedTuple):
    """An input or output of a graph, as ONNX Runtime describes one."""

    name: str
    shape: list[int | str | None]


def is_trusted(path: Path) -> bool:
    """Return whether a file came with strhub, or all are trusted."""
    own = embedded_graph().resolve().parent
    return os.environ.get(TRUST) == "1" or path.resolve().parent == own


class LimitedSession:
    """What is used as a session of ONNX Runtime, in another process; several threads may call it.

    shape: (C, H, W) of the image of zeros. stored: bytes of the file and its weights. device,
    threads: as for `Recognizer`.

    Raises:
        CheckpointError: if the course of an .onnx file depends on what an image shows; if one image
            of zeros fails, ends the process, or takes too much time or memory; if no process can be
            started.
        OSError: if the file is not there.
    """

    def __init__(
        self, path: Path, shape: Sequence[int], *, stored: int, threads: int, device: str | None
    ) -> None:
        if path.suffix != ARCHIVE:
            try:
                check_control_flow(path)
            except ValueError as error:
                raise CheckpointError(
                    f"{path} is refused: {error}, so it may take any time. If the file is your "
                    f"own, set {TRUST}=1 in the environment"
                ) from error
        self._path, self._memory = path, MAX_MEMORY + 4 * stored
        limits = (self._memory, MAX_CPU_SECONDS, threads)
        self._arguments = [os.path.abspath(path), *map(str, limits), device or "", *map(str, shape)]
        self._lock = threading.Lock()
        self._other = _Other(self._path, self._arguments)

    def get_inputs(self) -> list[_Named]:
        """Return the graph's inputs."""
        return [_Named(*one) for one in self._other.described["inputs"]]

    def get_outputs(self) -> list[_Named]:
        """Return the graph's outputs."""
        return [_Named(*one) for one in self._other.described["outputs"]]

    def get_providers(self) -> list[str]:
        """Return what ONNX Runtime computes with."""
        return list(self._other.described["providers"])

    def run(self, outputs: Sequence[str] | None, inputs: Mapping[str, Any]) -> list[Any]:
        """Compute, as a session does; `CheckpointError` if that fails or takes too much.

        After that the next run begins with another process.
        """
        with self._lock:
            if self._other.ended:
                self._other = _Other(self._path, self._arguments)
            other = self._other
        images = max(len(array) for array in inputs.values())
        return other.run(outputs, inputs, SECONDS + SECONDS_AN_IMAGE * images, self._memory)


class _Other:
    """The other process, from the outside; described: what it has said of the graph."""

    def __init__(self, path: Path, arguments: Sequence[str]) -> None:
        self._path = path
        self._sending = threading.Lock()
        self._numbers = itertools.count()
        self._answers = _Answers()
        try:
            self._process = subprocess.Popen(
                command(_CODE, *arguments),
                env=environment(threads=int(arguments[3])),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        except OSError as error:
            raise self._not_started(str(error)) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._pipe: IO[bytes] = self._process.stdin
        _widen(self._process.stdin, self._process.stdout)
        weakref.finalize(self, _end, self._process, os.getpid())
        try:
            self.described = self._begin(self._process.stdout, arguments[0])
        except BaseException:
            _end(self._process, os.getpid())
            self._process.stdout.close()
            raise
        reading = (self._process.stdout, self._answers)
        threading.Thread(target=_listen, args=reading, name="strhub-limits", daemon=True).start()

    @property
    def ended(self) -> bool:
        """Return whether it computes no more."""
        return self._answers.ended

    def _begin(self, pipe: IO[bytes], absolute: str) -> dict[str, Any]:
        """Return what the process says of the graph once it has computed an image of zeros."""
        timer = threading.Timer(MAX_SECONDS, self._process.kill)
        timer.start()
        try:
            if pipe.readline(100) != b"begun\n":  # it is not Python, or one without strhub
                raise self._not_started(f"{sys.executable} cannot be started")
            said, _ = receive(pipe)
        except (EOFError, OSError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise self._ended_early(self._process.wait()) from error
        finally:
            timer.cancel()
        if "refused" in said:
            text = str(said["refused"]).replace(absolute, str(self._path))
            raise (ImportError if said.get("kind") == "ImportError" else CheckpointError)(text)
        return said

    def _not_started(self, why: str) -> CheckpointError:
        return CheckpointError(
            f"{self._path} is refused: exported files are computed in a process with limits, and "
            f"none can be started: {why}. If the file is your own, set {TRUST}=1 in the environment"
        )

    def _ended_early(self, status: int) -> CheckpointError:
        if status in OUT_OF_TIME:
            return CheckpointError(
                f"{self._path} cannot be loaded: one image takes over {MAX_CPU_SECONDS} seconds. "
                f"If the file is your own, set {TRUST}=1 in the environment"
            )
        runtime = "PyTorch" if self._path.suffix == ARCHIVE else "ONNX Runtime"
        return CheckpointError(
            f"{self._path} cannot be loaded: it is damaged, or made to harm: {runtime} crashes on "
            f"it (status {status} of the process that tried it)"
        )

    def run(
        self,
        outputs: Sequence[str] | None,
        inputs: Mapping[str, Any],
        seconds: float,
        memory: int,
    ) -> list[Any]:
        """Send inputs and return the outputs, in their order."""
        number = next(self._numbers)
        answer = self._answers.expect(number)
        late = threading.Event()
        timer = threading.Timer(seconds, self._kill, (late,))
        timer.daemon = True
        timer.start()
        try:
            with suppress(OSError), self._sending:  # it has ended: the answer says so
                head = {"number": number, "outputs": outputs, "names": list(inputs)}
                send(self._pipe, head, [np.asarray(array) for array in inputs.values()])
            said, arrays = answer.result()
        except EOFError as error:
            raise CheckpointError(
                f"{self._path}: {len(next(iter(inputs.values())))} images took "
                f"{'too long' if late.is_set() else 'too much memory, or crashed the runtime'}: "
                f"over {seconds:.0f} seconds or {memory >> 20} MiB are not computed"
            ) from error
        finally:
            timer.cancel()
        if "error" in said:
            raise CheckpointError(f"{self._path} cannot be computed: {said['error']}")
        return arrays

    def _kill(self, late: threading.Event) -> None:
        late.set()
        self._process.kill()


class _Answers:
    """What threads wait for, by the numbers of their requests; ended: no more will come."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[tuple[dict[str, Any], list[Any]]]] = {}
        self.ended = False

    def expect(self, number: int) -> Future[tuple[dict[str, Any], list[Any]]]:
        """Return what will be the answer; it raises EOFError if none comes."""
        answer: Future[tuple[dict[str, Any], list[Any]]] = Future()
        with self._lock:
            if self.ended:
                answer.set_exception(EOFError())
            else:
                self._waiting[number] = answer
        return answer

    def give(self, said: dict[str, Any], arrays: list[Any]) -> None:
        """Give an answer to who waits for it."""
        with self._lock:
            answer = self._waiting.pop(said["number"])
        answer.set_result((said, arrays))

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self._lock:
            self.ended = True
            waiting = [*self._waiting.values()]
            self._waiting.clear()
        for answer in waiting:
            answer.set_exception(EOFError())


def _widen(*pipes: IO[bytes]) -> None:
    """Let pipes hold a few images, where their size can be chosen: fewer turns for each."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        for pipe in pipes:
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE)


def _listen(pipe: IO[bytes], answers: _Answers) -> None:
    """Receive answers until the other process ends, or says what makes no sense."""
    try:
        with pipe:
            while True:
                answers.give(*receive(pipe))
    except (EOFError, OSError, ValueError, KeyError, TypeError, MemoryError):
        pass
    finally:
        answers.end()


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """End the other process, unless this is a forked copy of the one that has started it."""
    if os.getpid() != owner:
        return
    process.kill()
    process.wait()
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def describe(session: Any) -> dict[str, Any]:
    """Return what `LimitedSession` tells of a session, fit for JSON."""
    both = {"inputs": session.get_inputs(), "outputs": session.get_outputs()}
    text: dict[str, Any] = {
        name: [[one.name, list(one.shape)] for one in members] for name, members in both.items()
    }
    return json.loads(json.dumps({**text, "providers": session.get_providers()}, default=str))
