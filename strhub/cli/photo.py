"""`read.py --photo`: whole photographs to texts, drawings and files for other programs."""

from __future__ import annotations

import io
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from strhub.errors import UnreadableImage
from strhub.images.sources import is_address
from strhub.spotting.detector import EmbeddedDetector
from strhub.spotting.documents import PDF_SUFFIX, is_document, open_pages
from strhub.spotting.formats import export_pages
from strhub.spotting.pdf import to_pdf
from strhub.utils.files import write_whole
from strhub.utils.progress import ProgressLine
from strhub.utils.regular_files import read_regular_text
from strhub.utils.terminal import printable

if TYPE_CHECKING:
    from strhub.spotting.page import Page
    from strhub.spotting.spotter import Spotter

_JOB = "_job.json"
_LARGEST_JOB = 1 << 16  # bytes
DRAWINGS = (".png", ".jpg", ".jpeg", ".webp")
TEXTS = {
    ".txt": "txt",
    ".json": "json",
    ".tsv": "tsv",
    ".md": "md",
    ".html": "hocr",
    ".hocr": "hocr",
    ".xml": "alto",
}


def read_photos(
    inputs: Mapping[str, Any],
    *,
    output: str | None,
    as_json: bool,
    model: str | None = None,
    threads: int | None = None,
    command: str,
) -> int:
    """Read and print; 0 if every page was read, 1 if some were not.

    inputs: images, PDFs and TIFFs by their names; output: a file whose suffix says what is written
    for the one of them, a PDF for all of them, or a folder for a drawing and a JSON file of each,
    where those that are there already are passed over; model: id or path of the reader; command:
    its name in messages.

    Raises:
        ValueError: if there are several images for one file, a suffix is unknown, an image would be
            written over, or the folder holds another model's readings.
    """
    from strhub.inference.recognizer import EMBEDDED
    from strhub.spotting.spotter import Spotter

    names = list(inputs)
    targets = [] if output is None else _targets(names, output)
    progress = ProgressLine(shown=len(names) > 1 or output is not None)
    detector = EmbeddedDetector(
        threads=threads, on_tile=_tiles(progress) if len(names) < 2 else None
    )
    spotter = Spotter(detector, model or EMBEDDED, threads=threads, keep_images=bool(targets))
    for path in targets:
        path.parent.mkdir(parents=True, exist_ok=True)
    into_folder = output is not None and not Path(output).suffix
    if into_folder:
        check_folder(Path(str(output)), model or EMBEDDED)
    waiting = dict(zip(names, targets, strict=False)) if into_folder else {}
    done = [name for name in names if name in waiting and _is_done(name, waiting[name])]
    left = {name: source for name, source in inputs.items() if name not in done}
    failures = pages = 0
    documents: list[list[Page]] = []
    for number, document in enumerate(_documents(left, spotter), 1):
        progress.clear()
        for page in document:
            pages += 1
            failures += page.error is not None
            _print(page, as_json=as_json)
        if into_folder:
            _write_both(document, waiting[str(document[0].source)])
        elif targets:
            documents.append(document)
        progress.count(number, len(left), "images")
    progress.clear()
    if documents:
        _write([page for document in documents for page in document], targets[0])
    if done:
        print(f"{command}: {len(done)} images were in {output} already", file=sys.stderr)
    if failures:
        print(f"{command}: {failures} of {pages} images could not be read", file=sys.stderr)
    return 1 if failures else 0


def _tiles(progress: ProgressLine) -> Callable[[int, int], None]:
    return lambda done, total: progress.say(f"tile {done} of {total}")


def _documents(inputs: Mapping[str, Any], spotter: Spotter) -> Iterator[list[Page]]:
    """Yield the pages of each input; they are opened as they are read, a few ahead."""
    opened: deque[tuple[str, int, int]] = deque()  # name, number of the page, and of how many

    def images() -> Iterator[Any]:
        for name, source in inputs.items():
            if not is_document(name) and name != "-":
                opened.append((name, 1, 1))
                yield source
                continue
            try:
                for number, count, image in open_pages(source):
                    opened.append((name, number, count))
                    yield image
            except UnreadableImage as error:
                opened.append((name, 1, 1))
                yield error

    pages: list[Page] = []
    for page in spotter.read(images()):
        name, number, count = opened.popleft()
        pages.append(replace(page, source=name, number=number))
        if number == count:
            yield pages
            pages = []


