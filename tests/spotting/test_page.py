"""Pages: reading order, formats for other programs, drawings."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from strhub.errors import StrhubError
from strhub.spotting.drawing import color_of
from strhub.spotting.formats import FORMATS, TSV_HEADER
from strhub.spotting.page import Line, Page, Paragraph, Quad, Word
from strhub.spotting.reading_order import paragraphs_in_order


def quad(left: float, top: float, width: float, height: float = 10) -> Quad:
    return ((left, top), (left + width, top), (left + width, top + height), (left, top + height))


def line(text: str, left: float, top: float, width: float = 100, height: float = 10) -> Line:
    step = width / max(len(text.split()), 1)
    words = tuple(
        Word(word, quad(left + n * step, top, step - 4, height), 0.95, (0.95,) * len(word))
        for n, word in enumerate(text.split())
    )
    return Line(words, quad(left, top, width, height))


def texts(paragraphs: tuple[Paragraph, ...]) -> list[str]:
    return [paragraph.text for paragraph in paragraphs]


def test_lines_under_each_other_are_a_paragraph() -> None:
    lines = [line("second line", 0, 14), line("first line", 0, 0), line("far below", 0, 80)]
    assert texts(paragraphs_in_order(lines)) == ["first line\nsecond line", "far below"]


def test_columns_are_read_one_after_the_other_below_their_title() -> None:
    lines = [
        line("right one", 150, 40),
        line("left one", 0, 40),
        line("The title", 20, 0, 200, 20),
        line("left two", 0, 54),
        line("right two", 150, 54),
    ]
    assert texts(paragraphs_in_order(lines)) == [
        "The title",
        "left one\nleft two",
        "right one\nright two",
    ]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_turned_page_is_read_as_it_is_meant(rotation: int) -> None:
    upright = [line("one", 0, 0), line("two", 0, 14), line("three", 0, 60)]

    def turned(corners: Quad) -> Quad:
        points = list(corners)
        for _ in range(
            rotation // 90
        ):  # clockwise as seen by 90 degrees: what has to be turned back
            points = [(-y, x) for x, y in points]
        a, b, c, d = points
        return a, b, c, d

    lines = [Line(one.words, turned(one.quad)) for one in reversed(upright)]
    assert texts(paragraphs_in_order(lines, rotation)) == ["one\ntwo", "three"]


def test_nothing_is_no_paragraph() -> None:
    assert paragraphs_in_order([]) == ()


@pytest.fixture
def page() -> Page:
    lines = [
        line("Fish & Chips", 10, 20),
        line('<b>"fresh"</b>', 10, 34),
        line("dai\x01ly", 10, 120),
    ]
    return Page(
        paragraphs_in_order(lines), (200, 150), source="a&b.jpg", image=Image.new("RGB", (200, 150))
    )


def test_every_format_has_all_words(page: Page) -> None:
    assert page.text == 'Fish & Chips\n<b>"fresh"</b>\n\ndai\x01ly'
    assert [word.text for word in page.words][:3] == ["Fish", "&", "Chips"]
    table = page.export("tsv").split("\n")
    assert table[0] == TSV_HEADER
    assert table[1].split("\t")[:4] == ["1", "1", "1", "1"]
    assert len(table) == 1 + len(page.words)
    reported = json.loads(page.export("json"))
    assert reported["paragraphs"][0]["lines"][0]["words"][1]["text"] == "&"
    assert reported["size"] == [200, 150]
    assert page.export("md").startswith('Fish & Chips \\\n\\<b\\>"fresh"\\</b\\>')


@pytest.mark.parametrize(
    ("format", "tag"),
    [
        ("hocr", "{http://www.w3.org/1999/xhtml}span"),
        ("alto", "{http://www.loc.gov/standards/alto/ns-v4#}String"),
    ],
)
def test_xml_is_well_formed_whatever_was_read(page: Page, format: str, tag: str) -> None:
    root = ElementTree.fromstring(page.export(format))
    found = [node for node in root.iter(tag) if node.get("class", "ocrx_word") == "ocrx_word"]
    assert len(found) == len(page.words)
    assert (found[0].text or found[0].get("CONTENT")) == "Fish"


def test_an_unknown_format_is_named(page: Page) -> None:
    with pytest.raises(StrhubError, match=r"pdf.*known: txt, json"):
        page.export("pdf")
    assert set(FORMATS) == {"txt", "json", "tsv", "hocr", "alto", "md"}


def colors(drawing: Image.Image, left: int) -> set[tuple[int, ...]]:
    part = np.asarray(drawing.crop((left, 0, left + 200, 150)))
    return {tuple(color) for color in part.reshape(-1, 3).tolist()}


def test_a_drawing_shows_outlines_and_texts(page: Page) -> None:
    drawing = page.draw()
    assert drawing.size == (400, 150)
    assert len(colors(drawing, 200)) > 3, "texts on white"
    assert color_of(0.95) in colors(drawing, 0)
    with pytest.raises(StrhubError, match="keep_images"):
        Page((), (3, 3)).draw()
