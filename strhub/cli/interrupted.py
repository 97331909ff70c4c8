"""How a command ends that Ctrl-C or SIGTERM stopped: what it did so far stands, no traceback, the
status of shells.
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


class Terminated(BaseException):
    """SIGTERM came. No `Exception`: what handles errors is not to take this for one and go on."""


def end_interrupted(command: str) -> NoReturn:
    """Say that it was stopped, and end; a second Ctrl-C, while threads finish what they have begun,
    ends it at once.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(f"\n{command}: stopped", file=sys.stderr)
    sys.exit(INTERRUPTED)


def end_terminated(command: str) -> NoReturn:
    """Say that it was stopped, and end; a second SIGTERM, while threads finish, ends it at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    print(f"{command}: stopped by SIGTERM", file=sys.stderr)
    sys.exit(TERMINATED)
