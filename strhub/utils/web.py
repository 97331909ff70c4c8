"""Fetch a file from the web: over HTTP only, no more than so many bytes, in no more than so many
seconds.
"""

from __future__ import annotations

import io
import ipaddress
import math
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

__all__ = ["fetch", "is_public", "stream"]

_SECONDS_TO_ANSWER: Final = 10.0
_BLOCK: Final = 1 << 16
_SLOWEST: Final = 10_000  # bytes a second, on average, of what is streamed
_PATIENCE: Final = 60.0  # seconds of waiting before that counts
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # IPv4 addresses within those of IPv6


def fetch(url: str, *, max_bytes: int, max_seconds: float, public_only: bool = False) -> bytes:
    """Return what a server answers.

    Redirects are followed over HTTP only, and from a public server to no private one: whoever gives
    an address decides which network is talked to, not the server. Proxies are taken from the
    environment, as usual.

    public_only: talk to public networks alone, whatever a name resolves to, and to no proxy: for
        addresses that strangers give. Nothing is sent to any other, not even the first packet.

    Raises:
        OSError: if it cannot be had, for whatever reason; its text says which.
    """
    with _Limits(max_seconds, public_only=public_only) as limits:
        try:
            request = urllib.request.Request(_quoted(url), headers={"User-Agent": "strhub"})
            with _opener(limits).open(
                request, timeout=min(_SECONDS_TO_ANSWER, max_seconds)
            ) as answer:
                content = _read(answer, max_bytes)
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, HTTPError):  # it holds the connection
                error.close()
            if limits.expired:
                raise OSError(f"no complete answer within {max_seconds:g} seconds") from error
            raise OSError(f"it cannot be fetched: {_reason(error)}") from error
    if limits.expired:  # a connection that is cut looks like one that ended
        raise OSError(f"no complete answer within {max_seconds:g} seconds")
    return content


@contextmanager
def stream(url: str, *, timeout: float) -> Iterator[Stream]:
    """Open what a server answers, to be read little by little; redirects are as for `fetch`.

    timeout: seconds without a byte. Reading raises `OSError` if the bytes come too slowly.

    Raises:
        OSError: if it cannot be had.
    """
    with _Limits(math.inf) as limits:
        try:
            request = urllib.request.Request(_quoted(url), headers={"User-Agent": "strhub"})
            answer = _opener(limits).open(request, timeout=timeout)
        except (OSError, HTTPException, ValueError) as error:
            if isinstance(error, HTTPError):
                error.close()
            raise OSError(f"it cannot be fetched: {_reason(error)}") from error
        with answer:
            yield Stream(answer)


class Stream(io.RawIOBase):
    """An answer that is read, its speed watched; the time between the reads does not count."""

    def __init__(self, answer: HTTPResponse) -> None:
        super().__init__()
        self._answer = answer
        self._waited = 0.0
        self._received = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what there is, at most as much as fits."""
        began = time.monotonic()
        try:
            content = self._answer.read1(len(buffer))
        except HTTPException as error:
            raise OSError(f"the connection broke off: {error}") from error
        self._waited += time.monotonic() - began
        self._received += len(content)
        if self._waited > _PATIENCE and self._received < _SLOWEST * self._waited:
            raise OSError(f"only {self._received} bytes arrived in {self._waited:.0f} seconds")
        buffer[: len(content)] = content
        return len(content)


def _read(answer: HTTPResponse, max_bytes: int) -> bytes:
    too_long = OSError(f"the answer is over {max_bytes >> 20} MiB")
    if int(answer.headers.get("Content-Length") or 0) > max_bytes:
        raise too_long
    blocks: list[bytes] = []
    size = 0
    while block := answer.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > max_bytes:
            raise too_long
    announced = answer.headers.get("Content-Length")
    if announced is not None and size < int(announced):
        raise OSError(f"the connection broke off after {size} of {announced} bytes")
    return b"".join(blocks)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"the server says {error.code} {str(error.reason).partition(chr(10))[0]}"
    inner = error.reason if isinstance(error, URLError) else error
    reason = str(getattr(inner, "strerror", None) or inner) or type(error).__name__
    return reason.splitlines()[0]


def _quoted(url: str) -> str:
    """Return the address with the letters and spaces escaped that people write but HTTP does not
    have.
    """
    parts = urlsplit(url)
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode("ascii")
    path, query = (
        quote(parts.path, safe="/%:@!$&'()*+,;=~"),
        quote(parts.query, safe="/%:@!$&'()*+,;=~?"),
    )
    return parts._replace(netloc=host, path=path, query=query, fragment="").geturl()


def _opener(limits: _Limits) -> urllib.request.OpenerDirector:
    """Return what opens addresses over HTTP and nothing else: no file, no FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if limits.public_only else None),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPRedirectHandler(),
        _Handler(limits),
    ):
        opener.add_handler(handler)
    return opener


class _Limits:
    """What all connections of one fetch keep to: a time, after which they are cut, and a
    network.
    """

    def __init__(self, seconds: float, *, public_only: bool = False) -> None:
        self.expired = False
        self.public_only = public_only
        self._public: bool | None = None
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True
        self._timed = math.isfinite(seconds)

    def __enter__(self) -> _Limits:
        if self._timed:
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for connected in self._sockets:
            connected.close()

    def take(self, connected: socket.socket) -> None:
        """Watch a new connection; `OSError` for one to a private network that a public server
        redirected to.
        """
        self._sockets.append(connected.dup())  # TLS takes the given one over
        address = connected.getpeername()[0]
        public = is_public(address)
        if self._public is None:
            self._public = public
        if self._public and not public:
            raise OSError(f"a public server redirects to {address}, a private network")
        if self.expired:
            self._expire()

    def _expire(self) -> None:
        self.expired = True
        for connected in list(self._sockets):
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


def is_public(address: str) -> bool:
    """Return whether an IP address belongs to the public internet, and so does the IPv4 address
    that it stands for, if it is one of IPv6 that does.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not (found.is_multicast or found.is_reserved)


def _connect_publicly(address: tuple[str, int], *args: Any, **options: Any) -> socket.socket:
    """Connect as `socket.create_connection` does, but to public addresses alone: what a name
    resolves to is looked at, and then connected to, without asking again.
    """
    host, port = address
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    resolved = [str(entry[4][0]) for entry in found]
    if not resolved or not all(is_public(one) for one in resolved):
        raise OSError("its address is in a private network")
    return socket.create_connection((resolved[0], port), *args, **options)


class _Http(HTTPConnection):
    limits: _Limits

    def connect(self) -> None:
        super().connect()
        self.limits.take(self.sock)


class _Https(HTTPSConnection, _Http):
    """`HTTPSConnection.connect` calls that of `_Http` before it speaks TLS."""


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    def __init__(self, limits: _Limits) -> None:
        super().__init__()
        self._limits = limits

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(self._maker(_Http), req)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        return self.do_open(self._maker(_Https), req)

    def _maker(self, kind: type[_Http]) -> Any:
        def make(host: str, **options: Any) -> _Http:
            connection: Any = kind(host, **options)
            connection.limits = self._limits
            if self._limits.public_only:
                connection._create_connection = _connect_publicly
            return connection

        return make
