"""Checks of named options: an unknown one is an error that names the nearest known one."""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral
from typing import Any, Final

REMOVED_IN: Final = "0.2"
"""The version without the former names that CHANGELOG.md lists."""


def unknown_option_message(name: str, known: Iterable[str], where: str) -> str:
    """Return one sentence saying that `where` has no option `name`, and which one was probably
    meant.
    """
    return f"{where} has no option {name!r}.{_nearest_and_known(name, known)}"


def unknown_name_message(name: str, known: Iterable[str], kind: str) -> str:
    """Return one sentence saying that there is no `kind` of this name, and which one was probably
    meant.
    """
    return f"there is no {kind} {name!r}.{_nearest_and_known(name, known)}"


def _nearest_and_known(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    nearest = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    meant = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"{meant} Known: {', '.join(choices) or 'none'}"


def check_options(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise `ValueError` for the first of `names` that is not among `known`."""
    choices = set(known)
    for name in names:
        if name not in choices:
            raise ValueError(unknown_option_message(name, choices, where))


def warn_renamed(old: str, new: str, *, level: int = 2) -> None:
    """Warn that an option or a name goes by a new name, and in which version the old one goes."""
    warnings.warn(
        f"{old} is now called {new}; the old name will be removed in strhub {REMOVED_IN}",
        FutureWarning,
        level + 1,
    )


def take_renamed(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return `options` with old names, the keys of `names`, replaced by the new ones, and warn of
    each.

    `ValueError` if an option is given by both of its names.
    """
    renamed: dict[str, Any] = {}
    for name, value in options.items():
        new = names.get(name, name)
        if new != name:
            warn_renamed(name, new, level=3)
            if new in options:
                raise ValueError(f"{name} and {new} are two names of the same option: set only one")
        renamed[new] = value
    return renamed


def check_values(
    options: Mapping[str, Any], known: Mapping[str, Any], where: str, *, counts: Iterable[str] = ()
) -> None:
    """Raise `ValueError` for the first of `options` that is a text where `known` has a value of
    another type by its name, such as `decode_ar=false` without its type on a command line, or the
    reverse.

    counts: names of those that must be whole numbers from 0 on, if they are numbers at all.
    """
    for name, value in options.items():
        usual = known.get(name)
        if usual is None or value is None:
            continue
        kind = type(usual).__name__
        if isinstance(value, str) != isinstance(usual, str):
            as_text = (
                f", on a command line {name}:{kind}={value}"
                if kind in ("bool", "int", "float")
                else ""
            )
            raise ValueError(
                f"{where}: {name} is {value!r}; it must be of the type of {usual!r}{as_text}"
            )
        if (
            name in counts
            and not isinstance(usual, bool)
            and not (isinstance(value, Integral) and int(value) >= 0)
        ):
            raise ValueError(f"{where}: {name} is {value!r}: it must be an integer of at least 0")


def keyword_names(function: Callable[..., Any], *, required: bool = False) -> list[str]:
    """Return the names of a function's (or class's) keyword-only parameters; with `required`, of
    those without a default.
    """
    parameters = inspect.signature(function).parameters.values()
    return [
        parameter.name
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
        and not (required and parameter.default is not parameter.empty)
    ]
