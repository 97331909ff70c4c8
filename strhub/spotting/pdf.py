"""Searchable PDFs: the images of pages, and their words, unseen but to be found and copied.

Written out here, since all it takes is a page's image as JPEG and a line of text for each word.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from math import hypot
from typing import Final

from PIL import Image

from strhub.errors import ConfigError
from strhub.spotting.page import Page, Word

_POINTS: Final = 72  # to an inch
_WIDTH: Final = 500  # of each character, in thousandths of the font's size
# Codes of a font that stand for a letter that is seen: viewers drop characters without a shape.
_CODES: Final = (*range(33, 127), *range(161, 256))
_QUALITY: Final = 90  # of JPEG


def to_pdf(pages: Iterable[Page], *, dpi: float = 200) -> bytes:
    """Return a PDF with a page for each page, those that could not be read left out.

    dpi: how many pixels of an image are an inch on paper.

    Raises:
        ConfigError: if a page kept no image, or there is none.
    """
    writer = _Writer()
    for page in pages:
        if page.error is None:
            if page.image is None:
                raise ConfigError("the page has no image: read with Spotter(keep_images=True)")
            writer.add(page, page.image, _POINTS / dpi)
    return writer.finish()


class _Writer:
    """Objects of a file, in order. The first two, catalog and tree of pages, are written last."""

    def __init__(self) -> None:
        self.objects: list[bytes] = [b"", b""]
        self.pages: list[int] = []
        self.codes: dict[str, int] = {}  # of each character but ASCII, over all fonts
        self.fonts: list[int] = []  # object numbers

    def add(self, page: Page, image: Image.Image, scale: float) -> None:
        """Add a page. scale: points to a pixel."""
        width, height = image.width * scale, image.height * scale
        jpeg = io.BytesIO()
        image.convert("RGB").save(jpeg, "JPEG", quality=_QUALITY)
        shown = self._stream(
            f"/Type /XObject /Subtype /Image /Width {image.width} /Height {image.height} "
            "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode",
            jpeg.getvalue(),
        )
        drawing = [f"q {width:.3f} 0 0 {height:.3f} 0 0 cm /Im0 Do Q", "BT 3 Tr"]
        for line in page.lines:
            for word in line.words:
                space = "" if word is line.words[-1] else " "
                drawing += self._shown(word, space, scale, height)
        drawing.append("ET")
        content = self._stream("/Filter /FlateDecode", zlib.compress("\n".join(drawing).encode()))
        fonts = " ".join(f"/F{index} {number} 0 R" for index, number in enumerate(self.fonts))
        self.pages.append(
            self._object(
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.3f} {height:.3f}] "
                f"/Resources << /XObject << /Im0 {shown} 0 R >> /Font << {fonts} >> >> "
                f"/Contents {content} 0 R >>"
            )
        )

    def _shown(self, word: Word, space: str, scale: float, height: float) -> list[str]:
        """Return what puts a word where it is, as long as it is there, and turned as it is."""
        (x0, y0), (x1, y1), _, (x3, y3) = word.quad
        length, size = hypot(x1 - x0, y1 - y0) * scale, hypot(x3 - x0, y3 - y0) * scale
        if not word.text or length < 1e-3 or size < 1e-3:
            return []
        cos, sin = (x1 - x0) * scale / length, -(y1 - y0) * scale / length  # y runs up in a PDF
        stretch = 100 * length / (len(word.text) * _WIDTH / 1000 * size)
        # The baseline lies a fifth of the height above the lower edge.
        left = (x3 + 0.2 * (x0 - x3)) * scale
        bottom = height - (y3 + 0.2 * (y0 - y3)) * scale
        drawing = [
            f"{cos:.5f} {sin:.5f} {-sin:.5f} {cos:.5f} {left:.3f} {bottom:.3f} Tm {stretch:.2f} Tz"
        ]
        for font, codes in self._encoded(word.text + space):
            drawing.append(f"/F{font} {size:.3f} Tf <{codes}> Tj")
        return drawing

    def _encoded(self, text: str) -> list[tuple[int, str]]:
        """Return stretches of a text of one font each: its index, and the characters' codes."""
        parts: list[tuple[int, str]] = []
        for char in text:
            font, code = self._code(char)
            while font >= len(self.fonts):
                self.fonts.append(self._object(""))  # written by `finish`, when all are known
            if parts and parts[-1][0] == font:
                parts[-1] = font, f"{parts[-1][1]}{code:02x}"
            else:
                parts.append((font, f"{code:02x}"))
        return parts

    def _code(self, char: str) -> tuple[int, int]:
        """Return the index of a character's font, and its code there; ASCII is in the first."""
        if " " <= char <= "~":
            return 0, ord(char)
        number = self.codes.setdefault(char, len(self.codes))
        return 1 + number // len(_CODES), _CODES[number % len(_CODES)]

    def finish(self) -> bytes:
        """Return the file."""
        if not self.pages:
            raise ConfigError("there is no page to write to the PDF")
        characters = list(self.codes)
        for index, number in enumerate(self.fonts):
            own = dict(zip(_CODES, characters[(index - 1) * len(_CODES) :], strict=False))
            if index == 0:
                own = {code: chr(code) for code in range(32, 127)}
            unicode = self._stream("", _to_unicode(own))
            widths = " ".join([str(_WIDTH)] * 224)
            self.objects[number - 1] = (
                f"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /FirstChar 32 /LastChar 255 "
                f"/Widths [{widths}] /Encoding /WinAnsiEncoding /ToUnicode {unicode} 0 R >>"
            ).encode()
        kids = " ".join(f"{number} 0 R" for number in self.pages)
        self.objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
        self.objects[1] = f"<< /Type /Pages /Count {len(self.pages)} /Kids [{kids}] >>".encode()
        return _file(self.objects)

    def _object(self, content: str) -> int:
        self.objects.append(content.encode())
        return len(self.objects)

    def _stream(self, entries: str, content: bytes) -> int:
        head = f"<< {entries} /Length {len(content)} >>\nstream\n".encode()
        self.objects.append(head + content + b"\nendstream")
        return len(self.objects)


def _to_unicode(characters: Mapping[int, str]) -> bytes:
    """Return the table from a font's codes to characters."""
    pairs = [f"<{n:02x}> <{c.encode('utf-16-be').hex()}>" for n, c in characters.items()]
    blocks = []
    for start in range(0, len(pairs), 100):  # as many as one block may have
        some = pairs[start : start + 100]
        blocks.append(f"{len(some)} beginbfchar\n" + "\n".join(some) + "\nendbfchar")
    return "\n".join(
        [
            "/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
            "/CMapName /ToUnicode def /CMapType 2 def",
            "1 begincodespacerange <00> <ff> endcodespacerange",
            *blocks,
            "endcmap CMapName currentdict /CMap defineresource pop end end",
        ]
    ).encode()


def _file(objects: Sequence[bytes]) -> bytes:
    out = bytearray(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    for offset in offsets:
        out += f"{offset:010d} 00000 n \n".encode()
    out += (
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    )
    return bytes(out)
