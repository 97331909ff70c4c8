"""What is killed: work on tiny data that writes files, each with how its result is told and what
may never be half.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kinds import png_files

WORDS = 12


class Operation(NamedTuple):
    """work: from the sources, to a folder. result: of that folder, to compare. half_there: what is
    not whole in it.

    models: whether it needs PyTorch, of which a copy takes longer. weight: how often it is taken,
        beside the others.
    warm: whether it may be done where copies are made.
    """

    work: Callable[[Path, Path], object]
    result: Callable[[Path], object]
    half_there: Callable[[Path], str]
    models: bool = False
    weight: float = 1.0
    warm: bool = True


def make_sources(folder: Path) -> None:
    """Write what the work needs: an LMDB, images with labels, two sizes of model."""
    import strhub
    from strhub.data.sources.lmdb import write_lmdb

    images = png_files() * (WORDS // 3)
    write_lmdb(folder / "words", [(image, f"word{index}") for index, image in enumerate(images)])
    (folder / "images").mkdir()
    lines = []
    for index, image in enumerate(images):
        (folder / "images" / f"{index}.png").write_bytes(image)
        lines.append(f"{index}.png\tword{index}\n")
    (folder / "images" / "gt.txt").write_text("".join(lines), "utf-8")
    golden = Path(__file__).resolve().parents[1] / "golden"
    shutil.copy(golden / "reference-lightning.ckpt", folder / "model.ckpt")
    strhub.save(strhub.load(folder / "model.ckpt"), folder / "model.safetensors")


def _data(*arguments: object) -> None:
    from strhub.cli.data import run

    run([str(one) for one in arguments])


def _lmdbs(*names: str) -> Callable[[Path], object]:
    """Return what reads all entries of LMDB folders, by our own reader, which damage does not
    end.
    """

    def entries(folder: Path) -> object:
        from strhub.data.sources.lmdb_format import NUM_SAMPLES, LmdbFile

        files = [LmdbFile(folder / name) for name in names]
        return [
            (file.get(NUM_SAMPLES), *file.items(b"image-"), *file.items(b"label-"))
            for file in files
        ]

    return entries


def _whole_lmdbs(*names: str) -> Callable[[Path], str]:
    def check(folder: Path) -> str:
        from strhub.data.sources.lmdb import LmdbWords

        for name in names:
            if (folder / name).exists():
                words = LmdbWords(folder / name)
                for index in range(len(words)):
                    words.read(index)
        return ""

    return _told(check)


def _told(check: Callable[[Path], str]) -> Callable[[Path], str]:
    """Return a check, what it raises being what it says."""

    def half_there(folder: Path) -> str:
        try:
            return check(folder)
        except Exception as error:
            return f"HALF {type(error).__name__}: {error}"

    return half_there


def _shards(folder: Path) -> object:
    from strhub.data.sources.tar import read_words

    return [
        [word.label for word in read_words(str(path))] for path in sorted(folder.glob("w-*.tar"))
    ]


def _whole_shards(folder: Path) -> str:
    counts = [len(labels) for labels in _shards(folder)]  # type: ignore[attr-defined]
    return "" if all(count == 3 for count in counts) else f"HALF shards of {counts}"


def _whole_report(folder: Path) -> str:
    if (folder / "report.json").exists():
        json.loads((folder / "report.json").read_text("utf-8"))
    page = folder / "report.html"
    return (
        ""
        if not page.exists() or page.read_text("utf-8").rstrip().endswith("</html>")
        else "HALF report.html"
    )


def _report(folder: Path) -> object:
    return [
        hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("report.json", "report.html")
    ]


class _Reader:
    """Reads an image's size: so that bulk reading takes no longer than its files."""

    batch_size = 4

    def __call__(self, images: object) -> list[object]:
        from strhub.inference.reading import Reading

        return [Reading("x".join(map(str, image.size)), 0.5, (0.5,)) for image in images]  # type: ignore[attr-defined]


def _bulk(sources: Path, folder: Path) -> None:
    from strhub.bulk import read_all

    read_all(
        [sources / "words", sources / "images"], folder / "read", per_part=4, recognizer=_Reader
    )  # type: ignore[arg-type]


def _parquet(folder: Path) -> list[tuple[str, str]]:
    from pyarrow import parquet

    tables = [
        parquet.read_table(path).to_pylist() for path in sorted((folder / "read").glob("*.parquet"))
    ]
    return sorted((row["source"], row["text"]) for table in tables for row in table)


def _whole_parquet(folder: Path) -> str:
    rows = _parquet(folder)
    return "" if len(rows) == len(set(rows)) else "HALF: an image is there twice"


def _save(sources: Path, folder: Path) -> None:
    """Save over what is there: two models take turns."""
    import strhub

    strhub.save(strhub.load(sources / "model.safetensors"), folder / "model.safetensors")


def _convert(sources: Path, folder: Path) -> None:
    import strhub

    strhub.save(strhub.load(sources / "model.ckpt"), folder / "model.safetensors")


