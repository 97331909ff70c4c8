"""Pages of evaluation: what they hold, and what they do in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from browser import act, needs_browser
from words_support import HAND, Told, write_words

from strhub.data.sources.word_sets import WordSet, open_set
from strhub.errors import DataError
from strhub.evaluation.comparing import NO_DIFFERENCE, PairCounts, compare, holm
from strhub.evaluation.report.compare_page import compare_page, comparison_text
from strhub.evaluation.report.report_page import confusion_matrix, report_page
from strhub.evaluation.report.suspects_page import suspects_page
from strhub.evaluation.results.provenance import read_results, write_results
from strhub.evaluation.scoring import Evaluation, score
from strhub.text import CHARSET_36, CHARSET_94

HOSTILE = "</script><img src=x onerror=alert(1)>"
READINGS = {label: (text, confidence) for label, text, confidence in HAND}
SECOND = {**READINGS, "r0om": ("r0om", 0.9), "exit": ("exlt", 0.2), "bar": ("8ar", 0.99)}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[WordSet]:
    """Return two sets of the words counted by hand, and one with a label that looks like HTML."""
    root = tmp_path_factory.mktemp("sets")
    words = [label for label, *_ in HAND]
    return [
        open_set(write_words(root / "a", words[:18]), "a"),
        open_set(write_words(root / "b", [*words[18:], HOSTILE]), "b"),
    ]


def evaluated(
    sets: Sequence[WordSet], readings: Mapping[str, tuple[str, float]], name: str
) -> Evaluation:
    return score(Told({**readings, HOSTILE: ("x" + HOSTILE, 0.97)}, name), sets, charset=CHARSET_94)


@pytest.fixture(scope="module")
def first(sets: list[WordSet]) -> Evaluation:
    """Return the first reader's results."""
    return evaluated(sets, READINGS, "first")


@pytest.fixture(scope="module")
def second(sets: list[WordSet]) -> Evaluation:
    """Return the second reader's results: another word right, one wrong."""
    return evaluated(sets, SECOND, HOSTILE)


def data_of(page: str) -> Any:
    """Return what a page's script has at hand."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def report(first: Evaluation, sets: list[WordSet], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the page of the first reader."""
    folder = tmp_path_factory.mktemp("results")
    facts = write_results(
        first, folder, command=["test.py", HOSTILE], data={one.name: one.path for one in sets}
    )
    assert read_results(folder) == facts
    return report_page(first, sets, facts, suspects_page="suspects.html")


def test_a_page_is_one_file_and_texts_stay_texts(report: str) -> None:
    assert HOSTILE not in report
    assert report.count("</script>") == 2
    assert not re.search(r'(?:src|href)="(?!#|data:|suspects\.html)', report)
    for address in re.findall(r"https?://\S+", report):
        pytest.fail(f"the page names {address}")
    assert data_of(report)["words"]


def test_every_id_that_the_script_asks_for_is_there(report: str) -> None:
    asked = set(re.findall(r'getElementById\("([^"]+)"\)', report))
    asked |= {f"by-{name}" for name in re.findall(r'field\("([^"]+)"\)', report)}
    there = set(re.findall(r'\bid="([^"]+)"', report))
    assert len(asked) > 8
    assert asked <= there


def test_the_page_holds_the_numbers(report: str, first: Evaluation) -> None:
    text = unescape(re.sub(r"<[^>]+>", " ", report))
    assert "64.5 % of 31 words right" in re.sub(
        r"\s+", " ", text
    )  # 20 of the 30, and the hostile one is wrong
    assert "suspected" in text.lower()
    data = data_of(report)
    assert len(data["errors"]) == 11
    assert data["errors"][0] == "b/12"
    by_key = {word["key"]: word for word in data["words"]}
    assert by_key["b/2"]["readings"][0]["pairs"] == [
        ["r", "r", "="],
        ["0", "o", "s"],
        ["o", "o", "="],
        ["m", "m", "="],
    ]
    assert all(data["images"][key].startswith("data:image/webp") for key in by_key)
    assert [by_key[key]["stored_label"] for key in data["suspects"]] == [HOSTILE, "r0om"]
    assert re.search(r'<button[^>]*data-label="0" data-text="o"[^>]*>1</button>', report)


