"""Names that options of the configuration had before: they work until `REMOVED_IN`.

`data.drawn=8` on a command line, in a stored run or in somebody's experiment is now
`data.render.words=8`. Whoever reads options brings them to their present names here; what was
typed just now is passed to `warn(old, new)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from strhub.configs import CONFIG_DIR

__all__ = ["FORMER_DATA", "FORMER_OPTIONS", "Warn", "present_data", "present_override"]

Warn: TypeAlias = Callable[[str, str], None]

FORMER_DATA: Final = {
    "drawn": "render.words",
    "draw_difficulty": "render.difficulty",
    "draw_max_length": "render.max_length",
    "draw_texts": "render.texts",
    "draw_blanks": "render.blanks",
    "draw_validation": "render.validation",
    "drawing": "render.style",
    "augment_drawn": "render.augment",
    "mixture.drawn": "mixture.rendered",
    "val_share": "val_fraction",
}
"""Present names below `data` by the names that they had before."""

FORMER_OPTIONS: Final = {
    "pictures": "images",
    **{f"data.{old}": f"data.{new}" for old, new in FORMER_DATA.items()},
}
"""Present names of options by the names that they had before."""

_CHOICES: Final = {"dataset=drawn": "dataset=rendered"}
_NAME: Final = re.compile(r"\+{0,2}(?P<name>[A-Za-z_][\w./-]*)=")


def present_override(argument: str, warn: Warn | None = None) -> str:
    """Return an override such as `data.drawn=8` by the name that its option or choice has now."""
    found = _NAME.match(argument)
    old = found["name"] if found and found["name"] in FORMER_OPTIONS else argument
    new = FORMER_OPTIONS.get(old) or _CHOICES.get(old)
    if new is None:
        return argument
    if warn:
        warn(old, new)
    return argument.replace(old, new, 1)


def present_data(options: Mapping[str, Any], warn: Warn | None = None) -> dict[str, Any]:
    """Return options of `data` with those by former names where they are now: below `render`, or
    in `mixture` as `rendered`.

    Raises:
        ValueError: if one is given by both names.
    """
    present = {name: value for name, value in options.items() if name not in FORMER_DATA}
    for old, new in FORMER_DATA.items():
        if old in options:
            group, _, name = new.rpartition(".")
            there = present.get(group) if group else present
            there = there if isinstance(there, Mapping) else {}
            _check_one(f"data.{old}", f"data.{new}", options[old], there.get(name))
            if group:
                present[group] = {**there, name: options[old]}
            else:
                present[name] = options[old]
            if warn:
                warn(f"data.{old}", f"data.{new}")
    mixture = present.get("mixture")
    if isinstance(mixture, Mapping) and "drawn" in mixture:
        if "rendered" in mixture:
            raise ValueError(
                "data.mixture has 'drawn' and 'rendered', which are the same: keep only one"
            )
        present["mixture"] = {
            "rendered" if name == "drawn" else name: part for name, part in mixture.items()
        }
        if warn:
            warn("data.mixture.drawn", "data.mixture.rendered")
    return present


def _check_one(old: str, new: str, by_old: object, by_new: object) -> None:
    """Raise `ValueError` if an option has another value by its present name, and not by default."""
    import yaml  # not needed for --help

    content: Any = yaml.safe_load((CONFIG_DIR / "main.yaml").read_text("utf-8"))
    for part in new.split("."):
        content = content[part]
    if by_new not in (None, by_old, content):
        raise ValueError(f"{old} and {new} are two names of the same option: set only one")
