"""MATLAB files, which strangers may have made: each is read once by another process with limits
before this one reads it.

What reads them follows arrays within arrays without a limit, so that five megabytes end a process,
and unpacks whatever is compressed, so that one megabyte becomes a gigabyte.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from strhub.utils.limited import OUT_OF_TIME, command, environment, limit
from strhub.utils.regular_files import check_regular

__all__ = ["load_matlab"]

MEMORY: Final = 1 << 30  # bytes, beside 40 times the file; numbers of published sets need 20 times
SECONDS: Final = 60  # of a processor, beside a second for each mebibyte
_CODE: Final = "from strhub.data.published.matlab_file import main; main()"
_TRIED, _TOO_MUCH = 3, 4  # exit statuses


def load_matlab(path: Path) -> dict[str, Any]:
    """Return the variables of a MATLAB file of version 5, as scipy gives them.

    Raises:
        ValueError: if scipy isn't there, or the file can't be read within the limits.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise ValueError(
            f'{path}: MATLAB files need scipy: pip install "strhub[convert]"'
        ) from error
    if path.exists():
        check_regular(path)
        _try_apart(path)
    try:
        content: dict[str, Any] = loadmat(path)
    except FileNotFoundError:
        raise
    except Exception as error:  # scipy raises many kinds for damaged files
        raise ValueError(
            f"{path}: not a MATLAB file of version 5: {error}. Download it again"
        ) from error
    return content


def _try_apart(path: Path) -> None:
    """Raise `ValueError` for a file that ends the process which reads it, or takes too much."""
    size = path.stat().st_size
    memory, seconds = MEMORY + 40 * size, SECONDS + (size >> 20)
    try:
        status = subprocess.run(
            command(_CODE, str(path.absolute()), str(memory), str(seconds)),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=3 * seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        status = _TOO_MUCH
    except OSError as error:
        raise ValueError(
            f"{path} is refused: MATLAB files are tried in a process with limits, and none can be "
            f"started: {error}"
        ) from error
    if status in (_TOO_MUCH, *OUT_OF_TIME):
        raise ValueError(
            f"{path} is refused: reading it takes over {seconds} seconds or {memory >> 20} MiB"
        )
    if status != _TRIED:
        raise ValueError(
            f"{path} is refused: it is damaged, or made to harm: the process that tried to read it "
            f"ended with status {status}"
        )


def main() -> None:
    """Live the life of the other process; damage is told by the one that has started it."""
    path, memory, seconds = sys.argv[1:]
    from scipy.io import loadmat

    limit(int(memory), int(seconds))
    status = _TRIED
    try:
        loadmat(path)
    except MemoryError:
        status = _TOO_MUCH
    except Exception:
        pass
    os._exit(status)
