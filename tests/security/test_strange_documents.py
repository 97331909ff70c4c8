"""Documents, tables and settings of strangers that would be worked on for hours, or for ever."""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from attack_support import run_python
from PIL import Image

pytest.importorskip("pypdfium2", reason="PDFs are an extra: pip install strhub[spot]")

from strhub.cli.photo import check_folder
from strhub.errors import UnreadableImage
from strhub.evaluation.results.sample import FIELDS
from strhub.spotting import pdf_pages
from strhub.spotting.documents import open_pages


def pdf(*objects: bytes) -> bytes:
    out = b"%PDF-1.5\n"
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<< /Size %d /Root 1 0 R >>\n"
        b"startxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table, len(objects) + 1, len(out))
    )


def stream(entries: bytes, content: bytes) -> bytes:
    return b"<< %b /Length %d >>\nstream\n%b\nendstream" % (entries, len(content), content)


def repeated(depth: int, *, pages: int) -> bytes:
    """Pages of which the second draws a form that draws another eight times, and so on."""
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 90 90] %b >>"
    second = page % b"/Resources << /XObject << /F 6 0 R >> >> /Contents 5 0 R"
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 90 90] "
    used = b"/Resources << /XObject << /F %d 0 R >> >>"
    inner = [stream(form + used % (7 + level), b"/F Do " * 8) for level in range(depth)]
    kids = b"3 0 R 4 0 R 3 0 R"[: 6 * pages]
    return pdf(
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Count %d /Kids [%b] >>" % (pages, kids),
        page % b"",
        second,
        stream(b"", b"/F Do"),
        *inner,
        stream(form, b"0 0 9 9 re f"),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
def test_a_pdf_that_draws_for_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = list(open_pages(repeated(1, pages=3), dpi=72))
    assert [page.image.size for page in sound] == [(90, 90)] * 3  # type: ignore[union-attr]
    monkeypatch.setattr(pdf_pages, "MAX_CPU_SECONDS", 2)  # the first page needs less
    began = time.process_time()
    first, second = open_pages(repeated(12, pages=3), dpi=72)
    assert isinstance(first.image, Image.Image)
    assert "takes over 2 seconds or 2048 MiB" in str(second.image)
    assert time.process_time() - began < 5  # of this process; the other one takes hours


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('begun', flush=True); __import__('os').abort()", "crashes"),
        (
            'print(\'begun\', flush=True); print(\'{"number": 1, "total": 1, "size": [90, 90]}\')',
            "crashes",
        ),
        ("print('begun', flush=True); print('[' * 3000)", "crashes"),
        ("print('begun', flush=True); print('{}')", "crashes"),
    ],
)
def test_a_pdf_that_crashes_the_renderer(
    code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf_pages, "_CODE", code)
    with pytest.raises(UnreadableImage, match=message):
        list(open_pages(repeated(1, pages=1)))


@pytest.mark.parametrize("program", ["/bin/true", "/nowhere/python"])
def test_where_no_process_can_be_started(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with pytest.raises(UnreadableImage, match=r"none can be started: .*STRHUB_TRUST_PDF=1"):
        list(open_pages(repeated(1, pages=2)))
    monkeypatch.setenv(pdf_pages.TRUST, "1")
    assert [page.total for page in open_pages(repeated(1, pages=2))] == [2, 2]


def tiff(pages: int) -> bytes:
    """A TIFF of pages of one pixel, all of the same one."""
    entries = (
        (256, 1),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, 1),
    )
    out = bytearray(b"II*\0" + struct.pack("<I", 10) + b"\xff\0")
    for number in range(1, pages + 1):
        following = len(out) + 2 + 12 * len(entries) + 4 if number < pages else 0
        out += struct.pack("<H", len(entries))
        for tag, value in entries:
            out += struct.pack("<HHII", tag, 4, 1, value)
        out += struct.pack("<I", following)
    return bytes(out)


