"""Arguments that several commands share: which checkpoint, and `name:type=value` options of the
model.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from strhub.inference.options import ReadOptions
from strhub.utils.regular_files import read_regular_text
from strhub.utils.renamed_option import RenamedOption

Parser: TypeAlias = argparse.ArgumentParser | argparse._ArgumentGroup


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError(f"{text!r} is neither true nor false")
    return values[text.lower()]


TYPES: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": _boolean}


def parse_options(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse `["refine_iters:int=2", "decode_ar:bool=false"]` to a dictionary; without a type, the
    value is a text.

    `ValueError` says which argument is wrong and how one is written.
    """
    options = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        name, _, kind = name.partition(":")
        kind = kind or "str"
        if not equals or not name.isidentifier() or argument.startswith("-"):
            raise ValueError(
                f"{argument!r} is not an option: write name:type=value, such as refine_iters:int=2"
            )
        if kind not in TYPES:
            raise ValueError(
                f"{argument!r} has the unknown type {kind!r}; known: {', '.join(TYPES)}"
            )
        try:
            options[name] = TYPES[kind](value)
        except ValueError as error:
            raise ValueError(f"{argument!r}: {error}") from error
    return options


parse_model_args = parse_options  # the reference's name for it


def model_options(arguments: Sequence[str]) -> dict[str, Any]:
    """Parse options of a model as `parse_options` does, and read each charset that is given as
    `@path`. `ValueError` also if there is no such file or folder, or no charset in it.
    """
    options = parse_options(arguments)
    if any(str(value).startswith("@") for value in options.values()):
        from strhub.data.curation.charsets import expand_charsets

        expand_charsets(options)
    return options


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split words into those that look like options, with a `=` in them, and the others:
    `pretrained=<id>`, and existing files of such names.
    """
    others = ("pretrained=", "-", "http://", "https://")
    options = [
        word
        for word in words
        if "=" in word
        and not word.startswith(others)
        and word.partition("=")[0].partition(":")[0].isidentifier()
        and not os.path.exists(word)
    ]
    return options, [word for word in words if word not in options]


_RENAMED = {"reread_below": "second_look", "length_normalization": "length_normalisation"}
SPEED = ("precision", "compile", "threads")
SEARCH = ("top_k", "beam_width", "length_normalization", "lexicon", "whitelist")


def read_arguments(parser: Parser, *names: str) -> None:
    """Add arguments for these fields of `ReadOptions`, as they describe themselves."""
    usual = ReadOptions()
    for name in names:
        option, default = ReadOptions.meaning(name), getattr(usual, name)
        if option["kind"] is bool:
            parser.add_argument(
                f"--{option.get('off', name)}", action="store_true", help=option["help"]
            )
            continue
        kind = Path if name == "lexicon" else option["kind"]
        parser.add_argument(
            f"--{name}",
            type=kind,
            default=default,
            metavar=option.get("metavar"),
            help=option["help"],
        )
        if name in _RENAMED:
            parser.add_argument(
                f"--{_RENAMED[name]}",
                type=kind,
                default=default,  # otherwise `get_default` would return another one
                action=RenamedOption,
                dest=name,
                help=argparse.SUPPRESS,
            )


def read_options(args: argparse.Namespace, *names: str) -> ReadOptions:
    """Return what was given for `read_arguments`: these fields, the others as they are by default.

    Raises `ValueError` for a lexicon that cannot be read.
    """
    values: dict[str, Any] = {}
    for name in names:
        off = ReadOptions.meaning(name).get("off")
        values[name] = not getattr(args, off) if off else getattr(args, name)
    if values.get("lexicon") is not None:
        try:
            lines = read_regular_text(args.lexicon).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the lexicon {args.lexicon} cannot be read: {error}") from error
        values["lexicon"] = [word for line in lines if (word := line.strip())]
    return ReadOptions(**values)


def data_root_argument(parser: argparse.ArgumentParser) -> None:
    """Add --data_root, for what reads sets in its test folder."""
    parser.add_argument(
        "--data_root",
        type=Path,
        default=Path("data"),
        metavar="FOLDER",
        help="folder that contains test/<name>/",
    )


def device_argument(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device",
        default="auto",
        help="cpu, cuda, cuda:1, mps, …; auto: the fastest available",
    )


def default_workers() -> int:
    """Return the number of cores, but at most 8: beyond that, reading is what takes the time."""
    return min(8, os.cpu_count() or 1)
