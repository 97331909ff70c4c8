"""read.py takes images by standard input and from the web; names and texts of strangers are printed
safely.
"""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from strhub import Recognizer
from strhub.bulk.inputs import FILES, Unit, find, images
from strhub.cli.entry import end_with
from strhub.cli.read import run

ROOT = Path(__file__).parents[2]
DEMO = sorted((ROOT / "demo_images").glob("*.png"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(DEMO[0].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_standard_input_among_others() -> None:
    expected = [reading.text for reading in Recognizer()([DEMO[0], DEMO[1]])]
    command = [sys.executable, "read.py", "--json", "--images", "-", str(DEMO[1]), "-"]
    done = subprocess.run(
        command, cwd=ROOT, input=DEMO[0].read_bytes(), capture_output=True, check=True, timeout=240
    )
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(record["path"], record["text"]) for record in records] == [
        ("-", expected[0]),
        (str(DEMO[1]), expected[1]),
    ]


def test_standard_input_is_of_no_use_to_a_run_that_resumes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="- is not for --output"):
        run(["--images", "-", "--output", str(tmp_path / "out")])


def test_addresses(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"{address}/{DEMO[2].name}?width=3"
    (expected,) = Recognizer()(DEMO[2])
    (reading,) = Recognizer()(url)
    assert (reading.text, reading.source, reading.error) == (expected.text, url, None)
    assert run(["--images", url, f"{address}/absent.png"]) == 1
    output = capsys.readouterr()
    assert output.out.startswith(f"{url}: {expected.text}  ")
    assert "the server says 404" in output.err
    found = find([url], without=ROOT)
    assert found[FILES] == [url]
    assert [image.error for image in images(Unit(FILES, files=(url,)))] == [None]


def test_only_a_text_that_is_given_is_an_address(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a path object, nor what an annotation file names."""
    from strhub.data.sources.folder import FolderWords

    monkeypatch.setattr(
        "strhub.utils.web.fetch", lambda *_, **__: pytest.fail("it talks to a server")
    )
    (tmp_path / "gt.txt").write_text(f"{address}/{DEMO[0].name}\tword\n")
    with pytest.raises(ValueError, match="No such file"):
        FolderWords(tmp_path).read(0)
    assert "No such file" in str(Recognizer()(Path(f"{address}/a.png"))[0].error)


def test_hostile_names_are_printed_safely(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "a\x1b[2J\nread.py: all is well\x9b31m.png"
    (tmp_path / name).write_bytes(DEMO[0].read_bytes())
    (tmp_path / f"bad{name}").write_bytes(b"")
    for options in ([], ["--json"]):
        assert run(["--images", str(tmp_path), *options]) == 1
        output = capsys.readouterr()
        assert all(line.isprintable() for line in (output.out + output.err).splitlines())
        assert len(output.out.splitlines()) == 1 + bool(options)
    with pytest.raises(SystemExit) as ended:
        end_with("read.py", lambda: run([f"missing{name}.ckpt", "--images", str(DEMO[0])]))
    message = str(ended.value)
    assert message.startswith("read.py: ")
    assert "\x1b" not in message
    assert "\nread.py" not in message
