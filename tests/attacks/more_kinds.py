"""Further kinds of files: settings and notes that runs, searches and data sets have beside them,
tables of readings, files of other networks, documents of pages, requests to the service.
"""

from __future__ import annotations

import io
import json
import shutil
from argparse import Namespace
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
QUAD = [[1, 2], [30, 2], [30, 12], [1, 12]]


def word_image() -> Image.Image:
    """Return a small image of a word."""
    with Image.open(ROOT / "demo_images" / "01.png") as image:
        return image.convert("RGB").resize((96, 32))


def _image_beside(path: Path, name: str = "a.png") -> None:
    word_image().save(path.with_name(name))


def _all_lists(path: Path) -> object:
    """Read a text as each of what is a list of words or characters."""
    from strhub.cli.arguments import read_options
    from strhub.clip.text_side import read_words
    from strhub.data.curation.charsets import read_charset
    from strhub.data.synth.corpus import read_corpus

    readers: tuple[Callable[[Path], object], ...] = (
        read_charset,
        read_words,
        read_corpus,
        lambda file: read_options(Namespace(lexicon=file), "lexicon").lexicon,
    )
    outcomes: list[Any] = []
    for read in readers:
        try:
            outcomes.append(read(path))
        except (ValueError, OSError) as error:
            outcomes.append(error)
    if all(isinstance(one, Exception) for one in outcomes):
        raise outcomes[0]
    return outcomes


def _stored_options(path: Path) -> object:
    from strhub.cli.stored_run import stored_overrides

    (path.parent / "run" / "config").mkdir(parents=True)
    shutil.move(str(path), path.parent / "run" / "config" / "overrides.yaml")
    return stored_overrides(path.parent / "run")


def _search(path: Path) -> object:
    from omegaconf import OmegaConf

    from strhub.training.tuning_checks import check_same_search

    return check_same_search(OmegaConf.create({"model": {"lr": 1e-3}}), path.parent)


def _job(path: Path) -> object:
    from strhub.bulk.output import check_job
    from strhub.cli.photo import check_folder

    check_folder(path.parent, "m")
    return check_job(path.parent, {"format": 1})


def _sizes(path: Path) -> object:
    from strhub.cli.data_commands.shard import Notes
    from strhub.data.sources.shard_names import known_size

    (path.parent / "a.tar").write_bytes(bytes(1024))
    shutil.copy(path, path.with_name(".notes"))
    Notes(path.with_name(".notes"), "").sizes  # noqa: B018
    return known_size([str(path.parent / "a.tar")])


def _photographs(path: Path) -> object:
    from strhub.data.sources.annotated_photos import find_annotated

    _image_beside(path, path.stem.removeprefix("gt_") + ".png")
    return find_annotated(path.parent)


def _curve(path: Path) -> object:
    from strhub.training.loggers import ContinuedCSVLogger

    logger = ContinuedCSVLogger(path.parent, name="", version="")
    logger.log_metrics({"loss": 1.0}, 3)
    return logger.save()


@cache
def _bare_weights() -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(torch.load(GOLDEN / "reference-lightning.pt", weights_only=True), file)
    return file.getvalue()


def _hub_folder(path: Path) -> object:
    import strhub

    path.with_name("model.pt").write_bytes(_bare_weights())
    return strhub.load(path.with_name("model.pt"))


def _style(path: Path) -> object:
    from strhub.data.synth.settings import load_style

    return load_style(path)


def _results(path: Path) -> object:
    from strhub.evaluation.results.provenance import read_results

    return read_results(path.parent)


def _merges(path: Path) -> object:
    from strhub.clip.tokenizer import load_tokenizer

    return load_tokenizer(path, vocab_size=520)


SETTINGS: dict[str, Callable[[Path], object]] = {
    "style.yaml": _style,
    "overrides.yaml": _stored_options,
    "search.yaml": _search,
    "_job.json": _job,
    "results.json": _results,
    "sizes.json": _sizes,
    "config.json": _hub_folder,
    "words.jsonl": _photographs,
    "gt_a.txt": _photographs,
    "gt_b.txt": _photographs,
    "words.txt": _all_lists,
    "merges.txt": _merges,
    "metrics.csv": _curve,
}


def make_settings(folder: Path) -> None:
    """Write a sound one of each."""
    import torch

    state = torch.load(GOLDEN / "reference-lightning.ckpt", weights_only=False)
    hparams = {
        name: value
        for name, value in dict(state["hyper_parameters"]).items()
        if isinstance(value, str | int | float | bool | list)
    }
    words = [{"quad": QUAD, "text": "Hello"}, {"polygon": QUAD, "text": None}]
    merged = "\n".join(["#version", "a b", "ab c</w>", "e d</w>", "x y", "z z"])
    texts = {
        "style.yaml": (ROOT / "strhub" / "configs" / "style" / "simple.yaml").read_text("utf-8"),
        "overrides.yaml": "- model.lr=1e-3\n- data.root_dir=data\n- +experiment=parseq-tiny\n",
        "search.yaml": "model:\n  lr: 0.001\ndata:\n  root_dir: data\n  num_workers: 2\n",
        "_job.json": json.dumps({"format": 1, "model": "m", "options": {"top_k": 2}}),
        "results.json": json.dumps({"format": 1, "charset": "ab", "sets": {"a": {"words": 3}}}),
        "sizes.json": json.dumps({"a.tar": 0, "b.tar": 3}),
        "config.json": json.dumps(hparams),
        "words.jsonl": json.dumps({"image": "words.png", "words": words}) + "\n",
        "gt_a.txt": '1,2,30,2,30,12,1,12,word\n1,2,30,2,30,12,1,12,###\n3, 4, 92, 21, "Tired"\n',
        "gt_b.txt": "x: [[1 30 30 1]], y: [[2 2 12 12]], ornt: [u'h'], transcriptions: [u'word']\n",
        "words.txt": "hello\nwörld\t3\nनमस्ते\n\n  two words \n",
        "merges.txt": merged,
        "metrics.csv": "loss,step,val_loss\n0.5,1,\n0.4,2,0.3\n,3,0.2\n",
    }
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")


