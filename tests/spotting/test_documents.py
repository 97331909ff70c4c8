"""PDFs and TIFFs of several pages in, and searchable PDFs out."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from PIL import Image, ImageDraw, ImageFont

from strhub.errors import ConfigError, MissingExtra, UnreadableImage
from strhub.spotting.documents import is_document, open_pages
from strhub.spotting.page import Line, Page, Paragraph, Quad, Word
from strhub.spotting.pdf import to_pdf
from strhub.spotting.spotter import Spotter


def sheet(text: str, size: tuple[int, int] = (420, 120)) -> Image.Image:
    image = Image.new("RGB", size, "white")
    font = ImageFont.load_default(size=36)
    ImageDraw.Draw(image).text((20, 30), text, fill="black", font=font)
    return image


def encoded(kind: str, *images: Image.Image) -> bytes:
    file = io.BytesIO()
    images[0].save(file, kind, save_all=True, append_images=images[1:])
    return file.getvalue()


def page_of(*words: tuple[str, Quad], size: tuple[int, int] = (400, 300)) -> Page:
    read = tuple(Word(text, quad, 0.9, (0.9,) * len(text)) for text, quad in words)
    line = Line(read, words[0][1])
    return Page((Paragraph((line,)),), size, image=Image.new("RGB", size, "gray"))


def box(left: float, top: float, right: float, bottom: float) -> Quad:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


@pytest.mark.parametrize("kind", ["PDF", "TIFF"])
def test_every_page_is_read_and_numbered(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{kind.lower()}"
    path.write_bytes(encoded(kind, sheet("First page"), sheet("Second page")))
    assert is_document(str(path))
    for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes())):
        opened = list(open_pages(source, dpi=72))
        assert [(number, total) for number, total, _ in opened] == [(1, 2), (2, 2)]
        assert all(page.image.size == (420, 120) for page in opened)  # type: ignore[union-attr]
    pages = list(Spotter(lambda image: [], threads=2).read_document(path, dpi=72))
    assert [(page.size, page.number) for page in pages] == [((420, 120), 1), ((420, 120), 2)]
    assert {page.source for page in pages} == {str(path)}


def test_a_scan_is_read_to_a_searchable_pdf() -> None:
    scan = encoded("PDF", sheet("First page"), sheet("Second page"))
    pages = list(Spotter(threads=2).read_document(scan, dpi=72))
    assert [page.text for page in pages] == ["First page", "Second page"]
    assert [text.split() for text in text_of(to_pdf(pages))] == [
        ["First", "page"],
        ["Second", "page"],
    ]


def test_other_images_are_one_page() -> None:
    ((number, total, image),) = open_pages(encoded("PNG", sheet("a")))
    assert (number, total) == (1, 1)
    assert isinstance(image, Image.Image)
    ((_, _, image),) = open_pages(sheet("b"))
    assert image.size == (420, 120)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"%PDF-1.5\nnothing else", "damaged PDF"),
        (b"%PDF-1.4", "damaged PDF"),
        (b"", "empty"),
        (b"II*\0\x08\0\0\0", "damaged|not an image|no pixels"),
    ],
)
def test_damaged_files_are_unreadable(content: bytes, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        list(open_pages(content))


def test_a_cut_off_file_does_not_take_its_whole_pages_along() -> None:
    content = encoded("TIFF", *(Image.effect_noise((64, 64), 90) for _ in range(3)))
    for length in range(8, len(content), 997):
        try:
            pages = list(open_pages(content[:length]))
        except UnreadableImage:
            continue
        for page in pages:
            assert isinstance(page.image, Image.Image | UnreadableImage)
    whole = encoded("PDF", sheet("a"), sheet("b"))
    for length in range(8, len(whole), 1499):
        try:
            list(open_pages(whole[:length], dpi=20))
        except UnreadableImage:
            continue


def test_pages_of_any_size_fit_into_memory() -> None:
    document = pypdfium2.PdfDocument.new()
    document.new_page(14000, 14000)
    file = io.BytesIO()
    document.save(file)
    ((_, _, image),) = open_pages(file.getvalue(), dpi=10)
    assert image.size == (1945, 1945) or abs(image.width - 1945) <= 1  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match="dpi is 5"):
        list(open_pages(file.getvalue(), dpi=5))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pypdfium2", None)
    with pytest.raises(MissingExtra, match=r"spot\]"):
        list(open_pages(b"%PDF-1.5"))


def text_of(content: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(content)
    found = []
    for page in document:
        text = page.get_textpage()
        found.append(text.get_text_range())
        text.close()
        page.close()
    document.close()
    return found


def test_words_of_a_pdf_are_found_where_they_are() -> None:
    up = ((300.0, 200.0), (300.0, 60.0), (330.0, 60.0), (330.0, 200.0))  # runs upwards
    page = page_of(("Quiet", box(20, 40, 120, 70)), ("street", box(130, 40, 250, 70)), ("up", up))
    content = to_pdf([page, page_of(("Zweite", box(1, 2, 90, 20)))], dpi=72)
    assert [text.split() for text in text_of(content)] == [["Quiet", "street", "up"], ["Zweite"]]
    document = pypdfium2.PdfDocument(content)
    assert document[0].get_size() == (400, 300)
    text = document[0].get_textpage()
    for start, length, (left, top, right, bottom) in (
        (0, 5, (20, 40, 120, 70)),
        (6, 6, (130, 40, 250, 70)),
        (text.get_text_range().index("up"), 2, (300, 60, 330, 200)),
    ):
        corners = np.array([text.get_charbox(start + n, loose=True) for n in range(length)])
        assert corners[:, 0].min() == pytest.approx(left, abs=8)
        assert corners[:, 2].max() == pytest.approx(right, abs=8)
        assert 300 - corners[:, 3].max() == pytest.approx(top, abs=8)
        assert 300 - corners[:, 1].min() == pytest.approx(bottom, abs=8)
    rendered = np.asarray(document[0].render(scale=1).to_pil().convert("L"))
    assert np.ptp(rendered) < 4, "the text is not seen"


def test_any_letters_can_be_found() -> None:
    many = "".join(map(chr, range(0x4E00, 0x4E00 + 400)))
    words = [
        ("Größe", box(0, 0, 90, 20)),
        ("日本語", box(0, 30, 90, 50)),
        (many, box(0, 60, 390, 90)),
    ]
    (text,) = text_of(to_pdf([page_of(*words)]))
    assert "".join(text.split()) == f"Größe日本語{many}"


def test_pages_without_words_or_images() -> None:
    blank = Page((), (40, 30), image=Image.new("RGB", (40, 30)))
    assert text_of(to_pdf([blank, Page((), (0, 0), error="damaged")])) == [""]
    flat = page_of(("a", box(5, 5, 5, 9)), ("b", box(5, 5, 9, 5)), ("", box(1, 1, 9, 9)))
    assert "".join(text_of(to_pdf([flat]))[0].split()) == ""
    with pytest.raises(ConfigError, match="no image"):
        to_pdf([Page((), (40, 30))])
    with pytest.raises(ConfigError, match="no page"):
        to_pdf([])
