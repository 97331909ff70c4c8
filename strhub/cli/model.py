"""Commands on models: `strhub-model <command>`."""

from __future__ import annotations

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
run = _PROGRAM.run
main = _PROGRAM.main


if __name__ == "__main__":
    main()
