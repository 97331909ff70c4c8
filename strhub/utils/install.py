"""How to install what a function needs beyond the package itself."""

from __future__ import annotations

from pathlib import Path

import strhub

__all__ = ["install_command", "not_installed"]


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
