"""Requests to the service: damaged headers and bodies, answered within this process."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
END = b"\r\n\r\n"


def make_requests(folder: Path) -> None:
    """Write requests as they are sent: a line, headers, the body."""
    with Image.open(ROOT / "demo_images" / "01.png") as image:
        file = io.BytesIO()
        image.convert("RGB").resize((48, 16)).save(file, "PNG")
    png = file.getvalue()
    encoded = base64.b64encode(png).decode()
    images = [{"data": encoded, "name": "a"}, {"data": f"data:image/png;base64,{encoded}"}]
    batch = {"images": images, "model": "fake", "decoding": "default"}
    photos = {"images": images}
    parts = b"".join(
        b'--xyz\r\nContent-Disposition: form-data; name="images"; filename="%b"\r\n'
        b"Content-Type: image/png\r\n\r\n%b\r\n" % (name, png)
        for name in (b"a.png", b"../b.png")
    )
    parts += b'--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\nfake\r\n--xyz--\r\n'
    requests = {
        "json": ("POST /read", "application/json", json.dumps(batch).encode()),
        "photos": ("POST /spot", "application/json", json.dumps(photos).encode()),
        "image": ("POST /read?model=fake&decoding=default", "image/png", png),
        "form": ("POST /read", "multipart/form-data; boundary=xyz", parts),
        "explain": ("POST /explain", "image/png", png),
        "page": ("GET /page.js", "text/plain", b""),
        "metrics": ("GET /metrics", "text/plain", b""),
    }
    for name, (line, kind, body) in requests.items():
        head = f"{line}\r\nContent-Type: {kind}\r\nX-API-Key: secret\r\nX-Request-ID: r1"
        (folder / f"{name}.http").write_bytes(head.encode() + END + body)


@cache
def _application() -> Any:
    """Return the application, its model computing nothing, and the loop that it has begun in."""
    from serving_support import fake_service

    from strhub.serving.app import create_app
    from strhub.serving.options import ServeOptions

    options = ServeOptions(max_mib=1, wait_ms=0, max_pixels=1_000_000, keys=frozenset({"secret"}))
    service, _ = fake_service(options)
    app = create_app(options, service, page=True)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(service.start())
    return app, loop


def send_request(path: Path) -> object:
    """Send a request; an answer of 500 is a failure, one that refuses is as good as an error."""
    head, _, body = path.read_bytes().partition(END)
    line, *lines = head.split(b"\r\n")
    method, _, target = line.partition(b" ")
    where, _, query = target.partition(b"?")
    headers = [
        (name.strip().lower(), value.strip())
        for name, _, value in (one.partition(b":") for one in lines)
    ]
    app, loop = _application()
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method.decode("latin-1").upper(),
        "query_string": query,
        "headers": headers,
        "path": unquote_to_bytes(where).decode("utf-8", "replace"),
        "raw_path": where,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "root_path": "",
        "state": {},
    }
    sent: list[dict[str, Any]] = []

    received: list[bytes] = [body]

    async def receive() -> dict[str, Any]:
        if not received:
            await asyncio.sleep(3600)  # it waits for the answer
        received.clear()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    loop.run_until_complete(app(scope, receive, send))
    status = sent[0]["status"]
    answer = b"".join(one.get("body", b"") for one in sent)
    assert status < 500, (status, answer[:200])
    if status >= 400:
        raise ValueError(status)
    return answer