CHILD = """
import sys, time
from pathlib import Path
from strhub.bulk.output import check_job
from strhub.cli.stored_run import stored_overrides
from strhub.data.sources.annotated_photos import find_annotated
from strhub.data.sources.shard_names import known_size
from strhub.data.synth.settings import load_style
from strhub.evaluation.results.files import read_samples
from strhub.evaluation.results.provenance import read_results
from strhub.evaluation.predictions import Predictions
from strhub.spotting.documents import open_pages
folder = Path(sys.argv[1])
def told(work):
    try: return str(work())
    except ValueError as error: return type(error).__name__ + " " + str(error)
print(told(lambda: len(list(open_pages(folder / "1000.tif")))))
print(told(lambda: len(list(open_pages(folder / "10001.tif")))))
print(told(lambda: Predictions(folder / "same.tsv").close()))
print(told(lambda: Predictions(folder / "long.tsv").close()))
print(told(lambda: load_style(folder / "bomb.yaml")))
print(told(lambda: load_style(folder / "deep.yaml")))
print(told(lambda: load_style(folder / "long.yaml")))
print(told(lambda: load_style({"margin": 10**400})))
print(told(lambda: stored_overrides(folder)))
print(told(lambda: read_results(folder)))
print(told(lambda: read_results(folder / "kinds")))
print(told(lambda: check_job(folder, {"format": 1})))
print(told(lambda: known_size([str(folder / "a.tar")])))
print(told(lambda: list(read_samples(folder / "samples.tsv"))))
print(told(lambda: find_annotated(folder)))
"""
ENDS = (
    "refers to a part of itself",
    "nested too deeply",
    "a word that is too long",
    "must be finite and not below 0",
    "refers to a part of itself",
    "nested too deeply",
    "is damaged",
    "nested too deeply",
    "None",
    "nested too deeply",
    "three points",
)
"""What is said of the last of them, in their order."""


def write_settings(folder: Path, *, bomb: str) -> None:
    """Write what lies beside runs, searches, results and data sets."""
    deep = "[" * 100_000
    row = {
        "index": "1",
        "width": "9",
        "height": "9",
        "rotation": "0",
        "confidence": "0.5",
        "character_confidences": deep,
    }
    point = 10**400
    photo = {"image": "a.png", "words": [{"quad": [[point, 1], [2, 1], [2, 2]], "text": "a"}]}
    texts = {
        "long.yaml": "margin: 1" + ":1" * 400_000,
        "config/overrides.yaml": f"- {bomb}",
        "results.json": deep,
        "_job.json": deep,
        "kinds/results.json": '{"charset": "a", "format": "1", "reader": {}, "sets": {}}',
        "sizes.json": deep,
        "a.tar": "",
        "words.jsonl": json.dumps(photo),
        "samples.tsv": "".join(
            "\t".join(line) + "\n" for line in [FIELDS, [row.get(name, "") for name in FIELDS]]
        ),
    }
    for name, text in texts.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


def test_what_is_long_or_deep_costs_little(tmp_path: Path) -> None:
    """All in one limited child."""
    for pages in (1000, 10_001):
        (tmp_path / f"{pages}.tif").write_bytes(tiff(pages))
    rows = "".join(f"{number}\ta.png\tx\n" for number in range(50_000))
    (tmp_path / "same.tsv").write_text("set\timage\ttext\n" + rows)
    (tmp_path / "long.tsv").write_text("image\ttext\n" + "x" * (64 << 20))
    lines = [
        "a0: &a0 [x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)),
    ]
    (tmp_path / "bomb.yaml").write_text(f"- {{{', '.join(lines)}}}\n")
    (tmp_path / "deep.yaml").write_text("[" * 100_000)
    write_settings(tmp_path, bomb=f"{{{', '.join(lines)}}}\n")
    outcome = run_python(CHILD, tmp_path, memory_mib=500)
    assert outcome.ended_well, outcome
    many, more, same, long, *rest = outcome.stdout.splitlines()
    assert (many, same) == ("1000", "None")
    assert "over 10000 pages" in more
    assert "the line is over 1 MiB long" in long
    for said, end in zip(rest, ENDS, strict=True):
        assert end in said, rest


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="it has no fifos")
def test_notes_in_a_folder_may_be_anything(tmp_path: Path) -> None:
    makers: Sequence[object] = (os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path))
    for number, make in enumerate(makers):
        folder = tmp_path / str(number)
        folder.mkdir()
        make(folder / "_job.json")  # type: ignore[operator]
        with pytest.raises(ValueError, match="readings of another model"):
            check_folder(folder, "strhub-small")
