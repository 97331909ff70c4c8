"""What `test_special_files` tries in a child with limits: `python special_uses.py FOLDER` prints a
line for each attempt, its name, a tab, and `ok` or what is wrong.
"""

from __future__ import annotations

import os
import signal
import sys
import tarfile
import traceback
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

from strhub import Recognizer, load
from strhub.bulk import read_all
from strhub.bulk.inputs import FILES, PARQUET, TAR, Unit, find, images
from strhub.bulk.output import check_job
from strhub.checkpoint.formats import read_checkpoint
from strhub.checkpoint.ppocr import read_published
from strhub.cli.arguments import read_options
from strhub.cli.data_commands.make import ReadImage
from strhub.cli.data_commands.shard import Notes
from strhub.cli.photo import check_folder
from strhub.cli.stored_run import stored_overrides
from strhub.clip.text_side import read_words
from strhub.clip.tokenizer import load_tokenizer
from strhub.clip.weights import read_clip
from strhub.data.curation.charsets import read_charset
from strhub.data.curation.corrections import read_corrections
from strhub.data.curation.writer import SkippedRecord
from strhub.data.sources.annotations import Annotation, Annotations
from strhub.data.sources.folder import FolderWords
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.data.sources.shard_names import known_size
from strhub.data.sources.tar import read_words as read_tar
from strhub.data.sources.texts import TextDataModule
from strhub.data.synth.corpus import read_corpus
from strhub.data.synth.fontfiles import characters_of
from strhub.data.synth.settings import load_style
from strhub.errors import CheckpointError
from strhub.evaluation.predictions import Predictions
from strhub.evaluation.results.files import read_samples
from strhub.images.find import find_images
from strhub.images.open import open_image
from strhub.spotting.documents import open_pages
from strhub.training.loggers import ContinuedCSVLogger
from strhub.training.own_searches import check_own
from strhub.training.tuning_checks import check_same_search

SECONDS = 60
DEMO = Path(__file__).parents[2] / "demo_images" / "01.png"


def words_of(path: Path) -> Any:
    return TextDataModule(
        root_dir=path.parent,
        train_dir="",
        img_size=(32, 128),
        max_label_length=9,
        charset_train="ab",
        batch_size=1,
        words=path,
    ).train_dataset


def annotated(path: Path) -> list[Annotation]:
    return list(Annotations(path.parent))


def lexicon(path: Path) -> Any:
    return read_options(Namespace(lexicon=path), "lexicon").lexicon


def stored(path: Path) -> Any:
    (path.parent / "gt.txt").write_text("a.png\tword\n")
    annotations = Annotations(path.parent)
    return list(ReadImage(annotations, strict=False)(next(iter(annotations))))


def must_be_empty(found: Any) -> None:
    """Such a file counts as none."""
    assert not found
    raise ValueError


def sizes_of_shards(path: Path) -> Any:
    with tarfile.open(path.parent / "a.tar", "w"):
        pass
    must_be_empty(known_size([str(path.parent / "a.tar")]))


def read_in_bulk(path: Path) -> Any:
    return read_all([DEMO], path.parent / "x", model=path)


def options_of_run(path: Path) -> None:
    must_be_empty(stored_overrides(path.parents[1]))


def curve(path: Path) -> Any:
    logger = ContinuedCSVLogger(path.parent, name="", version="")
    logger.log_metrics({"loss": 1.0}, 3)
    logger.save()


USES: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "image": ("a.png", open_image),
    "annotations": ("gt.txt", annotated),
    "list of words": ("words.txt", words_of),
    "vocabulary": ("words.txt", read_words),
    "lexicon": ("words.txt", lexicon),
    "corpus": ("words.txt", read_corpus),
    "font": ("a.ttf", lambda path: characters_of(str(path))),
    "merges": ("merges.txt", lambda path: load_tokenizer(path, vocab_size=600)),
    "tar": ("a.tar", lambda path: list(read_tar(str(path)))),
    "image to store": ("a.png", stored),
    "exported model": ("a.onnx", lambda path: Recognizer(str(path))),
    "archive": ("a.pt2", lambda path: Recognizer(str(path))),
    "readings": ("a.tsv", Predictions),
    "corrections": ("a.tsv", read_corrections),
    "samples": ("samples.tsv", lambda path: list(read_samples(path))),
    "folder of pages": ("_job.json", lambda path: check_folder(path.parent, "m")),
    "PDF": ("a.pdf", lambda path: list(open_pages(path))),
    "published model": ("a.onnx", read_published),
    "model to read in bulk": (
        "a.onnx",
        lambda path: read_all([DEMO], path.parent / "x", model=path),
    ),
    "safetensors": ("a.safetensors", read_checkpoint),
    "checkpoint": ("a.ckpt", read_checkpoint),
    "weights": ("a.pt", read_checkpoint),
    "CLIP's weights": ("a.pt", read_clip),
    "charset": ("words.txt", read_charset),
    "style": ("a.yaml", load_style),
    "sizes of shards": ("sizes.json", sizes_of_shards),
    "a run's options": (
        "config/overrides.yaml",
        lambda path: must_be_empty(stored_overrides(path.parents[1])),
    ),
    "a run's curve": ("metrics.csv", curve),
    "a search": ("search.yaml", lambda path: check_same_search(OmegaConf.create(), path.parent)),
    "a search's mark": (".started_here", lambda path: check_own(path.parent)),
    "a job": ("_job.json", lambda path: check_job(path.parent, {"format": 1})),
    "notes of shards": (".notes", lambda path: must_be_empty(Notes(path, "").sizes)),
    "LMDB": ("data.mdb", lambda path: LmdbWords(path.parent)),
}