def test_the_matrix_keeps_the_most_frequent_pairs() -> None:
    confusions = {("a", "b"): 3, ("", "c"): 2, ("d", ""): 1}
    matrix = confusion_matrix(confusions, {"a": 9})
    assert (matrix.columns, [row.label for row in matrix.rows]) == (["b", "c", ""], ["a", "d", ""])
    assert [[cell.count for cell in row.cells] for row in matrix.rows] == [
        [3, 0, 0],
        [0, 0, 1],
        [0, 2, 0],
    ]
    assert (matrix.rows[0].total, matrix.hidden) == (9, 0)
    many = {(chr(0x4E00 + number), "x"): 1 for number in range(100)}
    assert confusion_matrix(many, {}).hidden == 60
    assert confusion_matrix({}, {}).rows == []


def test_pages_of_no_error_and_of_no_confidence(tmp_path: Path) -> None:
    sets = [open_set(write_words(tmp_path / "a", ["exit"]), "a")]
    found = score(Told(), sets, charset=CHARSET_36)
    page = report_page(found, sets, write_results(found, tmp_path))
    assert "No character was read wrong" in page
    reader = Told()
    reader.description = {"name": "none", "confidences": False}
    found = score(reader, sets, charset=CHARSET_36)
    page = report_page(found, sets, write_results(found, tmp_path))
    assert "have no confidences" in page


@needs_browser
def test_filters_the_matrix_and_the_gallery_in_a_browser(report: str, tmp_path: Path) -> None:
    reported = act(
        report,
        """
        const seen = { all: words("gallery") };
        seen.counted = document.getElementById("count").textContent;
        const images = [...document.querySelectorAll("#gallery img")];
        seen.images = images.every((one) => one.src.startsWith("data:"));
        input("by-set", "a"); seen.first = words("gallery");
        input("by-set", ""); input("by-slice", "length");
        seen.parts = [...document.getElementById("by-part").options].map((one) => one.text);
        input("by-part", "1–3"); seen.short = words("gallery");
        input("by-part", ""); input("by-slice", "");
        input("by-kind", "i"); seen.added = words("gallery");
        input("by-kind", ""); input("by-text", "ROOM", "input"); seen.room = words("gallery");
        const button = document.querySelector('#matrix button[data-label="l"][data-text=""]');
        button.click();
        seen.pressed = button.getAttribute("aria-pressed");
        seen.confused = words("confused");
        document.querySelector('#matrix button[data-label="0"]').click();
        seen.again = words("confused"); seen.released = button.getAttribute("aria-pressed");
        seen.suspected = words("suspected");
        seen.marked = document.querySelectorAll("#gallery .aligned .s").length;
        return seen;
        """,
        tmp_path,
    )
    assert reported["all"][:2] == ["b/12", "b/2"]
    assert reported["counted"] == "11 of 11 words"
    assert reported["images"]
    assert reported["first"] == []
    assert reported["parts"] == ["all", "1–3", "4–6", "7–9", "over 25"]
    assert reported["short"] == ["b/4", "b/9"]
    assert reported["added"] == ["b/12", "b/10", "b/11"]
    assert reported["room"] == ["b/2"]
    assert reported["pressed"] == "true"
    assert reported["confused"] == ["b/7", "b/8"]
    assert reported["again"] == ["b/2"]
    assert reported["released"] == "false"
    assert reported["suspected"] == ["b/12", "b/2"]
    assert reported["marked"] == 2


