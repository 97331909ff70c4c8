"""Kinds of what one is given besides images and models: fonts, folders of models as from a hub, and
published data sets in all their formats.
"""

from __future__ import annotations

import io
import json
import shutil
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
FONTS = ("AllertaStencil-Regular", "Orbitron-Bold", "LilitaOne-Regular")
SETS = {
    "ic13": "ic13", "ic15": "ic15", "mlt19": "mlt19", "rctw17": "rctw17", "uber-text": "uber_text",
    "coco-text": "coco_text_2", "textocr": "textocr", "openvino": "openvino", "art": "art",
    "rects": "rects", "svt": "svt", "coco-text-words": "coco_text_words", "word-list": "word_list",
    "case-sensitive": "case_sensitive", "union14m": "union14m",
}  # fmt: skip
"""Which function of tests/published_sets.py writes a set, by the name of its converter."""


def make_fonts(folder: Path) -> None:
    """Copy small fonts of the package."""
    for name in FONTS:
        shutil.copy(ROOT / "strhub" / "data" / "synth" / "fonts" / f"{name}.ttf", folder)


def use_font(path: Path) -> object:
    """Render words with a font."""
    from strhub.data.synth import RenderedWords
    from strhub.data.synth.glyphs import has_glyph, open_font

    has_glyph.cache_clear()  # or this process would hold all fonts
    open_font.cache_clear()
    words = RenderedWords(charset="abcXYZ019é", max_length=6, seed=1, fonts=[path])
    return [words.render(index) for index in range(2)]


@cache
def _hub_files() -> dict[str, bytes]:
    """Return what a folder of a model has: `config.json`, and weights that say nothing."""
    import torch
    from safetensors.torch import save

    whole = torch.load(GOLDEN / "reference-lightning.ckpt", weights_only=False)
    weights = torch.load(GOLDEN / "reference-lightning.pt", weights_only=True)
    hparams = {
        name: value
        for name, value in dict(whole["hyper_parameters"]).items()
        if isinstance(value, str | int | float | bool | list)
    }
    return {
        "config.json": json.dumps(hparams).encode(),
        "model.safetensors": save({name: one.contiguous() for name, one in weights.items()}),
    }


def make_folders(folder: Path) -> None:
    """Write the files of a folder of a model."""
    for name, content in _hub_files().items():
        (folder / name).write_bytes(content)


def use_folder(path: Path) -> object:
    """Read an image with the model of a folder, of which one file is damaged."""
    import strhub
    from strhub import Recognizer

    for name, content in _hub_files().items():
        if name != path.name:
            path.with_name(name).write_bytes(content)
    model = strhub.load(path.parent)
    return Recognizer(model, threads=1, reread_below=0)([Image.new("RGB", (96, 32), "gray")])


@cache
def _set(name: str) -> tuple[dict[str, bytes], Any]:
    """Return the files of a set by their paths, and what its writer says of it, below `/set`."""
    import published_sets

    with tempfile.TemporaryDirectory() as folder:
        published = getattr(published_sets, SETS[name])(Path(folder))
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file()
        }
        paths = (published.annotations, published.images)
        return files, tuple(str(path.relative_to(folder)) for path in paths)


def _annotations(name: str) -> str:
    """Return the path of a set's annotations, or of the first of them."""
    files, (annotations, _) = _set(name)
    return (
        annotations
        if annotations in files
        else next(path for path in files if path.startswith(f"{annotations}/"))
    )


def make_sets(folder: Path) -> None:
    """Write the annotations of all sets, and MATLAB's where scipy is."""
    for name in SETS:
        path = _annotations(name)
        (folder / f"{name}{Path(path).suffix}").write_bytes(_set(name)[0][path])
    if find_spec("scipy") is not None:
        _make_matlab(folder)


def _make_matlab(folder: Path) -> None:
    import numpy as np
    from scipy.io import savemat

    def row(*members: Any) -> Any:
        cells = np.empty(len(members), dtype=object)
        cells[:] = members
        return cells

    names, boxes = row("1.png", "2.png"), row(np.ones((2, 4, 1)), np.ones((2, 4, 2)))
    content = {"imnames": names, "wordBB": boxes, "txt": row("ab", "c d")}
    for packed in (False, True):
        savemat(folder / f"synthtext{packed:d}.mat", content, do_compression=packed)


def use_set(path: Path) -> object:
    """Convert a set whose annotations are damaged."""
    from strhub.cli.data import run
    from strhub.data.published import Notes, Source
    from strhub.data.published.large import synthtext

    if path.suffix == ".mat":
        return list(synthtext(Source(annotations=path, images=path.parent), Notes()))
    files, paths = _set(path.stem)
    damaged = _annotations(path.stem)
    root = path.parent / "set"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(path.read_bytes() if name == damaged else content)
    annotations, images = (str(root / path) for path in paths)
    options = ["--annotations", annotations, "--images", images, "--output", str(root / "out")]
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        return run(["convert", path.stem, *options, "--workers", "1"])


def other_kinds(kind: Callable[..., Any]) -> dict[str, Any]:
    """Return the kinds by name; kind: makes one of how it is made and used."""
    return {
        "fonts": kind(make_fonts, use_font),
        "folders": kind(make_folders, use_folder),
        "sets": kind(make_sets, use_set),
    }
