"""A service's log: one JSON object a line, and nothing of the images in it."""

from __future__ import annotations

import logging
import re
import sys
from datetime import datetime, timezone
from typing import Any, Final, TextIO

from strhub.utils.terminal import json_line

__all__ = ["LOGGER", "JsonFormatter", "log", "set_up"]

LOGGER: Final = logging.getLogger("strhub.serving")
_LONGEST: Final = 4000  # characters of a value
_COLORS: Final = re.compile(r"\x1b\[[0-9;]*m")


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON.

    Control characters are escaped, so that nothing a client sends looks like a line of its own.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(
                timespec="milliseconds"
            ),
            "level": record.levelname.lower(),
            "message": _COLORS.sub("", record.getMessage()),
        }
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json_line({key: _short(value) for key, value in entry.items()})


def _short(value: Any) -> Any:
    return value[:_LONGEST] if isinstance(value, str) else value


def log(message: str, *, level: int = logging.INFO, error: bool = False, **fields: Any) -> None:
    """Write a line. error: with the traceback of the exception that is handled."""
    LOGGER.log(level, message, extra={"fields": fields}, exc_info=error)


def set_up(stream: TextIO | None = None) -> logging.Handler:
    """Send the service's log, and uvicorn's, to a stream, standard error by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in (LOGGER.name, "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
        logger.propagate = False
    return handler