def make_tables(folder: Path) -> None:
    """Write tables of readings, corrections and samples."""
    from strhub.data.curation.corrections import COLUMNS
    from strhub.evaluation.results.files import FIELDS

    readings = ["set\timage\ttext\tconfidence", "a\timage-000000001\tword\t0.5", "a\tb.png\t\t1"]
    sample = {
        "index": "1",
        "image": "a.png",
        "confidence": "0.5",
        "width": "9",
        "height": "9",
        "character_confidences": "[0.5, 1.0]",
        "rotation": "0",
        "slant": "0.1",
    }
    fields = [*FIELDS]
    row = "\t".join(sample.get(name, "" if name == "sharpness" else "te\\txt") for name in fields)
    corrections = [
        "\t".join(COLUMNS),
        "\t".join(["s", "a.png", "wrod", "word", "correct"]),
        "\t".join(["s", "b.png", "x", "", "remove"]),
    ]
    for name, lines in (
        ("readings.tsv", readings),
        ("samples.tsv", ["\t".join(fields), row, row]),
        ("corrections.tsv", corrections),
    ):
        (folder / name).write_text("\n".join(lines) + "\n", "utf-8")


def use_table(path: Path) -> object:
    """Read a table as its name says."""
    from strhub.data.curation.corrections import read_corrections
    from strhub.evaluation.predictions import Predictions
    from strhub.evaluation.results.files import read_samples

    if path.name == "corrections.tsv":
        return read_corrections(path)
    if path.name == "samples.tsv":
        return list(read_samples(path))
    with Predictions(path) as found:
        return found.has_confidences


def make_networks(folder: Path) -> None:
    """Write other networks: CLIP's, CLIP4STR's, the published recognizer's, torch's old format."""
    import torch
    from clip4str_support import released_state
    from clip_support import recorded_state, small_clip
    from published_graph import write_published

    state = torch.load(GOLDEN / "reference-lightning.pt", weights_only=True)
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(released_state(), folder / "clip4str.pt")
    torch.save(recorded_state(), folder / "clip.pt")
    small_clip(folder)
    write_published(folder / "published.onnx", "abc")


def use_network(path: Path) -> object:
    """Read a network as its name says."""
    import strhub
    from strhub.checkpoint.ppocr import read_published
    from strhub.clip.weights import read_clip

    if path.name == "published.onnx":
        return read_published(path)
    if path.stem == "clip":
        return read_clip(path)
    return strhub.load(path)


def make_detectors(folder: Path) -> None:
    """Write the detector of the package."""
    from strhub.inference.recognizer import embedded_detector

    shutil.copy(embedded_detector(), folder / "detector.onnx")


def use_detector(path: Path) -> object:
    """Find text with a detector."""
    from strhub.spotting.detector import EmbeddedDetector

    return EmbeddedDetector(model=path, side=64, threads=1)(word_image())


def make_documents(folder: Path) -> None:
    """Write pages of several images, compressed in all ways."""
    image = word_image()
    pages = {"save_all": True, "append_images": [image.rotate(5), image.resize((40, 60))]}
    for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "tiff_jpeg"):
        image.save(folder / f"{kind}.tif", compression=kind, **pages)
    gray = image.convert("1")
    for kind in ("group3", "group4", "tiff_ccitt"):
        gray.save(folder / f"{kind}.tif", compression=kind, save_all=True, append_images=[gray])
    for kind in ("GIF", "WEBP", "PNG", "MPO"):
        image.save(
            folder / f"pages.{kind.lower()}",
            format=kind,
            save_all=True,
            append_images=[image.rotate(5)],
        )


def make_pdfs(folder: Path) -> None:
    """Write PDFs of images, of drawing and of our own."""
    from test_strange_documents import repeated

    from strhub.spotting.page import Page
    from strhub.spotting.pdf import to_pdf

    image = word_image()
    image.save(folder / "images.pdf", save_all=True, append_images=[image.convert("L")])
    (folder / "forms.pdf").write_bytes(repeated(2, pages=3))
    (folder / "own.pdf").write_bytes(to_pdf([Page((), image.size, image=image)]))


def use_pages(path: Path) -> object:
    """Open all pages."""
    from strhub.spotting.documents import open_pages

    return len(list(open_pages(path, dpi=72)))


def more_kinds(kind: Callable[..., Any]) -> dict[str, Any]:
    """Return the kinds by name; kind: makes one of how it is made and used."""
    from requests_kind import make_requests, send_request

    return {
        "settings": kind(make_settings, lambda path: SETTINGS[path.name](path)),
        "tables": kind(make_tables, use_table),
        "networks": kind(make_networks, use_network),
        "detectors": kind(make_detectors, use_detector),
        "documents": kind(make_documents, use_pages),
        "pdfs": kind(make_pdfs, use_pages),
        "requests": kind(make_requests, send_request),
    }
