"""An option of a command line by the name that it had before."""

from __future__ import annotations

import argparse

from strhub.utils.options import warn_renamed


def former_option(parser: argparse.ArgumentParser, old: str, dest: str) -> None:
    """Add the former name of an option that takes an integer; it is not in the help."""
    parser.add_argument(
        old,
        dest=dest,
        type=int,
        action=RenamedOption,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


class RenamedOption(argparse.Action):
    """Store the value of an option that was given by its old name, and warn. dest: the new name."""

    def __call__(
        self, parser: object, namespace: object, values: object, option_string: str | None = None
    ) -> None:
        warn_renamed(str(option_string), f"--{self.dest}")
        setattr(namespace, self.dest, values)
