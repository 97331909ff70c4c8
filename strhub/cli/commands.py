"""Programs of several commands, such as strhub-data: only the one that is named is imported."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from strhub.cli.program import HelpFormatter, program, version_line
from strhub.errors import MissingExtra
from strhub.utils.install import not_installed
from strhub.utils.options import warn_renamed
from strhub.utils.terminal import printable, printable_lines

__all__ = ["Commands"]


@dataclass(frozen=True, kw_only=True)
class Commands:
    """The commands of one program, each a module with `add_arguments` and `run`.

    name: the program's, such as `data`; names: of its commands; package: where their modules are;
    extra: returns the extra that brings a missing package, by the command and the package;
    renamed: former names of commands; intermixed: commands with options between their arguments.
    """

    name: str
    names: Sequence[str]
    package: str
    extra: Callable[[str, str], str]
    renamed: Mapping[str, str] = field(default_factory=dict)
    intermixed: Sequence[str] = ()

    def run(self, arguments: Sequence[str] | None = None) -> None:
        """Run the command that comes first in `arguments`, by default those of the process.

        Raises `ValueError` if there is no such command, and what the command raises.
        """
        args = list(sys.argv[1:] if arguments is None else arguments)
        name = args[0] if args else "--help"
        if name in self.renamed:
            warn_renamed(name, self.renamed[name])
            name = self.renamed[name]
        if name in ("-h", "--help"):
            print(self._help())
        elif name == "--version":
            print(version_line(self.name))
        elif name not in self.names:
            near = get_close_matches(name, self.names, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ValueError(
                f"there is no command {name!r}; {hint}The commands are {', '.join(self.names)}"
            )
        else:
            self._run(name, args[1:])

    def _run(self, name: str, args: Sequence[str]) -> None:
        command = import_module(f"{self.package}.{name}")
        parser = argparse.ArgumentParser(
            prog=f"{program(self.name)} {name}",
            description=str(command.__doc__).replace(f"strhub-{self.name}", program(self.name)),
            formatter_class=HelpFormatter,
        )
        command.add_arguments(parser)
        parse = parser.parse_intermixed_args if name in self.intermixed else parser.parse_args
        command.run(parse(args))

    def _help(self) -> str:
        width = max(map(len, self.names)) + 2
        lines = [
            f"usage: {program(self.name)} <command> [arguments]",
            "",
        ]
        lines += [
            f"  {name:<{width}}{line}" for name in self.names if (line := self._first_line(name))
        ]
        return "\n".join([*lines, "", "--help after a command shows its arguments."])

    def _first_line(self, command: str) -> str:
        """Return what a command's module says that it does, on one line, without importing it."""
        spec = find_spec(f"{self.package}.{command}")
        if spec is None or spec.origin is None:
            return ""
        document = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or ""
        return " ".join(document.partition("\n\n")[0].split())

    def main(self) -> None:
        """Run the command; errors are one clear line, Ctrl-C is no traceback."""
        named = sys.argv[1] if len(sys.argv) > 1 else ""
        name = " ".join([program(self.name), *([named] if named in self.names else [])])
        try:
            self.run()
        except BrokenPipeError:  # the reader of the output, such as `head`, has seen enough
            # So that flushing it at exit does not fail, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        except (ValueError, OSError) as error:
            sys.exit(f"{name}: {printable_lines(error)}")
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if missing.startswith("strhub"):
                raise
            if isinstance(error, MissingExtra):
                sys.exit(f"{name}: {printable_lines(error)}")
            extra = self.extra(named, missing)
            sys.exit(f"{name}: {not_installed(error, extra, 'this command')}")
        except KeyboardInterrupt as error:
            print(f"\n{name}: {printable(error) or 'stopped'}", file=sys.stderr)
            sys.exit(130)
