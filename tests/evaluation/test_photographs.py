"""Whole photographs scored: image by image, a page of the errors, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from strhub.cli import test as command
from strhub.data.sources.annotated_photos import Annotated, TrueWord
from strhub.evaluation.photographs import evaluate_photographs, total
from strhub.evaluation.report.photographs_page import errors_of, photographs_page
from strhub.evaluation.spotting import SpottingScore
from strhub.spotting.page import Line, Page, Paragraph, Quad, Word


def box(left: float, top: float, right: float, bottom: float) -> Quad:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def page(image: Image.Image, *words: tuple[Quad, str]) -> Page:
    read = tuple(Word(text, quad, 0.8, (0.8,) * len(text)) for quad, text in words)
    return Page((Paragraph((Line(read, box(0, 0, 9, 9)),)),), image.size, image=image)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A photograph of a sign and an empty one."""
    image = Image.new("RGB", (400, 120), "white")
    ImageDraw.Draw(image).text(
        (20, 30), "Quiet street", fill="black", font=ImageFont.load_default(size=44)
    )
    image.save(tmp_path / "sign.png")
    Image.new("RGB", (100, 80), "gray").save(tmp_path / "empty.png")
    rows = [
        {
            "image": "sign.png",
            "words": [
                {"quad": box(20, 42, 130, 76), "text": "Quiet"},
                {"quad": box(142, 42, 248, 76), "text": "street"},
            ],
        },
        {"image": "empty.png", "words": [{"quad": box(20, 20, 60, 40), "text": "<b>nothing</b>"}]},
    ]
    (tmp_path / "words.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tmp_path


def test_errors_of_each_photograph_and_a_page_of_them() -> None:
    image = Image.new("RGB", (200, 100), "gray")
    true = [
        TrueWord(box(10, 10, 60, 30), "Exit"),
        TrueWord(box(80, 10, 120, 30), "24h"),
        TrueWord(box(10, 60, 60, 80), "<script>"),
    ]
    photos = [Annotated(Path("a.png"), true), Annotated(Path("b.png"), true[:1])]
    pages = [
        page(
            image,
            (box(10, 10, 60, 30), "EXIT"),
            (box(80, 10, 120, 30), "24n"),
            (box(150, 60, 190, 80), "ghost"),
        ),
        Page((), (0, 0), error="the file is empty"),
    ]
    results = list(evaluate_photographs(photos, pages))
    assert total(results) == SpottingScore(true=4, found=3, paired=2, right=1)
    row = results[0].to_dict()
    assert (row["wrong"], row["missed"], row["extra"]) == (
        [["24h", "24n"]],
        ["<script>"],
        ["ghost"],
    )
    assert [errors_of(result) for result in results] == [3, 2]
    html = photographs_page(results, "<title>")
    assert html.count("data:image/webp") == 4
    assert "the file is empty" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "http:" not in html
    assert "https:" not in html


def test_the_command_scores_a_folder(folder: Path) -> None:
    html, rows = folder / "errors.html", folder / "results.jsonl"
    said = command.run(
        ["--photos", str(folder), "--html", str(html), "--results", str(rows), "--threads", "1"]
    )
    assert "2 photographs, 3 words that count, 2 found" in said
    assert "| read right |    100.00 |  66.67 |  80.00 |" in said
    assert [json.loads(line)["right"] for line in rows.read_text("utf-8").splitlines()] == [2, 0]
    assert "empty.png" in html.read_text("utf-8")
    said = command.run(["--photos", str(folder), "--detection", "icdar2013", "--threads", "1"])
    assert "icdar2013: precision 100.00, recall 66.67, H-mean 80.00" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--html", "a.html"], "--html is for whole photographs"),
        (["--photos", "nowhere"], "nowhere is not a folder"),
        (["--photos", ".", "--cased"], "--cased has no effect with --photos"),
        (["strhub-small", "refine_iters:int=2", "--photos", "."], "has no effect with --photos"),
    ],
)
def test_what_does_not_go_together_is_said(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        command.run(arguments)


def test_detection_alone_takes_nothing_else(folder: Path) -> None:
    for more in (["--html", "a.html"], ["strhub-small"]):
        with pytest.raises(ValueError, match="scores only the detector"):
            command.run([*more, "--photos", str(folder), "--detection", "icdar2015"])
    with pytest.raises(SystemExit):
        command.run([])
