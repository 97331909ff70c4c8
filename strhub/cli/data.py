"""Commands on data sets: `python -m strhub.data <command>`, or `strhub-data <command>`."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from strhub.cli.program import HelpFormatter, program, version_line
from strhub.utils.install import not_installed
from strhub.utils.options import warn_renamed
from strhub.utils.terminal import printable, printable_lines

COMMANDS = (
    "make", "inspect", "filter", "merge", "split", "shard", "render", "sheet", "charset",
    "suspects", "correct",
)  # fmt: skip
RENAMED = {"draw": "render"}


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command that comes first in `arguments`, by default those of the process.

    A command is the module of its name in `strhub.cli.data_commands`, of which only the one that is
    run is imported.
    """
    args = list(sys.argv[1:] if arguments is None else arguments)
    name = args[0] if args else "--help"
    if name in RENAMED:
        warn_renamed(name, RENAMED[name])
        name = RENAMED[name]
    if name in ("-h", "--help"):
        print(_help())
    elif name == "--version":
        print(version_line("data"))
    elif name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(
            f"there is no command {name!r}; {hint}The commands are {', '.join(COMMANDS)}"
        )
    else:
        command = import_module(f"strhub.cli.data_commands.{name}")
        parser = argparse.ArgumentParser(
            prog=f"{program('data')} {name}",
            description=command.__doc__,
            formatter_class=HelpFormatter,
        )
        command.add_arguments(parser)
        command.run(parser.parse_args(args[1:]))


def _help() -> str:
    lines = [
        f"usage: {program('data')} <command> [arguments]",
        "",
    ]
    lines += [f"  {name:<9}{line}" for name in COMMANDS if (line := _first_line(name))]
    return "\n".join([*lines, "", "--help after a command shows its arguments."])


def _first_line(command: str) -> str:
    """Return what a command's module says that it does, without importing it."""
    spec = find_spec(f"strhub.cli.data_commands.{command}")
    if spec is None or spec.origin is None:
        return ""
    document = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or ""
    return document.partition("\n")[0]


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    known = sys.argv[1:2] if sys.argv[1:2] and sys.argv[1] in COMMANDS else []
    name = " ".join([program("data"), *known])
    try:
        run()
    except (ValueError, OSError) as error:
        if isinstance(
            error, BrokenPipeError
        ):  # the reader of the output, such as `head`, has seen enough
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
            )  # lest flushing it at exit fails, too
            sys.exit(0)
        sys.exit(f"{name}: {printable_lines(error)}")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("strhub"):
            raise
        extra = "torch" if error.name in ("torch", "safetensors") else "data"
        sys.exit(f"{name}: {not_installed(error, extra, 'this command')}")
    except KeyboardInterrupt as error:
        print(f"\n{name}: {printable(error) or 'stopped'}", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
