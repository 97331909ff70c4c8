"""Time, memory, queue and numbers of requests have limits, each with its status."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2 as httpx
import pytest
from serving_support import fake_service

from strhub.errors import ConfigError
from strhub.serving.app import create_app
from strhub.serving.inputs import parse
from strhub.serving.logs import JsonFormatter
from strhub.serving.options import ServeOptions
from strhub.serving.refusals import Refusal
from strhub.serving.service import Service

PNG = {"Content-Type": "image/png"}


def with_client(service: Service, check: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    """Run a check with a client of a service, in one process."""

    async def run() -> None:
        app = create_app(service=service)
        await service.start()
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
                await asyncio.wait_for(check(client), 120)
        finally:
            service.close()

    asyncio.run(run())


async def slowly() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.sleep(20)
    yield b"y"


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536
        await asyncio.sleep(0)


def test_a_body_that_is_too_large_is_not_read() -> None:
    service, model = fake_service(ServeOptions(max_mib=1))

    async def check(client: httpx.AsyncClient) -> None:
        for content in (b"x" * (2 << 20), endless()):
            answer = await client.post("/read", content=content, headers=PNG)
            assert answer.status_code == 413
            assert answer.headers["Connection"] == "close"
        huge = {**PNG, "Content-Length": str(1 << 50)}
        answer = await client.post("/read", content=endless(), headers=huge)
        assert answer.status_code == 413
        assert service.memory.used == 0

    with_client(service, check)
    assert model.batches == [1, 1]  # the warm-up


def test_a_body_that_is_too_slow_is_not_waited_for() -> None:
    service, _ = fake_service(ServeOptions(body_timeout=0.1))

    async def check(client: httpx.AsyncClient) -> None:
        answer = await client.post("/read", content=slowly(), headers=PNG)
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "too_slow")
        assert service.memory.used == 0
        assert (await client.post("/read", content=b"abc", headers=PNG)).status_code == 200

    with_client(service, check)


def test_bodies_of_all_requests_have_a_limit_together() -> None:
    service, _ = fake_service(ServeOptions(max_mib=1, max_held_mib=1))
    go_on = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield b"x" * 700_000
        await go_on.wait()

    async def check(client: httpx.AsyncClient) -> None:
        first = asyncio.ensure_future(client.post("/read", content=half(), headers=PNG))
        while not service.memory.used:
            await asyncio.sleep(0.01)
        answer = await client.post("/read", content=b"x" * 700_000, headers=PNG)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        go_on.set()
        assert (await first).status_code == 200
        answer = await client.post("/read", content=b"x" * 700_000, headers=PNG)
        assert answer.status_code == 200

    with_client(service, check)


def test_what_takes_too_long_is_given_up() -> None:
    held = threading.Event()
    service, model = fake_service(ServeOptions(timeout=0.2, batch_size=1), held=held)

    async def check(client: httpx.AsyncClient) -> None:
        requests = [client.post("/read", content=b"abc", headers=PNG) for _ in range(6)]
        for answer in await asyncio.gather(*requests):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_long")
            assert int(answer.headers["Retry-After"]) >= 1
        assert service.memory.used == 0
        assert len(model.batches) <= 2 + 2  # two were begun, the other four waited
        held.set()
        tries, status = 0, 503
        while status == 503:  # a busy machine may take too long for this one, too
            answer = await client.post("/read", content=b"abcd", headers=PNG)
            tries, status = tries + 1, answer.status_code
        assert answer.json()["results"][0]["text"] == "4"
        assert len(model.batches) <= 2 + 2 + tries  # what had waited was not begun

    with_client(service, check)


def test_a_full_queue_and_too_many_requests_are_refused_at_once() -> None:
    held = threading.Event()
    options = ServeOptions(
        threads=2, max_queue=8, max_images=8, max_photos=1, max_requests=12, batch_size=1, wait_ms=0
    )
    service, _ = fake_service(options, held=held)

    async def check(client: httpx.AsyncClient) -> None:
        begun = [
            asyncio.ensure_future(client.post("/read", content=b"x" * n, headers=PNG))
            for n in range(20)
        ]
        while sum(task.done() for task in begun) < 10:  # those that are refused
            await asyncio.sleep(0.01)
        assert (await client.get("/healthz")).status_code == 200
        held.set()
        answers = await asyncio.gather(*begun)
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(200), statuses.count(429), statuses.count(503)) == (10, 2, 8)
        for number, answer in enumerate(answers):
            if answer.status_code == 200:
                assert answer.json()["results"][0]["text"] == str(number)
            else:
                assert int(answer.headers["Retry-After"]) >= 1

    with_client(service, check)


def test_a_failure_is_told_and_logged_and_the_service_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service, model = fake_service(ServeOptions())

    async def check(client: httpx.AsyncClient) -> None:
        model.seconds = -1  # time.sleep raises
        answer = await client.post("/read", content=b"abc", headers={**PNG, "X-Request-ID": "mine"})
        assert answer.status_code == 500
        assert "mine" in answer.json()["error"]["message"]
        assert "sleep" not in answer.text
        model.seconds = 0
        assert (await client.post("/read", content=b"abc", headers=PNG)).status_code == 200

    with caplog.at_level(logging.INFO, "strhub.serving"):
        with_client(service, check)
    (failed,) = [record for record in caplog.records if record.exc_info]
    line = json.loads(JsonFormatter().format(failed))
    assert line["request"] == "mine"
    assert "ValueError" in line["traceback"]


def test_lines_of_the_log_are_json_and_a_client_cannot_make_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service, _ = fake_service(ServeOptions())
    content = b"\x89PNG secret"

    async def check(client: httpx.AsyncClient) -> None:
        headers = {**PNG, "X-Request-ID": "a b\tc"}
        answer = await client.post("/read", content=content, headers=headers)
        assert answer.headers["X-Request-ID"].isalnum()
        await client.get('/x%0A{"level":"error"}%1b[2J')

    with caplog.at_level(logging.INFO, "strhub.serving"):
        with_client(service, check)
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert len(lines) == 2
    assert all("\n" not in line and "\x1b" not in line for line in lines)
    read, other = map(json.loads, lines)
    assert (read["path"], read["status"], read["images"], read["failed"]) == ("/read", 200, 1, 0)
    assert other["path"].startswith('/x\n{"level"')
    assert "secret" not in lines[0]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"images":[' + b",".join([b'{"data":""}'] * 200_000) + b"]}", "too_many_images"),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(100_000)) + b"}", "bad_body"),
        (
            b'{"images":[{' + b",".join(b'"k%d":1' % number for number in range(100_000)) + b"}]}",
            "bad_body",
        ),
        (b'{"images":' + b"[" * 1_000_000, "bad_body"),
        (b'{"images":[{"data":' + b"9" * 1_000_000 + b"}]}", "bad_body"),
        (b'{"images": 1e400}', "bad_body"),
        (b'{"images":[null]}', "bad_body"),
        (b"[]", "bad_body"),
    ],
)
def test_json_of_a_million_parts_costs_no_second(body: bytes, code: str) -> None:
    began = time.process_time()
    with pytest.raises(Refusal) as caught:
        parse(body, "application/json", {}, ServeOptions(), photos=False)
    assert caught.value.code == code
    assert time.process_time() - began < 5  # minutes, if each part cost an object


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wait_ms": -1}, "wait_ms is -1"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"max_pixels": 10**9}, "max_pixels"),
        ({"max_queue": 10}, "max_queue is 10"),
        ({"models": ()}, "no model"),
        ({"keys": frozenset({"schlüssel"})}, "ASCII"),
    ],
)
def test_options_out_of_range_say_so(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ServeOptions(**options)


def test_two_models_of_one_name_say_so() -> None:
    with pytest.raises(ConfigError, match="two models are called strhub-tiny"):
        Service(ServeOptions(models=("strhub-tiny", "strhub-tiny")))
    with pytest.raises(ConfigError, match="not a name for a model"):
        Service(ServeOptions(models=("a b=strhub-tiny",)))
