"""Which searches this user has started: only the state of those is given to Ray, which unpickles
it.

The folder of a search holds a mark that none but this user can have made, for this folder alone: a
hash of its number in the file system with a key that lies in the user's home folder.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

from strhub.errors import ConfigError
from strhub.utils.files import write_whole
from strhub.utils.regular_files import read_regular

__all__ = ["check_own", "mark_own"]

log = logging.getLogger(__name__)

_MARK = ".started_here"
_KEY_BYTES = 32


def mark_own(folder: Path) -> None:
    """Mark the folder of a search that begins; a warning where no key can be kept."""
    try:
        write_whole(folder / _MARK, _mark(folder, _key(make=True)))
    except OSError as error:
        log.warning("the search cannot be resumed without tune.trust=true: %s", error)


def check_own(folder: Path) -> None:
    """Raise `ConfigError` unless this user has started the search in a folder, as it lies there."""
    with suppress(OSError, ValueError):
        found = read_regular(folder / _MARK, max_bytes=1000).decode("ascii")
        if hmac.compare_digest(found, _mark(folder, _key(make=False))):
            return
    raise ConfigError(
        f"tune.resume_dir: {folder} holds no search that you have started there, and the state "
        "that "
        "Ray keeps can run code. If you trust it, such as after it was copied or moved to another "
        "disk, add tune.trust=true"
    )


def _mark(folder: Path, key: bytes) -> str:
    number = str(folder.stat().st_ino)
    return hmac.new(key, number.encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool) -> bytes:
    """Return the user's key; an `OSError` if there is none, or none can be made."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    path = Path(home, "strhub", "key").expanduser()
    if make and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
    key = read_regular(path, max_bytes=_KEY_BYTES)
    if len(key) != _KEY_BYTES:
        raise OSError(f"{path} is damaged: remove it")
    return key
