"""What a command says when the packages it needs are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from strhub.utils.install import not_installed


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """End the command, if a package is missing in the imports within, with the name of the extra
    that brings it and without a traceback.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise SystemExit(not_installed(error, extra, "this command")) from error
