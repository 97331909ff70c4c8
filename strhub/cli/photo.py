"""`read.py --photo`: whole photographs to texts, drawings and files for other programs."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from strhub.utils.files import write_whole
from strhub.utils.terminal import printable

if TYPE_CHECKING:
    from strhub.spotting.page import Page

DRAWINGS = (".png", ".jpg", ".jpeg", ".webp")
TEXTS = {
    ".txt": "txt", ".json": "json", ".tsv": "tsv", ".md": "md", ".html": "hocr", ".hocr": "hocr", ".xml": "alto",
}  # fmt: skip


def read_photos(
    patterns: Sequence[str],
    *,
    output: str | None,
    as_json: bool,
    model: str | None = None,
    threads: int | None = None,
    command: str,
) -> int:
    """Read and print; 0 if every image was read, 1 if some were not.

    patterns: files, folders and globs; output: a file whose suffix says what is written for the one image, or a folder
    for a drawing and a JSON file of each; model: id or path of the reader; command: its name in messages.

    Raises:
        ValueError: if there are no images, or several for one file, or a suffix is unknown.
    """
    from strhub.images.open import find_images
    from strhub.spotting.spotter import Spotter

    paths = find_images(list(patterns))
    if not paths:
        raise ValueError(f"no images found in {', '.join(patterns)}")
    target = None if output is None else Path(output)
    suffix = target.suffix.lower() if target is not None else ""
    if suffix and suffix not in (*DRAWINGS, *TEXTS):
        raise ValueError(
            f"--output {output}: the suffix is one of {' '.join((*DRAWINGS, *TEXTS))}, or none for a folder"
        )
    if suffix and len(paths) > 1:
        raise ValueError(f"--output {output} is one file, and there are {len(paths)} images: name a folder")
    spotter = Spotter(threads=threads) if model is None else Spotter(reader=model, threads=threads)
    if target is not None and not suffix:
        target.mkdir(parents=True, exist_ok=True)
    failures = 0
    for page in spotter.read(paths):
        failures += page.error is not None
        _print(page, as_json=as_json)
        if target is not None and page.error is None:
            _write(page, target, suffix)
    if failures:
        print(f"{command}: {failures} of {len(paths)} images could not be read", file=sys.stderr)
    return 1 if failures else 0


def _print(page: Page, *, as_json: bool) -> None:
    if as_json:
        print(page.export("json"), flush=True)
    elif page.error is not None:
        print(f"{printable(str(page.source))}\terror: {printable(page.error)}", flush=True)
    else:
        for line in page.lines:
            print(f"{printable(str(page.source))}\t{printable(line.text)}\t{line.confidence:.4f}", flush=True)


def _write(page: Page, target: Path, suffix: str) -> None:
    if suffix in TEXTS:
        write_whole(target, page.export(TEXTS[suffix]) + "\n")
    elif suffix:
        _draw(page, target)
    else:
        name = Path(str(page.source)).name
        _draw(page, target / f"{name}.png")
        write_whole(target / f"{name}.json", page.export("json") + "\n")


def _draw(page: Page, path: Path) -> None:
    content = io.BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    page.draw().save(content, kind)
    write_whole(path, content.getvalue())
