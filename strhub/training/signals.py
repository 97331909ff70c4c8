"""What a signal does to a run whose training has not begun: it ends, and nothing that was saved
before is touched.

While it trains, `strhub.training.callbacks.last_checkpoint` takes the signals over. Nothing heavy
is imported here, so that a command listens from its first moment on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["StoppedEarly", "stopping_early"]


class StoppedEarly(BaseException):
    """The run was told to stop while there was no state to save. number: of the signal.

    No `Exception`: what handles errors, in libraries too, is not to take this for one and go on.
    """

    def __init__(self, number: int) -> None:
        name = signal.Signals(number).name
        super().__init__(
            f"stopped by {name}: nothing more was saved, and earlier states are as they were"
        )
        self.number = number


@contextmanager
def stopping_early() -> Iterator[None]:
    """Raise `StoppedEarly` in the main thread for SIGTERM, SIGUSR1 and Ctrl-C within the context;
    afterwards all is as before.
    """
    process = os.getpid()

    def receive(number: int, frame: Any) -> None:
        if os.getpid() != process:  # a forked child: what it would have done without us
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        raise StoppedEarly(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [
        getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name)
    ]
    before = {number: signal.signal(number, receive) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
