"""What the children of `make attack` have in common: attempts by their numbers, each with a line in
a log before it begins and one when it has ended, so that whoever reads the log knows what it was at
if the child does not come to its end.
"""

from __future__ import annotations

import logging
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from attack_support import end_with_parent


class Task(NamedTuple):
    """The attempts of one kind from `first` to before `last`; sources: a folder of what they
    begin with.
    """

    kind: str
    sources: Path
    log: Path
    first: int
    last: int

    @classmethod
    def of_command_line(cls) -> Task:
        """Read KIND SOURCES LOG FIRST LAST."""
        kind, sources, log, first, last = sys.argv[1:6]
        return cls(kind, Path(sources), Path(log), int(first), int(last))

    def run(self, attempt: Callable[[int], str]) -> None:
        """Make the attempts and log what comes of each."""
        with self.log.open("a", encoding="utf-8", buffering=1) as lines:
            for number in range(self.first, self.last):
                lines.write(f"begin {number}\n")
                outcome = attempt(number)
                lines.write(f"end {number} {' '.join(outcome.split())}\n")


def keep_quiet() -> None:
    """Print no warnings, log nothing, leave no core behind and end when the parent does."""
    warnings.simplefilter("ignore")
    logging.disable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end_with_parent()
