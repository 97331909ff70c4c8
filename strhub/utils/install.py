"""How to install what a function needs beyond the package itself."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

import strhub
from strhub.errors import MissingExtra

__all__ = ["import_extra", "install_command", "not_installed"]


def install_command(extra: str) -> str:
    """Return a line for the shell that installs an extra, for the strhub that is running: a
    checkout or a wheel.
    """
    root = Path(strhub.__file__).resolve().parent.parent
    if not (root / "pyproject.toml").is_file():
        return f"pip install 'strhub[{extra}]'"
    where = "." if root == Path.cwd().resolve() else str(root)
    return f"pip install -e '{where}[{extra}]'"


def not_installed(error: ModuleNotFoundError, extra: str, what: str) -> str:
    """Return one sentence for a package that is missing. what: what needs it, such as `this
    command`.
    """
    return f"{error.name} is not installed; {what} needs: {install_command(extra)}"


def import_extra(name: str, extra: str, what: str) -> ModuleType:
    """Return a package that an extra brings; `MissingExtra` where it, or what it needs, is not
    installed. what: what needs it, such as `writing for OpenVINO`.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtra(not_installed(error, extra, what), name=error.name) from error
