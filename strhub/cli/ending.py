"""The former place of `strhub.cli.entry.end_with`."""

from strhub.cli.entry import end_with as end_with
