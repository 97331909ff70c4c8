"""`read.py --photo`: whole photographs to texts, drawings and files for other programs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from strhub.images.sources import is_address
from strhub.utils.files import write_whole
from strhub.utils.terminal import printable

if TYPE_CHECKING:
    from strhub.spotting.page import Page

DRAWINGS = (".png", ".jpg", ".jpeg", ".webp")
TEXTS = {
    ".txt": "txt", ".json": "json", ".tsv": "tsv", ".md": "md", ".html": "hocr", ".hocr": "hocr",
        ".xml": "alto",
}  # fmt: skip


def read_photos(
    inputs: Mapping[str, Any],
    *,
    output: str | None,
    as_json: bool,
    model: str | None = None,
    threads: int | None = None,
    command: str,
) -> int:
    """Read and print; 0 if every image was read, 1 if some were not.

    inputs: images by their names; output: a file whose suffix says what is written for the one
    image, or a folder for a drawing and a JSON file of each; model: id or path of the reader;
    command: its name in messages.

    Raises:
        ValueError: if there are several images for one file, a suffix is unknown, or an image would
            be written over.
    """
    from strhub.spotting.spotter import Spotter

    targets: list[list[Path]] = [[] for _ in inputs]
    if output is not None:
        targets = _targets(list(inputs), output)
    spotter = Spotter(threads=threads) if model is None else Spotter(reader=model, threads=threads)
    for path in (path for paths in targets for path in paths):
        path.parent.mkdir(parents=True, exist_ok=True)
    failures = 0
    for name, paths, page in zip(inputs, targets, spotter.read(inputs.values()), strict=True):
        failures += page.error is not None
        page = replace(page, source=name)
        _print(page, as_json=as_json)
        for path in paths if page.error is None else ():
            _write(page, path)
    if failures:
        print(f"{command}: {failures} of {len(inputs)} images could not be read", file=sys.stderr)
    return 1 if failures else 0


def _targets(names: Sequence[str], output: str) -> list[list[Path]]:
    """Return which files are written for each image: one of its own suffix, or two in a folder."""
    target = Path(output)
    suffix = target.suffix.lower()
    known = (*DRAWINGS, *TEXTS)
    if suffix and suffix not in known:
        raise ValueError(
            f"--output {output}: the suffix is one of {' '.join(known)}, or none for a folder"
        )
    if suffix and len(names) > 1:
        raise ValueError(
            f"--output {output} is one file, and there are {len(names)} images: name a folder"
        )
    if suffix:
        targets = [[target]]
    else:
        targets = [[target / f"{stem}.png", target / f"{stem}.json"] for stem in _stems(names)]
    inputs = {os.path.realpath(name) for name in names}
    for path in (path for paths in targets for path in paths):
        if os.path.realpath(path) in inputs:
            raise ValueError(
                f"--output would write over the image {path}: name another file or folder"
            )
    return targets


def _stems(names: Sequence[str]) -> list[str]:
    """Return names of files for images, no two of them alike in any case; images of several folders
    may be.
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


def _write(page: Page, path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix in TEXTS:
        write_whole(path, page.export(TEXTS[suffix]) + "\n")
    else:
        _draw(page, path)


def _draw(page: Page, path: Path) -> None:
    content = io.BytesIO()
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    page.draw().save(content, kind)
    write_whole(path, content.getvalue())
