"""Commands on data sets: `python -m strhub.data <command>`, or `strhub-data <command>`."""

from __future__ import annotations

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
run = _PROGRAM.run
main = _PROGRAM.main


if __name__ == "__main__":
    main()