@needs_browser
def test_suspected_labels_are_decided_in_a_browser(
    first: Evaluation, sets: list[WordSet], tmp_path: Path
) -> None:
    page = suspects_page(first.combined.errors[:4], sets, reader=HOSTILE, words=31)
    assert HOSTILE not in page
    reported = act(
        page,
        """
        const cards = () => [...document.querySelectorAll("#list figure")];
        const press = (card, action) => card.querySelector(`button[data-action=${action}]`).click();
        press(cards()[0], "remove"); press(cards()[1], "correct"); press(cards()[2], "keep");
        const own = cards()[3].querySelector("input");
        own.value = "a\\tb\\\\"; press(cards()[3], "correct");
        const seen = { count: document.getElementById("count").textContent, table: corrections() };
        input("show", "open"); seen.open = cards().length;
        return seen;
        """,
        tmp_path,
    )
    assert reported["count"] == "4 of 4 decided, 3 corrections"
    assert reported["open"] == 0
    head, *rows = [line.split("\t") for line in reported["table"].splitlines()]
    assert head == ["source", "image", "label", "correction", "action"]
    source = sets[1].sources[0].path
    assert rows == [
        [source, "image-000000013", HOSTILE, "", "remove"],
        [source, "image-000000003", "r0om", "room", "correct"],
        [source, "image-000000005", "bar", "a\\tb\\\\", "correct"],
    ]


def test_two_readers_are_compared_word_by_word(
    first: Evaluation, second: Evaluation, sets: list[WordSet]
) -> None:
    found = compare([first, second])
    (pair,) = found.pairs
    assert vars(pair.sets["Combined"]) == {
        "both": 19,
        "only_first": 1,
        "only_second": 1,
        "neither": 10,
    }
    assert pair.sets["Combined"].probability == 1.0
    assert found.alone_counts == {"first": 1, HOSTILE: 1}
    assert [one[0].label for one in found.alone["first"]] == ["exit"]
    assert [one[0].label for one in found.alone[HOSTILE]] == ["r0om"]
    assert found.nobody_count == 10
    assert "bar" in [one[0].label for one in found.agreed]
    text = comparison_text(found)
    assert text.count(NO_DIFFERENCE) == 3
    page = compare_page(found, [first, second], sets)
    assert HOSTILE not in page
    assert NO_DIFFERENCE in page
    data = data_of(page)
    assert data["kinds"]["alone-0"] == ["a/0"]
    (word,) = [word for word in data["words"] if word["key"] == "a/0"]
    assert [reading["correct"] for reading in word["readings"]] == [True, False]


@needs_browser
def test_the_words_that_one_reads_in_a_browser(
    first: Evaluation, second: Evaluation, sets: list[WordSet], tmp_path: Path
) -> None:
    page = compare_page(compare([first, second]), [first, second], sets)
    reported = act(
        page,
        """
        const seen = { first: words("gallery") };
        input("kind", "alone-1"); seen.second = words("gallery");
        input("kind", "nobody"); seen.nobody = words("gallery").length;
        input("by-set", "a"); seen.none = words("gallery").length;
        return seen;
        """,
        tmp_path,
    )
    assert reported == {"first": ["a/0"], "second": ["b/2"], "nobody": 10, "none": 0}


def test_a_difference_that_words_can_show() -> None:
    from strhub.evaluation.comparing import Pair

    pair = Pair("one", "other")
    assert pair.verdict(PairCounts(100, 12, 1, 5)) == "one reads more"
    assert pair.verdict(PairCounts(100, 1, 12, 5)) == "other reads more"
    assert pair.verdict(PairCounts(100, 5, 1, 5)) == NO_DIFFERENCE
    assert pair.verdict(PairCounts(100, 12, 1, 5), 0.2) == NO_DIFFERENCE
    # statsmodels' multipletests(..., method="holm") of these gives the same.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


def test_what_cannot_be_compared_is_told(
    first: Evaluation, second: Evaluation, sets: list[WordSet]
) -> None:
    with pytest.raises(DataError, match="at least two"):
        compare([first])
    with pytest.raises(DataError, match="two readers are called first"):
        compare([first, first])
    other = score(Told(name="other"), sets[:1], charset=CHARSET_94)
    with pytest.raises(
        DataError, match=r"scored on other words: where one has image-000000001 of b .*the end"
    ):
        compare([first, other])
    with pytest.raises(DataError, match="in different charsets"):
        compare([first, score(Told(name="other"), sets, charset=CHARSET_36)])
