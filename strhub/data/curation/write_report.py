"""What was written and what was left out, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from strhub.errors import DataError

if TYPE_CHECKING:
    pass


MAX_PROBLEMS: Final = 1000


class SkippedRecord(DataError):
    """Raised by `work` for an input that can't be used: the message says what and where, `reason`
    is for counting.
    """

    def __init__(self, message: str, reason: str = "unusable") -> None:
        super().__init__(message, reason)
        self.reason = reason

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class WriteReport:
    """What became of the jobs.

    written: records in the finished LMDB. skipped: jobs or records that could not be used.
    problems: the first 1000 messages about those. reasons: how many were skipped, by reason.
    """

    written: int
    skipped: int
    problems: tuple[str, ...]
    reasons: Mapping[str, int] = field(default_factory=dict)


class NothingWritten(DataError):
    """No job gave a record, so that no LMDB was made; `report` holds the reasons."""

    def __init__(self, message: str, report: WriteReport) -> None:
        super().__init__(message)
        self.report = report
