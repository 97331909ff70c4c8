"""What a command is called where it was started: `./read.py`, `strhub-read` or `python -m strhub
read`.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import strhub

__all__ = [
    "HelpFormatter",
    "command_parser",
    "examples",
    "program",
    "typed",
    "version_argument",
    "version_line",
]

SCRIPTS = ("read", "test", "train", "tune", "bench", "export")
"""Commands that a checkout has a script of, in its folder."""


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Format helps: defaults in parentheses, `N` for integers; only texts of several lines as they
    are.
    """

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        plain = action.nargs == 0 or not action.option_strings or "default" in text
        if plain or action.default in (None, [], argparse.SUPPRESS):
            return text
        return f"{text} (default: %(default)s)"

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return "N" if action.type is int else super()._get_default_metavar_for_optional(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text.strip():
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def program(command: str) -> str:
    """Return the name for usage lines and errors; of another command than the one that runs, in the
    same style.

    command: `read`, `train`, …
    """
    started = Path(sys.argv[0] if sys.argv else "")
    if started.suffix == ".py" and started.parent.name == "cli":
        return f"python -m strhub {command}"
    if command in SCRIPTS and started.suffix == ".py" and started.stem in SCRIPTS:
        return f"{command}.py"
    return f"strhub-{command}"


def typed(command: str) -> str:
    """Return the name as it is typed in a shell."""
    name = program(command)
    return f"./{name}" if name.endswith(".py") else name


def examples(text: str) -> str:
    """Return text with commands in it, written as `./<command>.py`, as they are typed here."""
    return re.sub(rf"\./({'|'.join(SCRIPTS)})\.py", lambda found: typed(found[1]), text)


def command_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return the beginning of a command's parser. epilog: its examples, in which commands are
    written `./<command>.py`, and this one maybe `strhub-<command>`.
    """
    return argparse.ArgumentParser(
        prog=program(command),
        description=description,
        epilog=examples(epilog).replace(f"strhub-{command}", program(command)),
        formatter_class=HelpFormatter,
    )


def version_line(command: str) -> str:
    """Return the line that `--version` prints."""
    return f"{program(command)} (strhub {strhub.__version__})"


def version_argument(parser: argparse.ArgumentParser, command: str) -> None:
    """Add --version."""
    parser.add_argument(
        "--version",
        action="version",
        version=version_line(command),
        help="print the version and exit",
    )
