"""A server may be slow, endless, lying or hostile: fetching ends, and talks to no network that was
not named.
"""

from __future__ import annotations

import http.server
import ipaddress
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from strhub.utils import web
from strhub.utils.web import fetch, stream


class Server(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        name = self.path[1:]
        redirects = {
            "ftp": "ftp://127.0.0.1/x",
            "file": "file:///etc/passwd",
            "loop": "/loop",
            "moved": "/content",
        }
        if name == "missing":
            self.send_error(404, "gone\x1b[2J")
            return
        self.send_response(302 if name in redirects else 200)
        if name in redirects:
            self.send_header("Location", redirects[name])
        if name in ("short", "huge"):
            self.send_header("Content-Length", "99" if name == "short" else str(1 << 40))
        self.end_headers()
        for _ in range(100 if name == "slow" else 1):
            self.wfile.write(b"x" * (1 << 16) if name == "long" else self.path.encode())
            if name == "slow":
                self.wfile.flush()
                time.sleep(0.05)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def get(url: str, seconds: float = 60) -> bytes:
    return fetch(url, max_bytes=1000, max_seconds=seconds)


def test_what_a_server_answers(server: str) -> None:
    assert get(f"{server}/content") == get(f"{server}/moved") == b"/content"
    assert get(f"{server}/ä b?q=é&r=1#part") == b"/%C3%A4%20b?q=%C3%A9&r=1"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ftp", "unknown url type: ftp"),
        ("file", "not allowed"),
        ("loop", "infinite loop"),
        ("missing", "the server says 404 gone"),
        ("short", "broke off after 6 of 99 bytes"),
        ("long", "over 0 MiB"),
        ("huge", "over 0 MiB"),
    ],
)
def test_what_it_may_not(server: str, name: str, reason: str) -> None:
    with pytest.raises(OSError, match=reason):
        get(f"{server}/{name}")


def test_a_slow_one_is_cut(server: str) -> None:
    begun = time.monotonic()
    with pytest.raises(OSError, match=r"no complete answer within 0\.3 seconds"):
        get(f"{server}/slow", 0.3)
    assert time.monotonic() - begun < 4.5  # all of it takes five


@pytest.mark.parametrize(
    "url", ["http://", "http://127.0.0.1:x/", "http://127.0.0.1:1/", "http://[::1/", "https://\0/"]
)
def test_addresses_of_no_use(url: str) -> None:
    with pytest.raises(OSError, match="cannot be fetched"):
        get(url)


def test_a_public_server_redirects_to_no_private_one(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ipaddress.ip_address
    seen: list[str] = []

    def first_is_public(address: str) -> Any:
        seen.append(address)
        return real("93.184.215.14" if len(seen) == 1 else address)

    monkeypatch.setattr(web.ipaddress, "ip_address", first_is_public)
    with pytest.raises(OSError, match=r"redirects to 127\.0\.0\.1, a private network"):
        get(f"{server}/moved")
    assert get(f"{server}/moved") == b"/content", "a private one that was named may"


def streamed(url: str) -> bytes:
    with stream(url, timeout=60) as answer:
        return b"".join(iter(lambda: answer.read(10_000), b""))


def test_a_stream_has_no_end_but_a_least_speed(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert streamed(f"{server}/moved") == b"/content"
    assert len(streamed(f"{server}/long")) == 1 << 16
    for name, reason in (
        ("ftp", "unknown url type"),
        ("file", "not allowed"),
        ("missing", "404"),
    ):
        with pytest.raises(OSError, match=reason):
            streamed(f"{server}/{name}")
    monkeypatch.setattr(web, "_PATIENCE", 0.3)
    with pytest.raises(OSError, match="bytes arrived in"):
        streamed(f"{server}/slow")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::ffff:169.254.169.254",
    ],
)  # fmt: skip
def test_private_addresses_are_told_apart(address: str) -> None:
    assert not web.is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_public_addresses_are_told_apart(address: str) -> None:
    assert web.is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1"])
def test_a_private_address_gets_no_packet_where_only_public_ones_may(
    host: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Any] = []
    monkeypatch.setattr(
        web.socket, "create_connection", lambda *arguments, **_: connected.append(arguments)
    )
    url = f"http://{host}:{server.rpartition(':')[2]}/content"
    with pytest.raises(OSError, match="cannot be fetched"):
        fetch(url, max_bytes=1000, max_seconds=60, public_only=True)
    assert connected == []


def test_public_addresses_alone_are_followed_to(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # strangers' addresses pass no proxy
    path = fetch(f"{server}/content", max_bytes=1000, max_seconds=60, public_only=True)
    assert path == b"/content"
    monkeypatch.setattr(web, "is_public", lambda address: False)
    with pytest.raises(OSError, match="private network"):
        fetch(f"{server}/content", max_bytes=1000, max_seconds=60, public_only=True)
