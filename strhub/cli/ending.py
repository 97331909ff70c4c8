"""How a command ends: with a status, one clear line for what its user can mend, and no traceback for Ctrl-C."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from strhub.cli.interrupted import end_interrupted

__all__ = ["end_with"]


def end_with(program: str, run: Callable[[], int | str]) -> NoReturn:
    """Run a command and end the program: what it returns is its exit status, or a text to print."""
    try:
        result = run()
        if isinstance(result, str):
            print(result)
            result = 0
        sys.stdout.flush()
        sys.exit(result)
    except (ValueError, ImportError) as error:
        sys.exit(f"{program}: {error}")
    except KeyboardInterrupt:
        end_interrupted(program)
    except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # lest flushing it at exit fails, too
        sys.exit(0)