KINDS = ("fifo", "device", "link to a fifo")


def make(kind: str, path: Path) -> None:
    """Make what is no regular file."""
    path.parent.mkdir(parents=True)
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mkfifo(path.parent.parent / "fifo")
        path.symlink_to(path.parent.parent / "fifo")


def special(use: str, kind: str, folder: Path) -> None:
    """Read such a thing as what it should be: an error, at once."""
    name, read = USES[use]
    make(kind, folder / "in" / name)
    with pytest.raises((ValueError, OSError, SkippedRecord)):
        read(folder / "in" / name)


def folder_of_such_things(folder: Path) -> None:
    """Find and read what is a file among what is none."""
    for name in ("a.png", "b.tar", "c.parquet"):
        os.mkfifo(folder / name)
        (folder / f"zero-{name}").symlink_to("/dev/zero")
    Image.new("RGB", (9, 9)).save(folder / "good.png")
    (folder / "gt.txt").write_text("a.png\tword\nzero-a.png\tword\ngood.png\tword\n")
    assert [path.name for path in find_images([str(folder)])] == ["good.png"]
    found = Recognizer()([folder / "a.png", folder / "good.png", "/dev/zero"])
    assert [reading.error is None for reading in found] == [False, True, False]
    words = FolderWords(folder)
    assert len(words) == 3
    with pytest.raises(ValueError, match="not a regular file but a fifo"):
        words.read(0)
    listed = find([folder], without=folder / "out")
    counts = Counter({kind: len(names) for kind, names in listed.items()})
    assert (counts[FILES], counts[TAR], counts[PARQUET]) == (3, 2, 2)
    errors = [image.error for image in images(Unit(FILES, files=tuple(listed[FILES])))]
    errors += [image.error for name in listed[TAR] for image in images(Unit(TAR, name))]
    assert sum("not a regular file" in str(error) for error in errors) == 4


def links_round_in_a_circle(folder: Path) -> None:
    """Find each file once, though links lead back to where they are."""
    Image.new("RGB", (9, 9)).save(folder / "a.png")
    (folder / "words").mkdir()
    (folder / "words" / "data.mdb").touch()
    for number in range(3):
        (folder / f"self{number}").symlink_to(".")
    assert len(find([folder], without=folder / "out")[FILES]) == 1
    assert len(find([f"{folder}/**/*.png"], without=folder / "out")[FILES]) == 1
    assert find_lmdbs(folder) == [folder / "words"]


def search_of_terabytes(folder: Path) -> None:
    """Resume a search whose few lines stand for terabytes."""
    lines = ["a0: &a0 {x: 1, y: 2}"]
    lines += [
        f"a{n}: &a{n} {{{', '.join(f'b{i}: *a{n - 1}' for i in range(9))}}}" for n in range(1, 30)
    ]
    (folder / "search.yaml").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="refers to a part of itself"):
        check_same_search(OmegaConf.create(), folder)


def no_numbers(change: Callable[[Any], object]) -> None:
    """Read with a model in memory that gives no numbers, such as after a run that diverged: it is
    told, and does not read ''.
    """
    model = load("strhub-tiny")
    change(model)
    for options in ({}, {"top_k": 2}, {"decode_ar": False, "beam_width": 2}):
        with pytest.raises(CheckpointError, match="infinite or NaN"):
            Recognizer(model, threads=1, **options)(DEMO)


def weights(value: float) -> Callable[[Any], object]:
    """Return what sets the biases of a model's last layer."""
    return lambda model: model.model.head.bias.data.fill_(value)


def temperature(value: float) -> Callable[[Any], object]:
    """Return what sets a model's temperature."""
    return lambda model: model.hparams.__setitem__("temperature", value)


NUMBERS = {
    "NaN weights": weights(float("nan")),
    "infinite weights": weights(float("inf")),
    "temperature 0": temperature(0.0),
    "NaN temperature": temperature(float("nan")),
}


def attempts() -> Iterator[tuple[str, Callable[[Path], object]]]:
    """Yield name and attempt, of a folder of its own."""
    for use, kind in product(USES, KINDS):
        yield f"{use}, {kind}", lambda folder, use=use, kind=kind: special(use, kind, folder)
    yield "a folder of such things", folder_of_such_things
    yield "links round in a circle", links_round_in_a_circle
    yield "a search of terabytes", search_of_terabytes
    for name, change in NUMBERS.items():
        yield name, lambda folder, change=change: no_numbers(change)


def late(number: int, frame: FrameType | None) -> None:
    """Raise, since what waits for a fifo never ends."""
    raise AssertionError("it waits")


def main() -> None:
    """Make all attempts; what takes over a minute each has failed."""
    signal.signal(signal.SIGALRM, late)
    torch.set_num_threads(1)
    for number, (name, attempt) in enumerate(attempts()):
        folder = Path(sys.argv[1]) / str(number)
        folder.mkdir()
        signal.alarm(SECONDS)
        try:
            attempt(folder)
            told = "ok"
        except BaseException:
            told = traceback.format_exc()
        signal.alarm(0)
        print(name, ascii(told)[1:-1], sep="\t", flush=True)


if __name__ == "__main__":
    main()