def check_folder(folder: Path, model: str) -> None:
    """Note whose readings a folder holds; `ValueError` if they are another model's."""
    path = folder / _JOB
    job = json.dumps({"model": model})
    if path.exists() and _stored_job(path) != job:
        raise ValueError(f"{folder} holds readings of another model: name another folder")
    write_whole(path, f"{job}\n")


def _stored_job(path: Path) -> str:
    """Return what a folder says of itself; '' if that is no short text."""
    try:
        return read_regular_text(path, max_bytes=_LARGEST_JOB).strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _is_done(name: str, drawing: Path) -> bool:
    """Return whether an image's files are there, and newer than it."""
    try:
        written = drawing.with_suffix(".json").stat().st_mtime_ns
        return written >= os.stat(name).st_mtime_ns
    except OSError:
        return False


def _write_both(pages: Sequence[Page], drawing: Path) -> None:
    """Write a drawing of each page, and then the JSON file of all: it says that they are there."""
    read = [page for page in pages if page.error is None]
    for page in read:
        own = f".p{page.number:03d}" if len(pages) > 1 else ""
        _draw(page, drawing.with_name(f"{drawing.stem}{own}{drawing.suffix}"))
    if read:
        _write(pages, drawing.with_suffix(".json"))


def _targets(names: Sequence[str], output: str) -> list[Path]:
    """Return which files are written: one of its own suffix, or a drawing for each in a folder."""
    target = Path(output)
    suffix = target.suffix.lower()
    known = (*DRAWINGS, *TEXTS, PDF_SUFFIX)
    if suffix and suffix not in known:
        raise ValueError(
            f"--output {output}: the suffix is one of {' '.join(known)}, or none for a folder"
        )
    if suffix and suffix != PDF_SUFFIX and len(names) > 1:
        raise ValueError(
            f"--output {output} is one file, and there are {len(names)} images: name a folder"
        )
    targets = [target] if suffix else [target / f"{stem}.png" for stem in _stems(names)]
    inputs = {os.path.realpath(name) for name in names}
    written = [path.with_suffix(other) for path in targets for other in (path.suffix, ".json")]
    for path in targets if suffix else written:
        if os.path.realpath(path) in inputs:
            raise ValueError(
                f"--output would write over the image {path}: name another file or folder"
            )
    return targets


def _stems(names: Sequence[str]) -> list[str]:
    """Return the names of files for images, no two of them alike in any case; images of several
    folders may be.
    """
    taken: set[str] = set()
    stems = []
    for name in names:
        path = Path(
            "standard-input" if name == "-" else urlsplit(name).path if is_address(name) else name
        )
        stem, number = path.name or "image", 2
        while stem.casefold() in taken:
            stem = f"{path.stem}-{number}{path.suffix}"
            number += 1
        taken.add(stem.casefold())
        stems.append(stem)
    return stems


def _print(page: Page, *, as_json: bool) -> None:
    name = printable(str(page.source))
    if as_json:
        print(page.export("json"), flush=True)
    elif page.error is not None:
        print(f"{name}: unreadable: {printable(page.error)}", file=sys.stderr, flush=True)
    elif not page.lines:
        print(f"{name}\t\t0.0000", flush=True)
    else:
        for line in page.lines:
            print(f"{name}\t{printable(line.text)}\t{line.confidence:.4f}", flush=True)


def _write(pages: Sequence[Page], path: Path) -> None:
    """Write the pages as the suffix says; of those that could not be read there is nothing."""
    suffix = path.suffix.lower()
    read = [page for page in pages if page.error is None]
    if not read:
        return
    if suffix == PDF_SUFFIX:
        write_whole(path, to_pdf(read))
    elif suffix in TEXTS:
        write_whole(path, export_pages(read, TEXTS[suffix]) + "\n")
    elif len(read) > 1:
        raise ValueError(
            f"--output {path} is one drawing, and there are {len(read)} pages: name a folder"
        )
    else:
        _draw(read[0], path)


def _draw(page: Page, path: Path) -> None:
    content = io.BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    page.draw().save(content, kind)
    write_whole(path, content.getvalue())
