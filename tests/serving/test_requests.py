"""Requests that nobody thought of: each has an answer that the description has, never 500."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_support import fake_service, served

from strhub.serving import schemas
from strhub.serving.app import create_app
from strhub.serving.options import ServeOptions
from strhub.serving.service import Service

HEAD = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
IMAGE = st.fixed_dictionaries(
    {}, optional={"name": TEXT | JSON, "data": st.just(schemas.PIXEL) | TEXT | JSON, "url": TEXT}
)
BATCH = st.fixed_dictionaries(
    {"images": st.lists(IMAGE, max_size=4) | JSON},
    optional={"model": st.just("fake") | TEXT, "decoding": st.just("default") | JSON},
)
PART = st.builds(
    lambda name, file, content: HEAD % (name, file) + content + b"\r\n",
    st.sampled_from([b"images", b"model", b"decoding", b'"; x="', b"", b"\xff\r\nA: b"]),
    st.sampled_from([b"", b'; filename="a.png"', b'; filename="../\xff"', b"; filename*=UTF-8''x"]),
    st.binary(max_size=60),
)
BODY = st.one_of(
    st.tuples(st.just("application/json"), BATCH.map(json.dumps).map(str.encode)),
    st.tuples(st.just("application/json"), st.binary(max_size=40)),
    st.tuples(
        st.just("multipart/form-data; boundary=x"),
        st.lists(PART, max_size=5).map(lambda parts: b"".join([*parts, b"--x--\r\n"])),
    ),
    st.tuples(st.just("multipart/form-data; boundary=x"), st.binary(max_size=100)),
    st.tuples(st.sampled_from(["image/png", "text/html", "", ";", "image/"]), st.binary()),
)


def test_every_body_has_an_answer() -> None:
    with TestClient(create_app(service=fake_service(ServeOptions(wait_ms=0))[0])) as client:

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
        @given(path=st.sampled_from(["/read", "/spot", "/read?model=fake&decoding=x"]), body=BODY)
        def check(path: str, body: tuple[str, bytes]) -> None:
            kind, content = body
            answer = client.post(path, content=content, headers={"Content-Type": kind})
            assert answer.status_code in (200, 415, 422)
            if answer.status_code != 200:
                schemas.Failure.model_validate(answer.json())
            elif path.startswith("/spot"):
                schemas.SpotAnswer.model_validate(answer.json())
            else:
                schemas.ReadAnswer.model_validate(answer.json())

        check()


@pytest.mark.slow
def test_schemathesis_finds_no_fault(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="pip install schemathesis")
    options = ServeOptions(models=("strhub-tiny",))
    with served(options, Service(options)) as port:
        command = [
            sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()",
            "run", f"http://127.0.0.1:{port}/openapi.json", "--checks", "all", "--seed", "1",
            "--phases", "examples,coverage,fuzzing", "--max-examples", "20",
            "--generation-database", "none",
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=250, cwd=tmp_path, check=False
        )
    assert done.returncode == 0, done.stdout[-3000:]
