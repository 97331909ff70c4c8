"""Whether plain values, as YAML has them, can be a function's or class's keywords, by its
annotations.

A mistake is one line: the option's dotted name, what it got and what it takes.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from strhub.errors import ConfigError
from strhub.utils.options import check_options

__all__ = ["Parameters", "check_group", "check_types", "describe", "parameters_of", "takes"]

Parameters = Mapping[str, Any]
"""Annotations by the name of a keyword."""


def check_group(values: Mapping[str, Any], target: Any, where: str) -> None:
    """Raise `ConfigError` for a value that is none of the target's keywords, or that its keyword
    does not take.

    where: the group's dotted name, such as `trainer`.
    """
    parameters, open_ended = parameters_of(target)
    if not open_ended:
        check_options(values, parameters, f"{where!r}")
    check_types(values, parameters, where)


def check_types(values: Mapping[str, Any], parameters: Parameters, where: str) -> None:
    """Raise `ConfigError` for the first value that its keyword does not take; what is to be
    instantiated may be. A mapping for a dataclass is checked by that one's fields.
    """
    for name, value in values.items():
        annotation = parameters.get(name, Any)
        if not _is_recipe(value) and not takes(annotation, value):
            raise ConfigError(f"{where}.{name} is {value!r}: it takes {describe(annotation)}")
        options = next((one for one in _kinds(annotation) if is_dataclass(one)), None)
        if options is not None and isinstance(value, Mapping):
            check_group(value, options, f"{where}.{name}")


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return what an annotation is one of."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if union else (annotation,)


def _is_recipe(value: Any) -> bool:
    """Return whether a value describes what is to be instantiated, or is a list of such."""
    if isinstance(value, list):
        return any(map(_is_recipe, value))
    return isinstance(value, Mapping) and "_target_" in value


def parameters_of(target: Any) -> tuple[dict[str, Any], bool]:
    """Return the annotations of a class's or function's keywords, and whether it takes any others.

    The keywords of a class's bases count where its own constructor hands others on.
    """
    found: dict[str, Any] = {}
    open_ended = False
    for function in _constructors(target):
        signature = inspect.signature(function)
        hints = _hints(function)
        for name, parameter in signature.parameters.items():
            if (
                parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
                and name != "self"
            ):
                found.setdefault(name, hints.get(name, Any))
        open_ended = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
        if not open_ended:
            break
    return found, open_ended


def _constructors(target: Any) -> Iterator[Any]:
    """Yield what takes the keywords, the nearest first."""
    if not inspect.isclass(target):
        yield target
        return
    for base in target.__mro__:
        if "__init__" in vars(base) and base is not object:
            yield vars(base)["__init__"]


def _hints(function: Any) -> dict[str, Any]:
    """Return the annotations, as far as they can be resolved."""
    function = inspect.unwrap(function)
    try:
        return typing.get_type_hints(function)
    except (
        NameError,
        TypeError,
        AttributeError,
    ):  # of a name that is imported for type checkers alone
        return {}


def takes(annotation: Any, value: Any) -> bool:
    """Return whether a plain value, as YAML has them, serves as such a parameter; what is not plain
    is left to its class.
    """
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if annotation is Any or isinstance(annotation, str | typing.TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(takes(one, value) for one in arguments)
    if annotation is None or annotation is type(None):
        return value is None
    if origin is Literal:
        return value in arguments
    kind = origin or annotation
    if not inspect.isclass(kind):
        return True
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if issubclass(kind, str | Path):
        return isinstance(value, str | Path)
    if issubclass(kind, Mapping):
        return isinstance(value, Mapping)
    if kind is tuple:
        return _takes_parts(arguments, value)
    if issubclass(kind, Sequence | set | frozenset) or kind.__module__ == "collections.abc":
        inner = arguments[0] if arguments else Any
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and all(takes(inner, one) for one in value)
        )
    return isinstance(value, Mapping) or not isinstance(value, str | int | float | list | None)


def _takes_parts(arguments: Sequence[Any], value: Any) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return False
    if not arguments or arguments[-1] is ...:
        return all(takes(arguments[0] if arguments else Any, one) for one in value)
    return len(value) == len(arguments) and all(map(takes, arguments, value))


def describe(annotation: Any) -> str:
    """Return in words what a parameter takes."""
    known = dict.fromkeys(word for word in _words(annotation) if word)
    return " or ".join(known) or "something else"


_PLAIN = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    None: "null",
}
_MANY = {
    "a whole number": "whole numbers",
    "a number": "numbers",
    "text": "texts",
    "a path": "paths",
}


def _words(annotation: Any) -> Iterator[str]:
    """Yield what each possible kind of value is called; nothing for what no command line can
    give.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    kind = type(None) if annotation is None else origin or annotation
    if kind in (Union, types.UnionType):
        for one in arguments:
            yield from _words(one)
    elif kind is Literal:
        yield f"one of {', '.join(map(str, arguments))}"
    elif kind is type(None):
        yield "null"
    elif kind in _PLAIN:
        yield _PLAIN[kind]
    elif not inspect.isclass(kind):
        return
    elif issubclass(kind, Mapping):
        yield "a mapping {name: value}"
    elif kind is tuple and arguments and arguments[-1] is not ...:
        yield f"[{', '.join(map(describe, arguments))}]"
    elif issubclass(kind, Sequence | set | frozenset):
        inner = [
            _MANY[word] for word in (_words(arguments[0]) if arguments else ()) if word in _MANY
        ]
        yield f"a list of {' or '.join(inner)}" if inner else "a list"
