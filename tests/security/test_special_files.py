"""A fifo that nobody writes to and a device without an end, wherever a file is read: an error at
once, never a wait.
"""

from __future__ import annotations

import os
import signal
import tarfile
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from omegaconf import OmegaConf
from PIL import Image

from strhub import Recognizer
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
from strhub.evaluation.predictions import Predictions
from strhub.images.find import find_images
from strhub.images.open import open_image
from strhub.spotting.documents import open_pages
from strhub.training.loggers import ContinuedCSVLogger
from strhub.training.own_searches import check_own
from strhub.training.tuning import check_same_search

SECONDS = 10
DEMO = Path(__file__).parents[2] / "demo_images" / "01.png"
pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs fifos")


@pytest.fixture(autouse=True)
def alarm() -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def words_of(path: Path) -> Any:
    return TextDataModule(root_dir=path.parent, train_dir="", img_size=(32, 128),
        max_label_length=9,
                          charset_train="ab", batch_size=1, words=path).train_dataset  # fmt: skip


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


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("kind", ["fifo", "device", "link to a fifo"])
def test_every_reader_of_files(use: str, kind: str, tmp_path: Path) -> None:
    name, read = USES[use]
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        os.mkfifo(tmp_path / "fifo")
        path.symlink_to(tmp_path / "fifo")
    with pytest.raises((ValueError, OSError, SkippedRecord)):
        read(path)


def test_a_folder_with_such_things_in_it(tmp_path: Path) -> None:
    for name in ("a.png", "b.tar", "c.parquet"):
        os.mkfifo(tmp_path / name)
        (tmp_path / f"zero-{name}").symlink_to("/dev/zero")
    Image.new("RGB", (9, 9)).save(tmp_path / "good.png")
    (tmp_path / "gt.txt").write_text("a.png\tword\nzero-a.png\tword\ngood.png\tword\n")
    assert [path.name for path in find_images([str(tmp_path)])] == ["good.png"]
    errors = [
        reading.error
        for reading in Recognizer()([tmp_path / "a.png", tmp_path / "good.png", "/dev/zero"])
    ]
    assert [error is None for error in errors] == [False, True, False]
    words = FolderWords(tmp_path)
    assert len(words) == 3
    with pytest.raises(ValueError, match="not a regular file but a fifo"):
        words.read(0)
    found = find([tmp_path], without=tmp_path / "out")
    counts = Counter({kind: len(names) for kind, names in found.items()})
    assert (counts[FILES], counts[TAR], counts[PARQUET]) == (3, 2, 2)
    errors = [image.error for image in images(Unit(FILES, files=tuple(found[FILES])))]
    errors += [image.error for name in found[TAR] for image in images(Unit(TAR, name))]
    assert sum("not a regular file" in str(error) for error in errors) == 4


def test_links_round_in_a_circle(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "data.mdb").touch()
    for number in range(3):
        (tmp_path / f"self{number}").symlink_to(".")
    assert len(find([tmp_path], without=tmp_path / "out")[FILES]) == 1
    assert len(find([f"{tmp_path}/**/*.png"], without=tmp_path / "out")[FILES]) == 1
    assert find_lmdbs(tmp_path) == [tmp_path / "words"]
