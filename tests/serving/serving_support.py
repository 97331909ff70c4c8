"""Stand-ins for models, and a server on loopback."""

from __future__ import annotations

import http.client
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from strhub.inference.reading import Reading
from strhub.serving.app import create_app
from strhub.serving.batching import Queue
from strhub.serving.options import ServeOptions
from strhub.serving.server import listen, server_config
from strhub.serving.service import Service
from strhub.spotting.page import Page

WORD = Path(__file__).resolve().parents[2] / "demo_images" / "01.png"


class FakeModel:
    """Reads an image as how many bytes it has. seconds: that each batch takes; held: if it is set,
    every batch waits for it.
    """

    name = "fake"
    decodings = ("default",)

    def __init__(
        self, options: ServeOptions, *, seconds: float = 0, held: threading.Event | None = None
    ) -> None:
        self.batches: list[int] = []
        self.seconds, self.held = seconds, held
        self._read = Queue("read", self._readings, 2, options.batch_size, options.max_queue)
        self._spot = Queue("spot", self._pages, 2, 1, options.max_queued_photos)

    def _readings(self, sources: Sequence[bytes]) -> list[Reading]:
        self._work(sources)
        return [
            Reading(str(len(source)), 1.0)
            if isinstance(source, bytes)
            else Reading("", 0.0, error=str(source))
            for source in sources
        ]

    def _pages(self, sources: Sequence[bytes]) -> list[Page]:
        self._work(sources)
        return [Page((), (1, 1)) for _ in sources]

    def _work(self, sources: Sequence[bytes]) -> None:
        self.batches.append(len(sources))
        time.sleep(self.seconds)
        if self.held is not None and len(self.batches) > 2:  # not while it warms up
            self.held.wait(120)

    def reading_queue(self, decoding: str) -> Queue:
        """Return the queue of words."""
        return self._read

    def spotting_queue(self) -> Queue:
        """Return the queue of photographs."""
        return self._spot


def fake_service(options: ServeOptions, **more: Any) -> tuple[Service, FakeModel]:
    """Return a service with a fake model, and that model."""
    model: Any = FakeModel(options, **more)
    return Service(options, {"fake": model}), model


@contextmanager
def served(options: ServeOptions, service: Service, *, page: bool = False) -> Iterator[int]:
    """Serve on loopback in a thread; within, on that port."""
    config = server_config(create_app(options, service, page=page), options)
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        wait_for(lambda: server.started)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(120)


def wait_for(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until something is so; fail if it does not become so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(port: int, body: bytes = b"abc", *, timeout: float = 120) -> tuple[int, str]:
    """Return status and body of the answer to an image."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("POST", "/read", body, {"Content-Type": "image/png"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def wait_until_ready(port: int, running: subprocess.Popen[str]) -> None:
    """Wait until a command reads."""

    def ready() -> bool:
        assert running.poll() is None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=240)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    wait_for(ready)
