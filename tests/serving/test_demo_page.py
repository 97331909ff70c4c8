"""The demonstration page: complete, from this service alone, and driven in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from chromium import Tab, as_array, chromium, needs_browser
from fastapi.testclient import TestClient
from PIL import Image
from serving_support import WORD, served

from strhub.serving.app import create_app
from strhub.serving.options import ServeOptions
from strhub.serving.page import EXAMPLES
from strhub.serving.service import Service

ROOT = Path(__file__).resolve().parents[2]
STATIC = Path(str(files("strhub") / "serving" / "static"))
STREET = ROOT / "docs" / "figures" / "street.jpg"
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    options = ServeOptions(models=("strhub-small", "strhub-tiny"))
    with TestClient(create_app(options, page=True)) as running:
        yield running


def test_every_file_is_there_and_nothing_comes_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    asked = {"/"}
    waiting = [page.text]
    while waiting:
        text = waiting.pop()
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", text)
        for path in set(re.findall(r"\"(/page/[\w./]+)\"", text)) - asked:
            asked.add(path)
            answer = client.get(path)
            assert answer.status_code == 200 or path == "/page/state", path
            if path.endswith(("js", "css")):
                waiting.append(answer.text)
    for path in STATIC.rglob("*.*"):
        name = path.relative_to(STATIC).as_posix()
        assert name == "index.html" or client.get(f"/page/{name}").content == path.read_bytes()
        assert f"/page/{name}" in asked | {f"/page/examples/{one}" for one in EXAMPLES} or (
            name == "index.html"
        )


def test_examples_are_those_of_the_project() -> None:
    for name in EXAMPLES:
        source = STREET if name == "street.jpg" else ROOT / "demo_images" / name
        assert (STATIC / "examples" / name).read_bytes() == source.read_bytes()


def test_state_says_what_can_be_chosen(client: TestClient) -> None:
    state = client.get("/page/state").json()
    reported = {model["name"]: model["explains"] for model in state["models"]}
    assert reported == {"strhub-small": "columns", "strhub-tiny": "attention"}
    assert state["examples"] == list(EXAMPLES)


def test_where_characters_were_read_is_told(client: TestClient, word: bytes) -> None:
    found = client.post("/page/explain", content=word, headers=PNG).json()
    assert found["kind"] == "columns"
    assert "".join(one["text"] for one in found["characters"]) == "clock"
    at = [one["at"] for one in found["characters"]]
    assert at == sorted(at)
    assert 0 < at[0] < 0.2 < 0.8 < at[-1] <= 1
    broken = client.post("/page/explain", content=b"garbage", headers=PNG).json()
    assert broken["error"]
    assert client.post("/page/explain?model=none", content=word, headers=PNG).status_code == 422


@pytest.mark.slow
def test_what_was_attended_to_is_told(client: TestClient, word: bytes) -> None:
    found = client.post("/page/explain?model=strhub-tiny", content=word, headers=PNG).json()
    assert found["kind"] == "attention"
    assert "".join(one["text"] for one in found["characters"]) == "clock"  # then the end
    columns = []
    for one in found["characters"][:5]:
        across = [sum(row[n] for row in one["grid"]) for n in range(len(one["grid"][0]))]
        columns.append(across.index(max(across)))
    assert columns == sorted(columns)


def test_the_service_alone_has_no_page() -> None:
    app = create_app(ServeOptions(models=("strhub-tiny",)))
    assert "/" not in {getattr(route, "path", None) for route in app.routes}


PASTE = """(async () => {
  const blob = await (await fetch("/page/examples/02.png")).blob();
  await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
})()"""
DROP = """(async () => {
  const blob = await (await fetch("/page/examples/05.png")).blob();
  const carried = new DataTransfer();
  carried.items.add(new File([blob], "dropped.png", { type: "image/png" }));
  const options = { bubbles: true, cancelable: true, dataTransfer: carried };
  for (const kind of ["dragenter", "dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, options));
})()"""
LETTERS = "[...document.querySelectorAll('.card:first-child .letter b')].map((b) => b.textContent)"


def cards(tab: Tab, count: int) -> None:
    """Wait until so many images are read."""
    tab.wait(f"document.querySelectorAll('.card[data-done]').length === {count}")


def text_of(tab: Tab) -> str:
    """Return what was read last."""
    return "".join(tab.run(LETTERS))


@pytest.mark.slow
@needs_browser
def test_the_page_reads_what_is_dropped_pasted_chosen_and_photographed(tmp_path: Path) -> None:
    options = ServeOptions(models=("strhub-small", "strhub-tiny"))
    with Image.open(STREET) as street:
        seen = street.convert("RGB").resize((960, 540))
    with (
        served(options, Service(options), page=True) as port,
        chromium(tmp_path, seen=seen) as tab,
    ):
        origin = f"http://localhost:{port}"
        tab.open(f"{origin}/")
        tab.wait("document.body && document.body.dataset.ready")
        tab.size(1280, 900)
        # Chosen
        tab.choose_files("#files", WORD)
        cards(tab, 1)
        assert text_of(tab) == "clock"
        tab.wait("document.querySelector('.hint[data-ready=columns]')")
        tab.run("document.querySelector('.letter').dispatchEvent(new Event('pointerenter'))")
        assert tab.run("document.querySelector('canvas.looked').width") == 800
        # Pasted, with another model and another decoding
        tab.run("document.getElementById('model').value = 'strhub-tiny'")
        tab.run("document.getElementById('model').dispatchEvent(new Event('change'))")
        assert "lines" not in tab.run("document.getElementById('decoding').innerHTML")
        tab.run("document.getElementById('decoding').value = 'search'")
        allowed = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        tab.call("Browser.grantPermissions", origin=origin, permissions=allowed)
        tab.call("Page.bringToFront")
        tab.run(PASTE)
        for kind in ("keyDown", "keyUp"):
            more = {"commands": ["paste"]} if kind == "keyDown" else {}
            tab.call("Input.dispatchKeyEvent", type=kind, key="v", code="KeyV", modifiers=2, **more)
        cards(tab, 2)
        assert text_of(tab) == "SEPTEMBER"
        assert tab.run("document.querySelectorAll('.card:first-child .others .text').length") == 4
        tab.wait("document.querySelector('.hint[data-ready=attention]')")
        # Dropped
        tab.run(DROP)
        cards(tab, 3)
        assert text_of(tab) == "times"
        # Photographed
        tab.run("document.getElementById('open-camera').click()")
        tab.wait("document.getElementById('video').videoWidth > 0")
        tab.run("document.getElementById('capture').click()")
        cards(tab, 4)
        reported = tab.run("document.querySelector('.card').innerText")
        assert {"BAKERY", "OPEN", "STREET"} <= set(reported.split())
        tab.run("document.getElementById('close-camera').click()")
        # A photograph, and a word of it closer
        tab.choose_files("#files", STREET)
        cards(tab, 5)
        words = tab.run("document.querySelectorAll('.card:first-child polygon').length")
        assert words == tab.run("document.querySelectorAll('.card:first-child p button').length")
        assert words >= 18
        find = "[...document.querySelectorAll('.card:first-child p button')]"
        tab.run(f"{find}.find((one) => one.textContent === 'BAKERY').click()")
        tab.wait("document.querySelector('.card:first-child .detail .letters')")
        # What is no image
        (tmp_path / "broken.png").write_bytes(b"garbage")
        tab.choose_files("#files", tmp_path / "broken.png")
        cards(tab, 6)
        assert "cannot be read" in tab.run("document.querySelector('.card .failed').textContent")
        look(tab, tmp_path)
        assert not tab.errors
        assert all(url.startswith((origin, f"blob:{origin}", "data:")) for url in tab.asked)


def look(tab: Tab, folder: Path) -> None:
    """Check the page at two widths, light and dark: what is light, and that nothing juts out."""
    brightness = {}
    for width in (1280, 420):
        for dark in (False, True):
            path = folder / f"{width}-{dark}.png"
            tab.look(path, width, 1000, dark=dark)
            brightness[width, dark] = as_array(path).mean()
            assert tab.run("document.documentElement.scrollWidth") <= width
    assert brightness[1280, False] > 170 > 80 > brightness[1280, True]
    assert brightness[420, False] > 150 > 90 > brightness[420, True]
