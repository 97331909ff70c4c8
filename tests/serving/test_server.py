"""On loopback: slow, silent, many and half connections leave the service alive and answering."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from serving_support import (
    WORD,
    ask,
    fake_service,
    free_port,
    served,
    wait_for,
    wait_until_ready,
)
from starlette.requests import Request

from strhub.serving.options import ServeOptions

HEAD = b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"


def connect(port: int, content: bytes = b"") -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=120)
    one.sendall(content)
    return one


def answered(one: socket.socket) -> bytes:
    """Return all that a server sends until it closes the connection."""
    blocks = []
    try:
        while block := one.recv(65536):
            blocks.append(block)
    except ConnectionResetError:
        pass
    one.close()
    return b"".join(blocks)


def alive(port: int) -> bool:
    """Return whether an image is read; a busy machine may be too slow for a server that waits for
    so short a time, so that there are some tries.
    """
    for _ in range(20):
        with suppress(OSError, http.client.HTTPException):
            if ask(port)[0] == 200:
                return True
    return False


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    options = ServeOptions(
        header_timeout=1, body_timeout=1, max_connections=20, max_mib=1, wait_ms=1
    )
    with served(options, fake_service(options)[0]) as number:
        yield number


def test_headers_that_do_not_come_are_not_waited_for(port: int) -> None:
    began = time.monotonic()
    slow = [connect(port), connect(port, b"GET /healthz HT"), connect(port, HEAD)]
    assert alive(port)
    for one in slow:
        assert answered(one) == b""
    assert time.monotonic() - began < 60


def test_headers_that_come_letter_by_letter_are_not_waited_for(port: int) -> None:
    one = connect(port)
    began = time.monotonic()
    try:
        while time.monotonic() - began < 60:
            one.sendall(b"G")
            time.sleep(0.02)
    except OSError:  # reset or broken, as it comes
        pass
    assert time.monotonic() - began < 60
    one.close()


def test_a_body_that_comes_byte_by_byte_is_not_waited_for(port: int) -> None:
    one = connect(port, HEAD + b"Content-Length: 1000\r\n\r\n")
    one.sendall(b"x")
    assert answered(one).startswith(b"HTTP/1.1 408")
    one = connect(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert answered(one).startswith(b"HTTP/1.1 408")


def test_uploads_that_end_half_way_leave_nothing_behind(port: int) -> None:
    for _ in range(30):
        connect(port, HEAD + b"Content-Length: 100000\r\n\r\n" + b"x" * 5000).close()
    assert alive(port)


def test_who_sends_too_much_is_told_so_even_if_it_sends_all_first(port: int) -> None:
    status, text = ask(port, b"x" * (2 << 20))
    assert (status, json.loads(text)["error"]["code"]) == (413, "too_large")
    one = connect(port, HEAD + b"Content-Length: 999999999999\r\n\r\n")
    assert answered(one).startswith(b"HTTP/1.1 413")


def test_what_is_no_http_is_refused(port: int) -> None:
    for content in (b"\x16\x03\x01garbage\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"):
        assert answered(connect(port, content)).startswith(b"HTTP/1.1 400")
    assert alive(port)


def test_more_connections_than_there_may_be_take_those_that_are_silent(port: int) -> None:
    silent = [connect(port) for _ in range(60)]
    assert alive(port)
    for one in silent:
        assert answered(one) == b""


def test_a_connection_serves_many_requests(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    for number in range(5):
        connection.request("POST", "/read", b"x" * number, {"Content-Type": "image/png"})
        answer = connection.getresponse()
        assert json.loads(answer.read())["results"][0]["text"] == str(number)
    connection.close()


def test_what_was_begun_is_answered_when_it_is_told_to_end() -> None:
    options = ServeOptions(wait_ms=1)
    service, model = fake_service(options, seconds=0.3)
    asked = 0
    real = service.read

    async def read(request: Request) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        return await real(request)

    service.read = read  # type: ignore[method-assign]
    answers: list[tuple[int, str]] = []
    with served(options, service) as number:
        clients = [threading.Thread(target=lambda: answers.append(ask(number))) for _ in range(8)]
        for client in clients:
            client.start()
        wait_for(lambda: asked == 8 and sum(model.batches) > 2)
    for client in clients:
        client.join()
    assert [status for status, _ in answers] == [200] * 8
    with pytest.raises(OSError, match="refused"):
        ask(number)
    assert not service.ready


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_and_ends_in_order(number: int, tmp_path: Path) -> None:
    port = free_port()
    keys = tmp_path / "keys"
    keys.write_text("secret\n", "utf-8")
    command = [sys.executable, "-m", "strhub", "serve", "strhub-tiny", "--port", str(port)]
    running = subprocess.Popen(
        [*command, "--api_key_file", str(keys)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "STRHUB_API_KEY": "another"},
    )

    wait_until_ready(port, running)
    assert ask(port)[0] == 401
    for key in ("secret", "another"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        headers = {"Content-Type": "image/png", "X-API-Key": key}
        connection.request("POST", "/read", WORD.read_bytes(), headers)
        assert json.loads(connection.getresponse().read())["results"][0]["text"] == "clock"
        connection.close()
    running.send_signal(number)
    _, log = running.communicate(timeout=120)
    assert running.returncode == 0
    entries = [json.loads(line) for line in log.splitlines()]
    assert "stopped" in [entry["message"] for entry in entries]
    assert all(key not in log for key in ("secret", "another"))


@pytest.mark.slow
def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "strhub", "serve", "strhub-tiny", "--port", str(port)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert done.stderr.count("\n") == 1
