"""Arguments that several commands share: which checkpoint, and `name:type=value` options of the
model.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from strhub.utils.regular_files import read_regular_text
from strhub.utils.renamed_option import RenamedOption


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if text.lower() not in values:
        raise ValueError(f"{text!r} is neither true nor false")
    return values[text.lower()]


TYPES: dict[str, Callable[[str], Any]] = {"int": int, "float": float, "str": str, "bool": _boolean}


def parse_options(arguments: Sequence[str]) -> dict[str, Any]:
    """`["refine_iters:int=2", "decode_ar:bool=false"]` to a dictionary; without a type the value is
    a text.

    `ValueError` says which argument is wrong and how one is written.
    """
    options = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        name, _, kind = name.partition(":")
        kind = kind or "str"
        if not equals or not name.isidentifier() or argument.startswith("-"):
            raise ValueError(
                f"{argument!r} is no option: write name:type=value, such as refine_iters:int=2"
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


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Words that hold a `=` and look like options, and the others: `pretrained=<id>`, and files of
    such names.
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


def speed_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --precision, --compile and --threads."""
    parser.add_argument(
        "--precision",
        default="float32",
        metavar="KIND",
        help="float32 (the default: the same readings on every machine), bfloat16, float16, or "
        "auto: bfloat16 where "
        "the device computes in it",
    )
    parser.add_argument(
        "--compile", action="store_true", help="let PyTorch compile the model first"
    )
    parser.add_argument("--threads", type=int, help="of the CPU to compute with")


def search_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `strhub.inference.beam_search.Search`."""
    parser.add_argument(
        "--top_k", type=int, default=1, metavar="N", help="so many readings, the best first"
    )
    parser.add_argument(
        "--beam_width", type=int, metavar="N", help="beginnings of texts that are kept in searching"
    )
    parser.add_argument(
        "--length_normalization",
        type=float,
        default=0.0,
        metavar="A",
        help="greater than 0: longer texts win more often",
    )
    parser.add_argument(
        "--length_normalisation",
        type=float,
        default=argparse.SUPPRESS,
        action=RenamedOption,
        dest="length_normalization",
        help=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--lexicon", type=Path, metavar="FILE", help="read words of this list only, one a line"
    )
    parser.add_argument("--whitelist", metavar="CHARACTERS", help="read these characters only")


def search_options(args: argparse.Namespace) -> dict[str, Any]:
    """What was given for `search_arguments`. Raises `ValueError` for a lexicon that cannot be
    read.
    """
    names = ("top_k", "beam_width", "length_normalization", "whitelist")
    options = {name: getattr(args, name) for name in names}
    if args.lexicon is not None:
        try:
            lines = read_regular_text(args.lexicon).splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the lexicon {args.lexicon} cannot be read: {error}") from error
        options["lexicon"] = [word for line in lines if (word := line.strip())]
    return options


def device_argument(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device",
        default="auto",
        help="such as cpu, cuda or cuda:1; by default the fastest there is",
    )


def default_workers() -> int:
    """As many as there are cores, but no more than 8: beyond that reading is what takes the
    time.
    """
    return min(8, os.cpu_count() or 1)
