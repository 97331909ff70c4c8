"""How a command ends that Ctrl-C stopped: what it did so far stands, no traceback, the status that shells expect."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT


def end_interrupted(command: str) -> NoReturn:
    """Say that it was stopped, and end; a second Ctrl-C, while threads finish what they have begun, ends it at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    print(f"\n{command}: stopped", file=sys.stderr)
    sys.exit(INTERRUPTED)
