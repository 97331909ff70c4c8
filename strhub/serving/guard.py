"""What stands before every request: a name for it, the key, how many there may be at once, and a
line in the log when it is over.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import time
import uuid
from collections.abc import Iterable
from typing import Any, Final

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from strhub.serving.logs import log
from strhub.serving.metrics import Metrics
from strhub.serving.options import ServeOptions
from strhub.serving.refusals import Refusal

__all__ = ["LOGGED", "Guard"]

OPEN: Final = frozenset({"/healthz", "/readyz"})  # no key is asked for
WORK: Final = frozenset({"/read", "/spot"})  # counted, since they hold memory
LOGGED: Final = "strhub.logged"  # of a scope: what else its line in the log says
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS_TO_SEND: Final = 60.0
_GONE: Final = 499  # in the log and the metrics: the client has hung up


class Guard:
    """The outermost part of the application.

    paths: those that the application has; others are counted as one. open_paths: beside those
    that any service answers without a key.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        options: ServeOptions,
        metrics: Metrics,
        paths: Iterable[str],
        open_paths: Iterable[str] = (),
    ) -> None:
        self._app, self._options, self._metrics = app, options, metrics
        self._paths, self._open = frozenset(paths), OPEN | frozenset(open_paths)
        self._keys = [_digest(key) for key in options.keys]
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; anything but HTTP goes through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        answer = _Answer(send, _request_id(Headers(scope=scope)))
        began = time.perf_counter()
        counted = path in WORK
        try:
            self._check(path, Headers(scope=scope), counted=counted)
            self._count(counted, 1)
            try:
                await self._app(scope, receive, answer.send)
            finally:
                self._count(counted, -1)
        except Refusal as refusal:
            await answer.refuse(refusal)
        except ClientDisconnect:
            answer.status = answer.status or _GONE
        except Exception:
            await self._fail(answer)
        finally:
            self._over(scope, path, answer, time.perf_counter() - began)

    def _check(self, path: str, headers: Headers, *, counted: bool) -> None:
        if self._keys and path not in self._open and not self._knows(headers):
            raise Refusal(401, "no_key", "this service needs an API key", close=True)
        if counted and self._active >= self._options.max_requests:
            raise Refusal(
                503,
                "busy",
                f"{self._active} requests are being handled: try again later",
                retry_after=1,
                close=True,
            )

    def _count(self, counted: bool, change: int) -> None:
        if counted:
            self._active += change
            self._metrics.active.set(self._active)

    def _knows(self, headers: Headers) -> bool:
        """Return whether the request has one of the keys; how long this takes tells nothing of
        them.
        """
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        sent = bearer.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        digest = _digest(sent)
        found = False
        for key in self._keys:
            found |= hmac.compare_digest(digest, key)
        return found

    async def _fail(self, answer: _Answer) -> None:
        log("a request failed", level=logging.ERROR, error=True, request=answer.request_id)
        refusal = Refusal(
            500,
            "failed",
            f"the service failed; its log says why: request {answer.request_id}",
            close=True,
        )
        await answer.refuse(refusal)

    def _over(self, scope: Scope, path: str, answer: _Answer, seconds: float) -> None:
        known = path if path in self._paths else "other"
        status = answer.status or 500
        self._metrics.request(known, status, seconds)
        client = scope.get("client")
        fields: dict[str, Any] = {
            "request": answer.request_id,
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": path[:200],
            "status": status,
            "ms": round(1000 * seconds, 1),
            **scope.get(LOGGED, {}),
        }
        quiet = path in OPEN and status < 400
        log("request", level=logging.DEBUG if quiet else logging.INFO, **fields)


class _Answer:
    """What is sent: its status, and the request's name in its headers."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self.request_id = send, request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        """Send a message of ASGI's."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            headers["X-Content-Type-Options"] = "nosniff"
            headers.setdefault("Cache-Control", "no-store")
        with anyio.fail_after(_SECONDS_TO_SEND):  # a client may never read its answer
            await self._send(message)

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal, unless an answer has begun."""
        if self.status:
            return
        body = json.dumps(refusal.body).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **refusal.headers,
        }
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _request_id(headers: Headers) -> str:
    """Return the client's name for its request, if it is harmless; else a new one."""
    sent = headers.get("x-request-id", "")
    return sent if _REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex
