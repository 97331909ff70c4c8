"""Files of several pages to images: PDFs, which pypdfium2 renders, and TIFFs.

In: anything that is an image to strhub, or a PDF, by path, bytes or file object. Out: a page at a
time, so that a long document needs the memory of one.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from PIL import Image

from strhub.errors import ConfigError, UnreadableImage
from strhub.images.limits import check_size, damage
from strhub.images.open import open_image
from strhub.images.sources import Encoded, is_address, load, take
from strhub.spotting.pdf_pages import render_pages
from strhub.utils.install import import_extra

DPI: Final = 200
PDF_SUFFIX: Final = ".pdf"
MAX_PAGES: Final = 10_000  # of a file
_PDF: Final = b"%PDF-"
_HEADER: Final = 1024  # bytes, within which a PDF says that it is one
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class DocumentPage(NamedTuple):
    """number: from 1, of `total`; image: RGB, or why it cannot be read."""

    number: int
    total: int
    image: Image.Image | UnreadableImage


def open_pages(source: Any, *, dpi: float = DPI) -> Iterator[DocumentPage]:
    """Yield the pages of a PDF or a TIFF, or the one of any other image.

    dpi: in which a PDF is rendered, less for pages that would have over 64 million pixels.

    Raises:
        UnreadableImage: for a file that is not an image, or a damaged or encrypted PDF. Pages that
            alone are damaged have the error as `image`.
        MissingExtra: for a PDF without pypdfium2, which the extra `spot` brings.
    """
    if not 10 <= dpi <= 2400:
        raise ConfigError(f"dpi is {dpi}: it must be a number from 10 to 2400")
    loaded = load(take(source).source)
    if isinstance(loaded, Encoded):
        content = bytes(loaded.content)
        if _PDF in content[:_HEADER]:
            yield from _pages_of_pdf(content, dpi)
            return
        if content.startswith(_TIFF):
            yield from _pages_of_tiff(content)
            return
    yield DocumentPage(1, 1, open_image(loaded))


def is_document(name: str) -> bool:
    """Return whether a path's name says that it may have several pages."""
    return not is_address(name) and os.path.splitext(name)[1].lower() in (
        PDF_SUFFIX,
        ".tif",
        ".tiff",
    )


def _pages_of_tiff(content: bytes) -> Iterator[DocumentPage]:
    count = _count_of_tiff(content)
    if count == 1:
        yield DocumentPage(1, 1, open_image(content))
        return
    # Opened once: Pillow advances from page to page, and would start at the first each time.
    file = Image.open(io.BytesIO(content), formats=("TIFF",))
    with file:
        for number in range(1, count + 1):
            image: Image.Image | UnreadableImage
            try:
                file.seek(number - 1)
                check_size(*file.size)
                image = open_image(file)
            except UnreadableImage as error:
                image = error
            except Exception as error:  # Pillow's decoders raise many kinds
                image = UnreadableImage(damage(error))
            yield DocumentPage(number, count, image)


def _count_of_tiff(content: bytes) -> int:
    """Return how many pages a TIFF has, 1 for one that is damaged; `UnreadableImage` for too
    many.
    """
    count = 1
    try:
        with Image.open(io.BytesIO(content), formats=("TIFF",)) as file:
            while count <= MAX_PAGES:
                file.seek(count)
                count += 1
    except Exception:  # Pillow's decoders raise many kinds; what is wrong is said by `open_image`
        return count
    raise UnreadableImage(f"it has over {MAX_PAGES} pages")


def _pages_of_pdf(content: bytes, dpi: float) -> Iterator[DocumentPage]:
    import_extra("pypdfium2", "spot", "reading PDFs")
    for number, page in enumerate(render_pages(content, dpi), 1):
        if number > MAX_PAGES:
            raise UnreadableImage(f"it has over {MAX_PAGES} pages")
        yield DocumentPage(*page)
