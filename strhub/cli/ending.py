"""How a command ends: with a status, one clear line for what its user can mend, and no traceback
for Ctrl-C.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from io import TextIOWrapper
from typing import NoReturn

from strhub.cli.interrupted import end_interrupted
from strhub.utils.terminal import PlainFormatter, printable_lines

__all__ = ["end_with"]


def end_with(program: str, run: Callable[[], int | str]) -> NoReturn:
    """Run a command and end the program: what it returns is its exit status, or a text to print."""
    if isinstance(
        sys.stdout, TextIOWrapper
    ):  # a path or a text that the terminal's encoding lacks ends nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    if logging.lastResort is not None:  # what prints warnings where nobody has set logging up
        logging.lastResort.setFormatter(PlainFormatter())
    try:
        result = run()
        if isinstance(result, str):
            print(printable_lines(result, indent=""))
            result = 0
        sys.stdout.flush()
        sys.exit(result)
    except (ValueError, ImportError) as error:
        sys.exit(f"{program}: {printable_lines(error)}")
    except KeyboardInterrupt:
        end_interrupted(program)
    except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
        _discard_output()
        sys.exit(0)
    except OSError as error:  # such as a full disk
        _discard_output()
        sys.exit(f"{program}: {printable_lines(error)}")


def _discard_output() -> None:
    """If what was printed cannot be written, let it go nowhere, lest flushing it at exit fails,
    too.
    """
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