def _model(folder: Path) -> object:
    import strhub

    return {
        name: value.tolist()
        for name, value in strhub.load(folder / "model.safetensors").state_dict().items()
    }


def _whole_model(folder: Path) -> str:
    if (folder / "model.safetensors").exists():
        _model(folder)
    return ""


def _state(sources: Path, folder: Path) -> None:
    """Write three states of training after each other, as a run does."""
    import torch

    from strhub.training.checkpoint_io import LAST, DurableCheckpointIO, put_in_place

    writer = DurableCheckpointIO()
    for step in range(3):
        writer.save_checkpoint(
            {"step": step, "weights": torch.full((50_000,), float(step))}, folder / "new.ckpt"
        )
        put_in_place(folder / "new.ckpt", folder / LAST)


def _stored_state(folder: Path) -> object:
    from strhub.training.checkpoint_io import LAST, DurableCheckpointIO

    state = DurableCheckpointIO().load_checkpoint(folder / LAST)
    assert (state["weights"] == state["step"]).all()
    return state["step"]


def _whole_state(folder: Path) -> str:
    from strhub.training.checkpoint_io import latest_checkpoint

    if latest_checkpoint(folder):
        _stored_state(folder)
    return ""


def _write_file(sources: Path, folder: Path) -> None:
    from strhub.utils.files import write_whole

    for step in range(20):
        write_whole(folder / "file.txt", f"{step:04}" * 10_000)


def _whole_file(folder: Path) -> str:
    path = folder / "file.txt"
    text = path.read_text() if path.exists() else ""
    return "" if text in ("", text[:4] * 10_000) else "HALF file.txt"


def _train(sources: Path, folder: Path) -> None:
    from strhub.cli.train import main

    here = Path(__file__).resolve().parents[2]
    sys.argv = [str(here / "train.py"), *TRAINING, f"hydra.run.dir={folder / 'run'}"]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise RuntimeError(f"train.py ended with {end.code}") from end


TRAINING = (
    "model.embed_dim=32", "model.enc_num_heads=1", "model.dec_num_heads=2", "model.enc_depth=1",
    "model.patch_size=[16,16]", "model.batch_size=4", "model.max_label_length=12",
    "dataset=rendered",
    "data.render.words=8", "data.render.difficulty=0", "data.render.validation=4",
    "data.num_workers=0",
    "trainer.log_every_n_steps=1", "logger=csv", "+trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu", "callbacks.summary=null", "callbacks.best=null",
    "+trainer.num_sanity_val_steps=0", "callbacks.last.every_n_steps=1", "trainer.max_epochs=2",
    "ckpt_path=last",
)  # fmt: skip


def _losses(folder: Path) -> object:
    with (folder / "run" / "metrics.csv").open() as file:
        return [(int(row["step"]), row["loss"]) for row in csv.DictReader(file) if row.get("loss")]


def _whole_run(folder: Path) -> str:
    from strhub.training.checkpoint_io import latest_checkpoint

    for checkpoints in folder.glob("run/**/checkpoints"):
        if last := latest_checkpoint(checkpoints):
            from strhub.training.checkpoint_io import DurableCheckpointIO

            DurableCheckpointIO().load_checkpoint(last)
    return ""


OPERATIONS = {
    "split": Operation(
        lambda sources, folder: _data("split", sources / "words", folder / "a", folder / "b",
            "--fraction", "0.5"),
        _lmdbs("a", "b"), _whole_lmdbs("a", "b"),
    ),
    "shard": Operation(
        lambda sources, folder: _data("shard", sources / "words", folder / "w-%03d.tar",
            "--per_shard", 3),
        _shards, _told(_whole_shards),
    ),
    "make": Operation(
        lambda sources, folder: _data("make", sources / "images", folder / "a", "--workers", 1),
        _lmdbs("a"), _whole_lmdbs("a"),
    ),
    "filter": Operation(
        lambda sources, folder: _data("filter", sources / "words", folder / "a", "--max_length", 5,
            "--workers", 1),
        _lmdbs("a"), _whole_lmdbs("a"),
    ),
    "inspect": Operation(
        lambda sources, folder: _data("inspect", sources / "words", "--json",
            folder / "report.json",
                                      "--html", folder / "report.html", "--workers", 1),
        _report, _told(_whole_report), False, 0.3,
    ),
    "bulk": Operation(_bulk, _parquet, _told(_whole_parquet), False, 0.5),
    "save": Operation(_save, _model, _told(_whole_model), True),
    "convert": Operation(_convert, _model, _told(_whole_model), True),
    "state": Operation(_state, _stored_state, _told(_whole_state), True),
    "file": Operation(_write_file, lambda folder: (folder / "file.txt").read_text(),
    _told(_whole_file)), "workers": Operation(
        lambda sources, folder: _data("make", sources / "images", folder / "a", "--workers", 2),
        _lmdbs("a"), _whole_lmdbs("a"), False, 0.01, False,
    ),
    "train": Operation(_train, _losses, _told(_whole_run), True, 0.02, False),
}  # fmt: skip
"""By the name that is printed."""
