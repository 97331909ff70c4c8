"""What is killed: work on tiny data that writes files, each with how its result is told and what
may never be half.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import training_runs
from kinds import png_files

WORDS = 12
KILLS, SAVES, RUNS = "kills", "saves", "runs"


class Operation(NamedTuple):
    """work: from the sources, to a folder. result: of that folder, to compare. half_there: what is
    not whole in it.

    kind: of data, of models and states of training, or whole runs, which take longest and are told
        to stop as well. weight: how often it is taken, beside the others of its kind.
    warm: whether it may be done where copies are made.
    """

    work: Callable[[Path, Path], object]
    result: Callable[[Path], object]
    half_there: Callable[[Path], str]
    kind: str = KILLS
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
        from strhub.data.sources.lmdb import NUM_SAMPLES, LmdbFile

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
        _report, _told(_whole_report), KILLS, 0.3,
    ),
    "bulk": Operation(_bulk, _parquet, _told(_whole_parquet), KILLS, 0.5),
    "save": Operation(_save, _model, _told(_whole_model), SAVES),
    "convert": Operation(_convert, _model, _told(_whole_model), SAVES),
    "state": Operation(_state, _stored_state, _told(_whole_state), SAVES),
    "file": Operation(_write_file, lambda folder: (folder / "file.txt").read_text(),
    _told(_whole_file)), "workers": Operation(
        lambda sources, folder: _data("make", sources / "images", folder / "a", "--workers", 2),
        _lmdbs("a"), _whole_lmdbs("a"), KILLS, 0.01, False,
    ),
    "train": Operation(
        lambda sources, folder: training_runs.train(folder, training_runs.PLAIN),
        training_runs.outcome, _told(training_runs.check_states), RUNS,
    ),
    "averaged": Operation(
        lambda sources, folder: training_runs.train(folder, training_runs.AVERAGED),
        training_runs.outcome, _told(training_runs.check_states), RUNS,
    ),
}  # fmt: skip
"""By the name that is printed."""
