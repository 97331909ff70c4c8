"""Bodies of requests, read little by little, within limits of size, time and memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import anyio
from starlette.requests import Request

from strhub.serving.options import ServeOptions
from strhub.serving.refusals import Refusal

__all__ = ["Memory", "read_body"]

_MIB: Final = 1 << 20
# times the largest body that is read to its end, only to say that it is too large
_DISCARDED: Final = 4
_DISCARD_SECONDS: Final = 5.0


class Memory:
    """How many bytes of bodies are held, and may be: of all requests together."""

    def __init__(self, limit: int) -> None:
        self.limit, self.used = limit, 0

    @contextmanager
    def reservation(self) -> Iterator[Reservation]:
        """Hold what is taken within until the end."""
        one = Reservation(self)
        try:
            yield one
        finally:
            self.used -= one.held


class Reservation:
    """The bytes of one request."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self.held = memory, 0

    def take(self, count: int) -> None:
        """Hold so many bytes more; `Refusal` if there is no room for them now."""
        if self._memory.used + count > self._memory.limit:
            raise Refusal(
                503,
                "busy",
                "the service holds as many images as it can: try again later",
                retry_after=1,
                close=True,
            )
        self._memory.used += count
        self.held += count


async def read_body(request: Request, options: ServeOptions, held: Reservation) -> bytes:
    """Return a request's body.

    Raises:
        Refusal: 415 for one that is compressed, which may be a bomb; 413 for one that is too large,
            before it is read if it says so; 408 for one that comes too slowly; 503 if there is no
            memory for it.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "unsupported_type", "send the body as it is, not compressed", close=True)
    announced = request.headers.get("content-length", "")
    limit = options.max_bytes
    if announced.isdecimal() and int(announced) > limit:
        if int(announced) <= _DISCARDED * limit:
            await _discard(request, int(announced))
        raise _too_large(options)
    blocks: list[bytes] = []
    try:
        with anyio.fail_after(options.body_timeout):
            async for block in request.stream():
                held.take(len(block))
                if held.held > limit:
                    raise _too_large(options)
                blocks.append(block)
    except TimeoutError as error:
        raise Refusal(
            408,
            "too_slow",
            f"the body did not arrive within {options.body_timeout:g} seconds",
            close=True,
        ) from error
    return b"".join(blocks)


def _too_large(options: ServeOptions) -> Refusal:
    text = f"the body is over {options.max_mib} MiB, the largest that is taken"
    return Refusal(413, "too_large", text, close=True)


async def _discard(request: Request, size: int) -> None:
    """Read a body and keep nothing: many clients look at an answer only when all is sent."""
    with suppress(TimeoutError), anyio.fail_after(_DISCARD_SECONDS):
        async for block in request.stream():
            size -= len(block)
            if size <= 0:
                return
