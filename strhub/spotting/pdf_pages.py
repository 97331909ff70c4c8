"""Pages of a PDF as images, rendered by PDFium in a process of its own, with limits.

A PDF is a program for a renderer: a few hundred bytes may draw for hours, which nothing in the
process that renders could stop. Pages come one at a time through a pipe, so that a long document
needs the memory of two.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any, Final, NamedTuple

from PIL import Image

from strhub.errors import UnreadableImage
from strhub.images.limits import MAX_PIXELS, check_size, damage
from strhub.utils.json_text import load_json
from strhub.utils.limited import command, end_with_other, environment, limit, limit_time

__all__ = ["RenderedPage", "render_pages"]

TRUST: Final = "STRHUB_TRUST_PDF"  # variable: 1 renders in this process, without limits
MAX_CPU_SECONDS: Final = 20  # of a page
MAX_SECONDS: Final = 180.0  # of a page, by the clock, on a machine that has other things to do
MAX_MEMORY: Final = 2 << 30  # bytes, beside four times the file
_POINTS: Final = 72  # to an inch
_CODE: Final = "from strhub.spotting.pdf_pages import main; main()"
_LONGEST_LINE: Final = 4000


class RenderedPage(NamedTuple):
    """number: from 1, of `total`; image: RGB, or why it cannot be read."""

    number: int
    total: int
    image: Image.Image | UnreadableImage


def render_pages(content: bytes, dpi: float) -> Iterator[RenderedPage]:
    """Yield the pages of a PDF.

    Raises:
        UnreadableImage: for a damaged or encrypted PDF, or one without pages, and where no process
            can be started. Pages that alone are
            damaged, and all from the first on that takes too much time or memory, have the error
            as `image`.
    """
    if os.environ.get(TRUST) == "1":
        yield from _pages(content, dpi)
        return
    try:
        child = subprocess.Popen(
            command(_CODE, *map(str, (len(content), dpi, MAX_CPU_SECONDS, MAX_MEMORY))),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise _not_started(str(error)) from error
    try:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(content)
            child.stdin.flush()
            begun = child.stdout.readline(_LONGEST_LINE) == b"begun\n"
        except OSError:
            begun = False
        if not begun:  # it is not Python, or one without strhub
            raise _not_started(f"{sys.executable} cannot be started")
        yield from _received(child, child.stdout)
    finally:
        child.kill()
        child.communicate()


def _not_started(why: str) -> UnreadableImage:
    return UnreadableImage(
        f"PDFs are rendered in a process with limits, and none can be started: {why}. If the file "
        f"is your own, set {TRUST}=1 in the environment"
    )


def _received(child: subprocess.Popen[bytes], pipe: IO[bytes]) -> Iterator[RenderedPage]:
    """Yield what the other process has rendered."""
    number, total = 0, 1
    while number < total:
        timer = threading.Timer(MAX_SECONDS, child.kill)
        timer.start()
        try:
            page = _next(pipe)
        finally:
            timer.cancel()
        if page is None:
            break
        number, total = page.number, page.total
        yield page
    else:
        return
    status = child.wait()
    reason = UnreadableImage(
        f"rendering it takes over {MAX_CPU_SECONDS} seconds or {MAX_MEMORY >> 20} MiB, or crashes "
        f"(status {status}); the pages after it are left out"
    )
    if not number:
        raise reason
    yield RenderedPage(number + 1, number + 1, reason)


def _next(pipe: IO[bytes]) -> RenderedPage | None:
    """Return the next page; None if the other process has ended before."""
    line = pipe.readline(_LONGEST_LINE)
    if not line.endswith(b"\n"):
        return None
    try:
        said = load_json(line)
        if "refused" in said:
            raise UnreadableImage(str(said["refused"]))
        number, total = int(said["number"]), int(said["total"])
        if "error" in said:
            return RenderedPage(number, total, UnreadableImage(str(said["error"])))
        width, height = (int(size) for size in said["size"])
        check_size(width, height)
    except UnreadableImage:
        raise
    except (ValueError, KeyError, TypeError):  # a file has taken over the other process
        return None
    pixels = pipe.read(3 * width * height)
    if len(pixels) < 3 * width * height:
        return None
    return RenderedPage(number, total, Image.frombytes("RGB", (width, height), pixels))


def main() -> None:
    """Live the life of the other process: limit itself, render, and send pages."""
    length, seconds, memory = (int(sys.argv[index]) for index in (1, 3, 4))
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of native code is not a page
    limit(memory + 4 * length, seconds)
    content = sys.stdin.buffer.read(length)
    end_with_other()
    out.write(b"begun\n")
    out.flush()
    try:
        for page in _pages(content, float(sys.argv[2])):
            said: dict[str, Any] = {"number": page.number, "total": page.total}
            image = page.image
            if isinstance(image, Image.Image):
                _send(out, {**said, "size": image.size}, image.tobytes())
            else:
                _send(out, {**said, "error": str(image)[:500]})
            limit_time(seconds)
    except UnreadableImage as error:
        _send(out, {"refused": str(error)[:500]})
    os._exit(0)


def _send(out: IO[bytes], said: dict[str, Any], pixels: bytes = b"") -> None:
    out.write(json.dumps(said).encode() + b"\n")
    out.write(pixels)
    out.flush()


def _pages(content: bytes, dpi: float) -> Iterator[RenderedPage]:
    """Yield the pages, rendered in this process."""
    import pypdfium2

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        raise UnreadableImage(
            "the PDF is encrypted: save it without a password"
            if locked
            else f"damaged PDF: {error}"
        ) from error
    try:
        count = len(document)
        if not count:
            raise UnreadableImage("the PDF has no pages")
        for number in range(1, count + 1):
            yield RenderedPage(number, count, _rendered(document, number - 1, dpi))
    finally:
        document.close()


def _rendered(document: Any, index: int, dpi: float) -> Image.Image | UnreadableImage:
    """Return a page as RGB; annotations and filled forms are shown, nothing in it is run."""
    try:
        page = document[index]
        width, height = page.get_size()
        if not 0 < width * height < 1e12:
            return UnreadableImage("the page has no size")
        scale = min(dpi / _POINTS, (0.98 * MAX_PIXELS / (width * height)) ** 0.5)
        try:
            image: Image.Image = page.render(scale=scale, draw_annots=True).to_pil()
            return image.convert("RGB")
        finally:
            page.close()
    except MemoryError:
        return UnreadableImage("there is not enough memory to render it")
    except Exception as error:  # of pypdfium2's own kinds, and Pillow's
        return UnreadableImage(damage(error))
