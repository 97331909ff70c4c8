"""What a service answers when it does not do what it is asked for."""

from __future__ import annotations

from typing import Any

__all__ = ["Refusal"]


class Refusal(Exception):
    """A request is not answered as it asks, and why.

    status: of HTTP; code: one word for programs, such as `too_large`; message: for people;
    retry_after: seconds after which it may be tried again; close: the connection, since its body
    was not read.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: int | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after, self.close = retry_after, close

    @property
    def body(self) -> dict[str, Any]:
        """Return what the answer's body says."""
        return {"error": {"code": self.code, "message": self.message}}

    @property
    def headers(self) -> dict[str, str]:
        """Return the answer's headers beside those that every one has."""
        headers = {}
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="strhub"'
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.close:
            headers["Connection"] = "close"
        return headers
