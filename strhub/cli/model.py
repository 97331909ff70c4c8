"""Commands on models: `strhub-model <command>`."""

from __future__ import annotations

from collections.abc import Sequence

from strhub.cli.commands import Commands

COMMANDS = ("make", "label", "average", "calibrate", "measure", "plot")
_EXTRAS = {"matplotlib": "bench", "onnx": "export", "onnxscript": "export"}


def _extra(command: str, package: str) -> str:
    """Return the extra that brings a missing package."""
    return _EXTRAS.get(package, "train")


_PROGRAM = Commands(
    name="model",
    names=COMMANDS,
    package="strhub.cli.model_commands",
    extra=_extra,
    intermixed=("make",),
)


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command that comes first in `arguments`, by default those of the process."""
    _PROGRAM.run(arguments)


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    _PROGRAM.main()


if __name__ == "__main__":
    main()
