"""Processes with limits as copies of this one, which has imported what they need: an attempt then
takes a few hundredths of a second, not half a one. What they do is the same.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Any


class ForkedProcess:
    """What is used of `subprocess.Popen` by those that start Python with some code."""

    def __init__(self, command: Sequence[str], **_: Any) -> None:
        inward, self._write = os.pipe()
        self._read, outward = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            self._live(command, inward, outward)
        os.close(inward)
        os.close(outward)
        self.stdin: IO[bytes] = os.fdopen(self._write, "wb")
        self.stdout: IO[bytes] = os.fdopen(self._read, "rb")

    def _live(self, command: Sequence[str], inward: int, outward: int) -> None:
        """Be the other process."""
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            nothing = os.open(os.devnull, os.O_WRONLY)
            for source, target in ((inward, 0), (outward, 1), (nothing, 2)):
                os.dup2(source, target)
            os.closerange(3, 200)
            sys.stdin = os.fdopen(0, "r")
            code, sys.argv = command[4], ["-c", *command[5:]]
            exec(code, {})
        finally:
            os._exit(1)

    def kill(self) -> None:
        """Kill it."""
        if self.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; return its status."""
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def communicate(self) -> None:
        """Close its pipes and wait for its end."""
        for pipe in (self.stdin, self.stdout):
            with suppress(OSError):
                pipe.close()
        self.wait()


def fork_instead(kind: str) -> None:
    """Let the processes with limits be forked, for kinds of files that have them."""
    if kind not in ("models", "detectors", "pdfs"):
        return
    import numpy as np
    import pypdfium2
    from PIL import Image

    from strhub.inference import archive_engine, limited_session, limited_worker
    from strhub.spotting import pdf_pages
    from strhub.utils.telemetry import import_onnxruntime

    import_onnxruntime()
    Image.init()
    modules: tuple[Any, ...] = (limited_session, pdf_pages)
    for module in modules:
        module.subprocess = type(
            "subprocess",
            (),
            {
                **vars(module.subprocess),
                "Popen": ForkedProcess,
            },
        )
    assert all((np, pypdfium2, archive_engine, limited_worker))
