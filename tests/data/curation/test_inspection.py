"""What an inspection says of a data set: all that was planted is found, nothing else, and labels
can do no harm.
"""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import lmdb
import pytest
from PIL import Image

from strhub.cli.data import run
from strhub.data.curation.charsets import named_charset
from strhub.data.curation.inspection import inspect, text_summary
from strhub.data.curation.inspection_page import page
from strhub.data.curation.scan import scan
from strhub.data.sources.lmdb import write_lmdb
from strhub.data.synth import RenderedWords
from strhub.text import CHARSET_36, CHARSET_94, LabelPreparation

HOSTILE = "<script>alert('x')</script>\x1b[31m\u202e\"&"
WORDS = RenderedWords(charset=CHARSET_36, max_length=8, seed=2)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def change(folder: Path, pairs: dict[str, bytes | None]) -> None:
    with (
        lmdb.open(str(folder), lock=False, map_size=1 << 26) as environment,
        environment.begin(write=True) as writing,
    ):
        for key, value in pairs.items():
            if value is None:
                assert writing.delete(key.encode())
            else:
                writing.put(key.encode(), value)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train/a: 24 words, two of them copies; train/deep/b: 8 with damage of every kind. test: 10,
    three of a's.
    """
    root = tmp_path_factory.mktemp("trees")
    rendered = [WORDS.render(index) for index in range(60)]
    first: list[tuple[bytes, str]] = [(encoded(image), label) for image, label in rendered[:24]]
    first[20] = first[3]  # the same bytes
    first[21] = (encoded(rendered[4][0], "BMP"), "other")  # the same pixels with another label
    first[22] = (
        encoded(rendered[5][0].resize((rendered[5][0].width * 2, rendered[5][0].height * 2))),
        rendered[5][1].upper(),
    )
    second = [(encoded(image), label) for image, label in rendered[24:32]]
    second[0] = (second[0][0], HOSTILE)
    second[1] = (second[1][0], "much too long for a word")
    second[2] = (b"not a picture", "bad")
    second[3] = (second[3][0][:90], "cut")
    test = [(encoded(image), label) for image, label in rendered[40:50]]
    test[2] = first[7]
    test[5] = (encoded(rendered[8][0], "JPEG", quality=60), rendered[8][1])
    test[6] = (encoded(rendered[9][0], "JPEG", quality=60), "unlike")  # labels must agree
    (root / "train" / "deep").mkdir(parents=True)
    for folder, words in (("train/a", first), ("train/deep/b", second), ("test", test)):
        write_lmdb(root / folder, words)
    change(
        root / "train/deep/b",
        {"label-000000005": None, "label-000000006": b"\xff", "image-000000007": None},
    )
    return root


@pytest.fixture(scope="module")
def report(trees: Path) -> dict[str, Any]:
    return inspect(trees / "train", trees / "test", charset=CHARSET_36, max_length=15)


def test_counts(report: dict[str, Any]) -> None:
    total, (first, second) = report["total"], report["sets"]
    assert [one["records"] for one in (total, first, second)] == [32, 24, 8]
    assert [one["readable"] for one in (total, first, second)] == [29, 24, 5]
    assert second["labels"] == {"fine": 6, "missing": 1, "undecodable": 1}
    assert sum(second["unreadable"].values()) == 3
    problems = {problem["number"]: problem["problem"] for problem in second["problems"]}
    assert problems.keys() == {3, 4, 7}
    assert problems[7] == "there is no image"
    assert total["formats"] == {"PNG": 28, "BMP": 1}


def test_charset(report: dict[str, Any]) -> None:
    total = report["total"]
    counts = {reason: dropped["count"] for reason, dropped in total["dropped"].items()}
    assert counts == {"no label": 1, "undecodable label": 1, "too long": 2}
    assert total["kept"] == 28
    assert {"number": 2, "label": "much too long for a word"} in total["dropped"]["too long"][
        "examples"
    ]
    outside = {character for character, _, inside in total["characters"] if not inside}
    assert {"<", "\x1b", "\u202e", " "} <= outside
    assert not outside & set(CHARSET_36)


def test_distributions_add_up(report: dict[str, Any]) -> None:
    total = report["total"]
    assert sum(count for _, count in total["label_length"]["histogram"]) == 30
    for name in ("width", "height", "aspect_ratio"):
        assert sum(count for _, count in total[name]["histogram"]) == 29
        levels = list(total[name]["quantiles"].values())
        assert levels == sorted(levels)


def test_duplicates(report: dict[str, Any]) -> None:
    assert report["sets"][0]["duplicates"] == {
        "same_bytes": 1,
        "same_pixels": 2,
        "same_pixels_other_label": 1,
        "near": 1,
    }
    found = {
        (pair["kind"], pair["first"]["number"], pair["second"]["number"])
        for pair in report["duplicates"]["pairs"]
    }
    assert found == {("same bytes", 4, 21), ("same pixels", 5, 22), ("near", 6, 23)}


def test_overlap(trees: Path, report: dict[str, Any]) -> None:
    overlap = report["overlap"]
    assert (overlap["exact"], overlap["near"], overlap["records_of_other"]) == (1, 1, 2)
    found = {pair["kind"]: (pair["first"], pair["second"]) for pair in overlap["pairs"]}
    assert [end["number"] for end in found["same bytes"]] == [8, 3]
    first, second = found["near"]
    assert (first["path"], first["number"]) == (str(trees / "train/a"), 9)
    assert (second["path"], second["number"], second["label"]) == (
        str(trees / "test"),
        6,
        WORDS.render(8)[1],
    )


def test_same_whatever_the_number_of_processes(
    trees: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strhub.data.curation.stored.StoredWords.per_job", 3)
    one = inspect(trees / "train", charset=CHARSET_94, workers=1)
    assert json.dumps(inspect(trees / "train", charset=CHARSET_94, workers=2)) == json.dumps(one)


class Elements(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_needs_nothing_and_labels_are_only_text(report: dict[str, Any]) -> None:
    html = page(report)
    elements = Elements()
    elements.feed(html)
    assert not elements.tags & {"script", "link", "iframe", "object", "base", "form"}
    assert not any(name.startswith("on") for name, _ in elements.attributes)
    sources = [value for name, value in elements.attributes if name in ("src", "href")]
    assert len(sources) >= 34
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script>alert('x')</script>\\x1b[31m\\u202e\"&" in elements.text
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "url(" not in html


def test_text_can_not_change_the_terminal(report: dict[str, Any]) -> None:
    text = text_summary(report)
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "2 records of" in text
    assert "in total" in text


def test_command_writes_everything(
    trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        [
            *(
                "inspect",
                str(trees / "train"),
                str(trees / "test"),
                "--charset",
                "36_lowercase",
                "--max_length",
                "15",
            ),
            *(
                "--json",
                str(tmp_path / "r.json"),
                "--html",
                str(tmp_path / "r.html"),
                "--workers",
                "1",
            ),
        ]
    )
    written = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert written["overlap"]["near"] == 1
    assert written["charset"] == CHARSET_36
    assert (tmp_path / "r.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert "records of" in capsys.readouterr().out


def test_damaged_set_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "good", [WORDS.render(0)])
    write_lmdb(tmp_path / "empty", [])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "data.mdb").write_bytes(b"rubbish" * 1000)
    found = inspect(tmp_path, charset=CHARSET_94)
    assert [one["records"] for one in found["sets"]] == [0, 1]
    assert found["damaged_sets"][0]["path"] == str(tmp_path / "bad")
    assert "bad" in text_summary(found)
    assert "rubbish" not in page(found)


def test_nothing_to_inspect(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no LMDB folder"):
        inspect(tmp_path, charset=CHARSET_94)
    (tmp_path / "data.mdb").write_bytes(b"")
    with pytest.raises(ValueError, match="can be read"):
        inspect(tmp_path, charset=CHARSET_94)


def test_named_charset() -> None:
    assert named_charset("94_full") == CHARSET_94
    assert named_charset("abc") == "abc"
    assert named_charset("../charset/94_full") == "../charset/94_full"


def test_scan_without_images_reads_labels(trees: Path) -> None:
    found = scan(
        trees / "train",
        prepare_label=LabelPreparation(CHARSET_36, max_length=15),
        read_images=False,
    )
    assert not found.records["readable"].any()
    assert (found.records["drop"] == 0).sum() == 28
    assert found.location(24) == (trees / "train/deep/b", 1)
    assert found.location(23) == (trees / "train/a", 24)
