"""The service answers what it is asked, names every image, and says what it does not take."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image
from serving_support import fake_service

from strhub import Recognizer, Spotter
from strhub.serving import schemas
from strhub.serving.app import create_app
from strhub.serving.options import ServeOptions

Words = dict[str, bytes]


def as_json(*contents: bytes, **more: Any) -> dict[str, Any]:
    images = [
        {"name": f"{index}.png", "data": base64.b64encode(content).decode()}
        for index, content in enumerate(contents)
    ]
    return {"images": images, **more}


def as_form(*contents: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [
        ("images", (f"{index}.png", content, "image/png")) for index, content in enumerate(contents)
    ]


def as_raw(content: bytes, kind: str = "image/png") -> dict[str, Any]:
    return {"content": content, "headers": {"Content-Type": kind}}


def test_words_are_read_as_without_the_service(client: TestClient, words: Words) -> None:
    contents = list(words.values())
    expected = [reading.text for reading in Recognizer()(contents)]
    assert any(expected)
    answers = [
        client.post("/read", files=as_form(*contents)),
        client.post("/read", json=as_json(*contents)),
        client.post("/read", files=as_form(*contents), data={"model": "strhub-small"}),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        read = schemas.ReadAnswer.model_validate(answer.json())
        assert [one.text for one in read.results] == expected
        assert [one.index for one in read.results] == list(range(len(contents)))
        assert [one.name for one in read.results] == [f"{n}.png" for n in range(len(contents))]
        assert all(len(one.character_confidences) == len(one.text) for one in read.results)
    alone = client.post("/read", **as_raw(contents[0], "application/octet-stream")).json()
    assert alone["results"][0]["text"] == expected[0]
    assert alone["results"][0]["name"] is None


def test_models_and_decodings_are_those_that_are_listed(client: TestClient, word: bytes) -> None:
    listed = schemas.Models.model_validate(client.get("/models").json())
    assert [model.name for model in listed.models] == ["strhub-small", "strhub-tiny"]
    for model in listed.models:
        for decoding in model.decodings:
            answer = client.post(
                f"/read?model={model.name}&decoding={decoding}", **as_raw(word)
            ).json()
            assert (answer["model"], answer["decoding"]) == (model.name, decoding)
            (result,) = answer["results"]
            assert result["text"] == "clock"
            assert bool(result["alternatives"]) == (decoding == "search")
            assert bool(result["words"]) == (decoding == "lines")
    assert "lines" not in listed.models[1].decodings


def test_photographs_are_read_as_without_the_service(client: TestClient, words: Words) -> None:
    sheet = Image.new("RGB", (500, 240), "white")
    for index, content in enumerate(list(words.values())[:3]):
        sheet.paste(Image.open(io.BytesIO(content)).convert("RGB"), (20, 20 + 70 * index))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    answer = client.post("/spot", files=as_form(file.getvalue(), b"nothing"))
    assert answer.status_code == 200
    page, broken = schemas.SpotAnswer.model_validate(answer.json()).results
    assert page.text == Spotter(reader="strhub-small")(sheet).text != ""
    assert (page.size, page.error) == ([500, 240], None)
    assert (broken.index, broken.name, broken.error) == (
        1,
        "1.png",
        "not an image in any known format",
    )


def test_an_image_that_cannot_be_read_fails_in_its_slot_alone(
    client: TestClient, word: bytes
) -> None:
    contents = (word, b"", b"garbage", word[:60], word)
    for answer in (
        client.post("/read", files=as_form(*contents)),
        client.post("/read", json=as_json(*contents)),
    ):
        assert answer.status_code == 200
        results = answer.json()["results"]
        assert [result["text"] for result in results] == ["clock", "", "", "", "clock"]
        assert [bool(result["error"]) for result in results] == [False, True, True, True, False]


BAD = {
    "text": (415, {"content": b"x", "headers": {"Content-Type": "text/plain"}}),
    "no type": (415, {"content": b"x"}),
    "form of a page": (415, {"data": {"a": "b"}}),
    "compressed": (
        415,
        {"content": b"x", "headers": {"Content-Type": "image/png", "Content-Encoding": "gzip"}},
    ),
    "no JSON": (422, {"content": b"{", "headers": {"Content-Type": "application/json"}}),
    "wrong JSON": (422, {"json": [1]}),
    "JSON of nothing": (422, {"json": {"images": []}}),
    "deep JSON": (
        422,
        {"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}},
    ),
    "an unknown key": (422, {"json": {"images": [{"data": "", "file": "/etc/passwd"}]}}),
    "no base64": (422, {"json": {"images": [{"data": "?"}]}}),
    "both": (422, {"json": {"images": [{"data": "", "url": "http://a"}]}}),
    "a url": (422, {"json": {"images": [{"url": "http://127.0.0.1/"}]}}),
    "a number": (422, {"json": {"images": [{"data": 5}]}}),
    "too many": (422, {"files": [("images", ("a", b"x", "image/png"))] * 9}),
    "too many in JSON": (422, {"json": {"images": [{"data": ""}] * 9}}),
    "no file": (422, {"files": [("images", ("", b"", "image/png"))][:0], "data": {}}),
    "cut off": (
        422,
        {
            "content": b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"'
            b"\r\n\r\nabc",
            "headers": {"Content-Type": "multipart/form-data; boundary=x"},
        },
    ),
    "no boundary": (422, {"content": b"--", "headers": {"Content-Type": "multipart/form-data"}}),
    "damaged": (
        422,
        {"content": b"garbage", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ),
    "an unknown field": (422, {"files": [("other", (None, b"x"))]}),
    "a file of another field": (422, {"files": [("other", ("a.png", b"x"))]}),
    "an image that is no file": (422, {"files": [("images", (None, b"x"))]}),
    "no model": (422, {"json": {"images": [{"data": ""}], "model": ""}}),
    "null for a model": (422, {"json": {"images": [{"data": ""}], "model": None}}),
    "neither": (422, {"json": {"images": [{"name": "a"}]}}),
    "an unknown model": (422, {"json": {"images": [{"data": ""}], "model": "m\nodel"}}),
    "an unknown decoding": (422, {"json": {"images": [{"data": ""}], "decoding": "magic"}}),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_taken_has_its_status(client: TestClient, case: str) -> None:
    status, request = BAD[case]
    if case == "no file":
        status = 415  # httpx sends no body then
    answer = client.post("/read", **request)
    assert answer.status_code == status, answer.text
    schemas.Failure.model_validate(answer.json())


def test_an_image_of_too_many_pixels_is_refused(client: TestClient, large: bytes) -> None:
    for path in ("/read", "/spot"):
        answer = client.post(path, files=as_form(large))
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "too_many_pixels")
        assert "images[0]" in answer.json()["error"]["message"]


def test_unknown_paths_and_methods_say_so(client: TestClient) -> None:
    assert client.get("/nothing").json()["error"]["code"] == "not_found"
    assert client.get("/read").status_code == 405
    assert client.get("/docs").status_code == 404  # its scripts would come from elsewhere


def test_health_and_numbers(client: TestClient, word: bytes) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}
    client.post("/read", files=as_form(word, b"garbage"))
    client.get("/no/such/path/1")
    text = client.get("/metrics").text
    assert 'strhub_requests_total{path="/read",status="200"}' in text
    assert 'strhub_images_total{kind="read",outcome="failed"}' in text
    assert 'strhub_requests_total{path="other",status="404"}' in text
    assert "/no/such" not in text  # or each address would make a number of its own
    assert 'strhub_waiting_images{kind="read"} 0.0' in text
    assert "strhub_active_requests 0.0" in text


def test_openapi_describes_every_route_with_examples(client: TestClient) -> None:
    description = client.get("/openapi.json").json()
    assert set(description["paths"]) == {
        "/read",
        "/spot",
        "/models",
        "/metrics",
        "/healthz",
        "/readyz",
    }
    post = description["paths"]["/read"]["post"]
    assert {"200", "401", "408", "413", "415", "422", "429", "503"} <= set(post["responses"])
    kinds = post["requestBody"]["content"]
    assert {"application/json", "multipart/form-data", "image/png"} <= set(kinds)
    for name in ("Batch", "ReadAnswer", "Failure"):
        schema = description["components"]["schemas"][name]
        (example,) = schema["examples"]
        getattr(schemas, name).model_validate(example)
    for path, name in (("/read", "Batch"), ("/spot", "Photos")):
        (example,) = description["components"]["schemas"][name]["examples"]
        assert client.post(path, json=example).status_code == 200
    names = description["components"]["schemas"]["ModelName"]["enum"]
    assert names == ["strhub-small", "strhub-tiny"]
    assert "url" not in description["components"]["schemas"]["Image"]["properties"]


def test_keys_are_asked_for_where_there_are_any(word: bytes) -> None:
    options = ServeOptions(keys=frozenset({"secret", "other"}))
    assert "secret" not in repr(options)
    with TestClient(create_app(service=fake_service(options)[0])) as client:
        wrong: list[dict[str, str]] = [
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic secret"},
            {"X-API-Key": ""},
            {"X-API-Key": "secre"},
        ]
        for path in ("/read", "/models", "/metrics", "/openapi.json", "/nothing"):
            for headers in wrong:
                answer = client.request("POST" if path == "/read" else "GET", path, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        for path in ("/healthz", "/readyz"):
            assert client.get(path).status_code == 200
        for headers in (
            {"Authorization": "Bearer secret"},
            {"authorization": "bearer other"},
            {"X-API-Key": "secret"},
        ):
            assert client.post("/read", files=as_form(word), headers=headers).status_code == 200


def test_pages_of_others_may_ask_where_they_are_named_alone(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in client.options("/read", headers=asked).headers
    assert "access-control-allow-origin" not in client.get("/models", headers=asked).headers
    options = ServeOptions(cors_origins=("https://example.org",))
    with TestClient(create_app(service=fake_service(options)[0])) as open_client:
        allowed = open_client.options("/read", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://example.org"
        other = open_client.get("/models", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


def test_addresses_are_fetched_where_allowed_and_from_public_networks_alone(
    word: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from strhub.serving import inputs

    def fetch(url: str, **options: Any) -> bytes:
        assert options["public_only"]
        if "private" in url:
            raise OSError("its address is in a private network")
        return word

    monkeypatch.setattr(inputs, "fetch", fetch)
    with TestClient(create_app(service=fake_service(ServeOptions(allow_urls=True))[0])) as client:
        urls = ["https://public.example/a.png", "http://private.example/"]
        answer = client.post("/read", json={"images": [{"url": url} for url in urls]})
        first, second = answer.json()["results"]
        assert (first["text"], first["name"]) == (str(len(word)), urls[0])
        assert second["error"] == "its address is in a private network"
        answer = client.post("/read", json={"images": [{"url": "file:///etc/passwd"}]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_url")
