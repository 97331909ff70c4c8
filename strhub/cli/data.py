"""Commands on data sets: `python -m strhub.data <command>`, or `strhub-data <command>`."""

from __future__ import annotations

from collections.abc import Sequence

from strhub.cli.commands import Commands

COMMANDS = (
    "make", "convert", "inspect", "filter", "merge", "split", "shard", "render", "sheet", "charset",
    "suspects", "correct",
)  # fmt: skip


def _extra(command: str, package: str) -> str:
    """Return the extra that brings a missing package."""
    if package == "scipy":
        return "convert"
    return "torch" if package in ("torch", "safetensors") else "data"


_PROGRAM = Commands(
    name="data",
    names=COMMANDS,
    package="strhub.cli.data_commands",
    extra=_extra,
    renamed={"draw": "render"},
)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command that comes first in `arguments`, by default those of the process."""
    _PROGRAM.run(arguments)


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    _PROGRAM.main()


if __name__ == "__main__":
    main()
