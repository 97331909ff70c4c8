"""uvicorn with what a service in the open needs: a time for headers, and few idle connections."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

import uvicorn

from strhub.errors import ConfigError
from strhub.serving.logs import log
from strhub.serving.options import ServeOptions

__all__ = ["listen", "run_server", "server_config"]

_BUSY_BODY: Final = b'{"error":{"code":"busy","message":"too many connections"}}'
_BUSY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_BUSY_BODY), _BUSY_BODY)
)
_KEEP_ALIVE: Final = 5  # seconds that a connection stays open between two requests
_BACKLOG: Final = 2048


def _base() -> type[Any]:
    """Return uvicorn's protocol: the faster one where httptools is installed."""
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol

        return H11Protocol
    return HttpToolsProtocol


def _protocol(header_timeout: float, max_connections: int) -> type[asyncio.Protocol]:
    """Return a protocol that closes connections whose headers do not come, and of too many the one
    first that has said nothing for longest.
    """
    base: Any = _base()
    silent: dict[Any, asyncio.TimerHandle] = {}  # in the order of their beginnings

    class Protocol(base):  # type: ignore[misc]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > max_connections and not _close_one(silent):
                self.connections.discard(self)
                transport.write(_BUSY)
                transport.close()
                return
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._heard()
            super().connection_lost(exc)

        def _watch(self) -> None:
            """Begin to wait for headers, or end to."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._heard()
            elif self not in silent and not self.transport.is_closing():
                silent[self] = self.loop.call_later(header_timeout, self._too_late)

        def _heard(self) -> None:
            timer = silent.pop(self, None)
            if timer is not None:
                timer.cancel()

        def _too_late(self) -> None:
            silent.pop(self, None)
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Protocol


def _close_one(silent: dict[Any, asyncio.TimerHandle]) -> bool:
    """Close the connection that has waited longest for its headers; return whether there is one."""
    for protocol in silent:
        silent.pop(protocol).cancel()
        protocol.connections.discard(protocol)
        protocol.transport.abort()
        return True
    return False


class _Server(uvicorn.Server):
    """Ends in order when it is told to: that is no error."""

    on_stop: Callable[[], object] = staticmethod(lambda: None)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {
            one: signal.signal(one, self.handle_exit) for one in uvicorn.server.HANDLED_SIGNALS
        }
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more connections, and end when what was begun is done; the second time at
        once.
        """
        self.on_stop()
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; clients wait in it until there is a service.

    Raises:
        ConfigError: if it cannot, such as where another program has the port.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, address = found[0][0], found[0][4]
        return socket.create_server((str(address[0]), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error


def server_config(app: Any, options: ServeOptions) -> uvicorn.Config:
    """Return how uvicorn serves the application."""
    return uvicorn.Config(
        app,
        http=_protocol(options.header_timeout, options.max_connections),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=round(options.drain_timeout),
    )


def run_server(
    app: Any,
    options: ServeOptions,
    listening: socket.socket,
    *,
    on_stop: Callable[[], object] = lambda: None,
) -> int:
    """Serve until SIGINT or SIGTERM, then answer what was begun; return the exit status.

    listening: see `listen`. on_stop: called when it is told to end.
    """
    server = _Server(server_config(app, options))
    server.on_stop = on_stop
    host, port = listening.getsockname()[:2]
    log("serving", host=host, port=port, models=list(options.models))
    server.run([listening])
    log("stopped")
    return 0 if server.started else 1
