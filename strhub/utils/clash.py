"""Whether this package has its folder to itself: the reference's project calls its package
`strhub`, too, and pip lays the files of both into one folder without a word.
"""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import strhub
from strhub.errors import MixedInstall

__all__ = ["check_alone"]

_FOREIGN = ("models/modules.py", "data/aa_overrides.py", "data/augment.py")
"""Files that only the other project has."""


def check_alone(package: Path | None = None) -> None:
    """Raise `MixedInstall` if another project has files in this package's folder.

    package: the folder, by default the one that is imported. A few files are looked for, and the
    names beside the folder are listed; nothing is imported or read unless something is wrong.
    """
    folder = Path(__file__).parents[1] if package is None else package
    signs = [name for name in _FOREIGN if (folder / name).exists()]
    if not hasattr(strhub, "_HOMES"):
        signs.append("__init__.py")
    strangers = _foreign_metadata(folder.parent)
    if not signs and not strangers:
        return
    found = ", ".join([*(f"{folder / name}" for name in signs), *strangers])
    owners = _owners()
    named = f" Packages that own files there: {', '.join(owners)}." if owners else ""
    raise MixedInstall(
        f"two projects that call their package strhub are installed in one environment: {found} "
        f"is of the other one.{named} Uninstall both (pip uninstall strhub, until nothing is "
        f"left; then delete {folder} if it is still there) and install the one that you want, "
        "or keep them in two environments"
    )


def _foreign_metadata(beside: Path) -> list[str]:
    """Return the metadata of packages of this name and another version, in the folder of an
    installed one.
    """
    try:
        names = os.listdir(beside)
    except OSError:
        return []
    version = getattr(strhub, "__version__", "")
    return sorted(
        name
        for name in names
        if name.startswith("strhub-")
        and name.endswith(".dist-info")
        and name != f"strhub-{version}.dist-info"
    )


def _owners() -> list[str]:
    """Name and version of each installed distribution with files in a package `strhub`."""
    return sorted(
        {
            f"{one.metadata['Name']} {one.version}"
            for one in metadata.distributions()
            if any(file.parts[:1] == ("strhub",) for file in one.files or ())
        }
    )
