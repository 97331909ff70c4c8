"""Tar shards: every word once, whoever reads; the same order again; damage is counted and training
goes on.
"""

from __future__ import annotations

import gzip
import io
import json
import logging
import random
import tarfile
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from attack_support import write_line_ends
from PIL import Image

import strhub.data.sources.shuffle_buffer as buffer_module
from strhub.cli.data_commands import shard
from strhub.data.loading.loader import Batch, collate
from strhub.data.loading.restarting import RestartingLoader
from strhub.data.sources.lmdb import write_lmdb
from strhub.data.sources.shards import ShardedWords, find_shards
from strhub.data.sources.tar import SIZES, TruncatedShard, read_words
from strhub.errors import DataError
from strhub.text import CHARSET_36, LabelPreparation
from strhub.utils.locks import locked


def encoded(number: int, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8 + number % 5, 4), (number % 256, number // 256, 9)).save(buffer, form)
    return buffer.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes, mtime: float = 0) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime = len(content), mtime  # type: ignore[assignment]
    tar.addfile(member, io.BytesIO(content))


def write_tar(path: Path, numbers: range, **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as tar:
        for number in numbers:
            add(tar, f"{number:06d}.png", encoded(number))
            add(tar, f"{number:06d}.txt", f"word{number}".encode())
    return path


def to_tensor(image: Image.Image, rng: np.random.Generator) -> torch.Tensor:
    """Of one size, with the image's number and something random."""
    red, green, _ = image.getpixel((0, 0))  # type: ignore[misc]
    return torch.tensor([red + 256 * green, float(rng.random())])


def sharded(folder: Path, **options: Any) -> ShardedWords:
    return ShardedWords(
        str(folder / "*.tar"), **{"transform": to_tensor, "batch_size": 4, "buffer": 5, **options}
    )


def loader(words: ShardedWords, workers: int = 0, **options: Any) -> RestartingLoader:
    return RestartingLoader(
        words, batch_size=words.batch_size, collate_fn=collate, num_workers=workers, **options
    )


def labels_of(batches: Iterable[Batch]) -> list[list[str]]:
    return [batch.labels for batch in batches]


def flat(batches: list[list[str]]) -> list[str]:
    return [label for batch in batches for label in batch]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of 10, 11 and 12 words."""
    root = tmp_path_factory.mktemp("shards")
    first = 0
    for number, size in enumerate((10, 11, 12)):
        write_tar(root / f"words-{number:02d}.tar", range(first, first + size))
        first += size
    return root


ALL = [f"word{number}" for number in range(33)]


# Order and sharing


@pytest.mark.parametrize("readers", [1, 2, 3, 4, 7, 50])
def test_every_word_is_read_once_whatever_the_number_of_readers(folder: Path, readers: int) -> None:
    parts = [
        [word.label for word in sharded(folder, rank=rank, devices=readers)]
        for rank in range(readers)
    ]
    assert sorted(label for part in parts for label in part) == sorted(ALL)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 4  # as equal as shards of unequal size allow


@pytest.mark.parametrize("workers", [0, 2])
def test_two_devices_with_worker_processes_share_all_words(folder: Path, workers: int) -> None:
    found = [
        flat(labels_of(loader(sharded(folder, rank=rank, devices=2), workers))) for rank in range(2)
    ]
    assert sorted(found[0] + found[1]) == sorted(ALL)
    assert min(map(len, found)) >= 12


def test_image_goes_with_its_label_and_the_order_with_seed_and_epoch(folder: Path) -> None:
    words = sharded(folder, seed=1)
    first, again = list(words), list(words)
    assert all(f"word{int(word.image[0])}" == word.label for word in first)
    assert [word.label for word in first] == [word.label for word in again]
    assert all(torch.equal(one.image, other.image) for one, other in zip(first, again, strict=True))
    words.set_epoch(1)
    second = list(words)
    orders = [[word.label for word in epoch] for epoch in (first, second, sharded(folder, seed=2))]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]
    random_of = {word.label: float(word.image[1]) for word in first}
    assert all(random_of[word.label] != float(word.image[1]) for word in second)


def test_what_is_random_about_a_word_does_not_depend_on_its_reader(folder: Path) -> None:
    alone = {word.label: float(word.image[1]) for word in sharded(folder)}
    shared = {
        word.label: float(word.image[1])
        for rank in range(4)
        for word in sharded(folder, rank=rank, devices=4)
    }
    assert alone == shared


def test_without_shuffling_words_come_as_stored(folder: Path) -> None:
    assert [word.label for word in sharded(folder, shuffle=False)] == ALL


# Epochs of a known size


@pytest.mark.parametrize("workers", [0, 2])
def test_any_batch_can_be_gone_on_from(folder: Path, workers: int) -> None:
    words = sharded(folder, words=33, seed=4)
    loading = loader(words, workers, persistent_workers=workers > 0)
    assert (len(words), len(loading)) == (32, 8)
    words.seek(3, 0)
    whole = list(loading)
    assert len(whole) == 8
    assert all(len(batch.labels) == 4 for batch in whole)
    for start in (3, 6):
        words.seek(3, start)
        rest = list(loading)
        assert [batch.labels for batch in rest] == [batch.labels for batch in whole[start:]]
        assert all(
            torch.equal(one.images, other.images)
            for one, other in zip(rest, whole[start:], strict=True)
        )
    words.set_epoch(3)  # as a trainer says at the start of a resumed epoch
    assert len(list(loading)) == 2
    words.set_epoch(4)
    assert labels_of(loading) != [batch.labels for batch in whole]


def test_every_device_has_as_many_full_batches(folder: Path) -> None:
    prepare = LabelPreparation(CHARSET_36, max_length=5)  # drops the two thirds above word9
    for rank in range(2):
        words = sharded(folder, words=33, rank=rank, devices=2, prepare_label=prepare)
        batches = labels_of(loader(words))
        assert [len(batch) for batch in batches] == [4] * 4
        assert set(flat(batches)) <= {f"word{number}" for number in range(10)}
        assert words.dropped["too long"] > 0


def test_sizes_are_read_from_beside_the_shards(folder: Path, tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", range(9))
    assert sharded(tmp_path).batches is None
    with pytest.raises(TypeError, match="not known"):
        len(sharded(tmp_path))
    with pytest.raises(ValueError, match="unknown size"):
        sharded(tmp_path).seek(0, 3)
    (tmp_path / SIZES).write_text(json.dumps({"a.tar": 9}))
    assert len(sharded(tmp_path)) == 8
    (tmp_path / SIZES).write_text("rubbish")
    assert sharded(tmp_path).batches is None
    for lie in (-1, 10**12):
        (tmp_path / SIZES).write_text(json.dumps({"a.tar": lie}))
        with pytest.raises(DataError, match=rf"a\.tar holds {lie} words, but it has only"):
            sharded(tmp_path)


class Noting(pl.LightningModule):
    """A model that learns nothing and notes what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[int, list[str]]] = []

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch.labels))
        return self.weight.sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings(
    "ignore:Your `IterableDataset` has `__len__` defined"
)  # and it is right, on each device
@pytest.mark.parametrize("workers", [0, 2])
def test_a_trainer_gives_every_epoch_its_order(folder: Path, tmp_path: Path, workers: int) -> None:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = pl.Trainer(accelerator="cpu", max_epochs=3, default_root_dir=tmp_path, **quiet)
    model, words = Noting(), sharded(folder, words=33)
    trainer.fit(model, loader(words, workers, persistent_workers=workers > 0))
    for epoch in range(3):
        words.seek(epoch, 0)
        assert [labels for number, labels in model.seen if number == epoch] == labels_of(
            loader(words, workers)
        )


# Damage


@pytest.mark.parametrize(
    ("workers", "start"), [(0, None), (2, None), pytest.param(2, "spawn", marks=pytest.mark.slow)]
)
def test_dropped_labels_are_counted_over_processes(
    tmp_path: Path, workers: int, start: str | None
) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, content in (
            ("1.png", encoded(1)),
            ("1.txt", b"fine"),
            ("2.png", encoded(2)),
            ("2.txt", b""),
            ("3.png", encoded(3)),
            ("3.txt", b"\xff\xfe"),
            ("4.png", encoded(4)),
            ("5.txt", b"nopicture"),
            ("6.png", encoded(6)),
            ("6.json", b'{"label": "json", "other": 3}'),
            ("7.png", encoded(7)),
            ("7.json", b'{"label": 7}'),
            ("8.png", encoded(8)),
            ("8.json", b"[" * 100_000),
            ("9.png", encoded(9)),
            ("9.txt", "日本".encode()),
            ("d/ir.ectory/10.PNG", encoded(10)),
            ("d/ir.ectory/10.txt", b"upper\r\n"),
        ):
            add(tar, name, content)
    expected = {
        "empty": 1,
        "undecodable label": 2,
        "no label": 2,
        "no image": 1,
        "outside the charset": 1,
    }
    words = sharded(tmp_path, prepare_label=LabelPreparation(CHARSET_36, max_length=9))
    batches = loader(words, workers, multiprocessing_context=start)
    assert sorted(flat(labels_of(batches))) == ["fine", "json", "upper"]
    assert words.dropped == expected


def test_a_tar_made_on_macos(tmp_path: Path) -> None:
    """It has a file of attributes before each member, between those of a sample as well."""
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(3):
            for suffix, content in (("png", encoded(number)), ("txt", f"word{number}".encode())):
                add(tar, f"d/._{number}.{suffix}", b"\0\5\x16\7\0\2\0\0Mac OS X")
                add(tar, f"d/{number}.{suffix}", content)
    found = list(read_words(str(tmp_path / "a.tar")))
    assert [(word.label, word.problem) for word in found] == [
        (f"word{number}", "") for number in range(3)
    ]


def test_unreadable_images_are_replaced_and_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for number in range(20):
            add(tar, f"{number}.png", encoded(number) if number % 4 else b"no picture")
            add(tar, f"{number}.txt", f"word{number}".encode())
    batches = list(loader(sharded(tmp_path, words=20)))
    assert [len(batch.labels) for batch in batches] == [4] * 5
    assert sum(batch.unreadable for batch in batches) >= 5
    assert not {f"word{number}" for number in range(0, 20, 4)} & set(
        flat([batch.labels for batch in batches])
    )


def test_truncated_shard_counts_as_far_as_it_goes(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (folder / "words-00.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 2])
    write_tar(tmp_path / "b.tar", range(100, 105))
    words = sharded(tmp_path)
    with caplog.at_level(logging.WARNING):
        found = {word.label for word in words}
    assert {f"word{number}" for number in range(100, 105)} < found
    assert len(found) >= 6
    assert words.dropped["truncated shard"] == 1
    assert "a.tar: it was cut short" in caplog.text
    parts = [sharded(tmp_path, rank=rank, devices=5) for rank in range(5)]
    assert {word.label for part in parts for word in part} == found
    assert sum(part.dropped["truncated shard"] for part in parts) == 1  # by one of its readers


def test_damaged_blocks_are_gone_over(folder: Path, tmp_path: Path) -> None:
    content = bytearray((folder / "words-00.tar").read_bytes())
    spot = content.index(b"000004.png")
    content[spot : spot + 1000] = b"\x07" * 1000
    (tmp_path / "a.tar").write_bytes(content)
    words = sharded(tmp_path)
    found = {word.label for word in words}
    assert {f"word{number}" for number in range(10) if number != 4} == found
    assert words.dropped["damaged"] == 1


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_ends_more_than_its_shard(folder: Path, tmp_path: Path, seed: int) -> None:
    choose = random.Random(seed)
    content = bytearray((folder / "words-01.tar").read_bytes())
    for _ in range(choose.randint(1, 30)):
        content[choose.randrange(len(content))] = choose.randrange(256)
    (tmp_path / "a.tar").write_bytes(content[: choose.randrange(len(content))])
    try:
        read = list(read_words(str(tmp_path / "a.tar")))
    except TruncatedShard:
        return
    assert all(word.problem or word.encoded for word in read)


def test_part_without_words_is_an_error_and_not_an_endless_search(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", range(2))
    words = sharded(tmp_path, words=8, prepare_label=LabelPreparation("x", max_length=3))
    with pytest.raises(ValueError, match=r"found no word .*a\.tar"):
        next(iter(words))
    write_tar(tmp_path / "a.tar", range(0))
    assert list(sharded(tmp_path)) == []


# Sources


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_all_formats_of_tar_with_long_names(tmp_path: Path, form: int) -> None:
    long = "folder/" * 20 + "x" * 90 if form != tarfile.USTAR_FORMAT else "folder/" * 20 + "x"
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        tar.addfile(tarfile.TarInfo("folder"))
        for number in range(3):
            add(
                tar,
                f"{long}{number}.jpg",
                encoded(number, "JPEG"),
                mtime=1.5 if form == tarfile.PAX_FORMAT else 1,
            )
            add(tar, f"{long}{number}.txt", f"word{number}".encode())
    found = [word for word in read_words(str(tmp_path / "a.tar")) if word.problem != "no image"]
    assert [word.label for word in found] == ["word0", "word1", "word2"]


def test_packed_shards(folder: Path, tmp_path: Path) -> None:
    packed = gzip.compress((folder / "words-00.tar").read_bytes())
    (tmp_path / "a.tar.gz").write_bytes(packed)
    assert [word.label for word in read_words(str(tmp_path / "a.tar.gz"))] == ALL[:10]
    (tmp_path / "a.tar.gz").write_bytes(packed[:-200])
    with pytest.raises(TruncatedShard):
        list(read_words(str(tmp_path / "a.tar.gz")))


class Quiet(SimpleHTTPRequestHandler):
    """A server that says nothing."""

    def log_message(self, *_: Any) -> None:
        pass


def test_shards_at_an_address(folder: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            root = f"http://127.0.0.1:{server.server_port}"
            words = ShardedWords(f"{root}/words-{{00..03}}.tar", transform=to_tensor, batch_size=4)
            assert len(words.shards) == 4
            assert sorted(word.label for word in words) == sorted(ALL)
            assert words.dropped == {"truncated shard": 1}  # the fourth is not there
        finally:
            server.shutdown()
            thread.join()


def test_names_of_shards(tmp_path: Path) -> None:
    for name in ("a-08.tar", "a-09.tar", "a-10.tar", "b.tar"):
        (tmp_path / name).write_bytes(b"")
    names = [str(tmp_path / name) for name in ("a-08.tar", "a-09.tar", "a-10.tar", "b.tar")]
    assert find_shards(str(tmp_path / "a-{08..10}.tar")) == names[:3]
    assert find_shards([str(tmp_path / "{b,a-09}.tar"), str(tmp_path / "*.tar")]) == [
        names[3],
        names[1],
        names[0],
        names[2],
    ]
    assert find_shards("http://x/{1..2}/{a,b}.tar") == [
        f"http://x/{n}/{c}.tar" for n in (1, 2) for c in "ab"
    ]
    for pattern in (str(tmp_path / "c*.tar"), str(tmp_path / "a-{10..11}.tar"), [], "a-{3..1}.tar"):
        with pytest.raises(ValueError, match="no shard"):
            find_shards(pattern)


@pytest.mark.parametrize(
    "options", [{"batch_size": 0}, {"rank": 1}, {"buffer": 0}, {"words": 1, "devices": 2}]
)
def test_numbers_out_of_range(folder: Path, options: dict[str, int]) -> None:
    with pytest.raises(
        ValueError, match=r"must be at least 1|cannot be distributed over 2 devices"
    ):
        sharded(folder, **options)


# Writing


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    write_lmdb(tmp_path / "in" / "a", [(encoded(number), f"word{number}") for number in range(7)])
    jpeg = [(encoded(number, "JPEG"), f"wörd {number}\n") for number in range(7, 10)]
    write_lmdb(tmp_path / "in" / "b", [*jpeg, (b"no picture", "x")])
    return tmp_path / "in"


def make(tree: Path, **options: Any) -> tuple[dict[str, int], Counter[str]]:
    return shard.write_shards(tree, tree.parent / "out", "w-%03d.tar", per_shard=4, **options)


def test_shards_hold_the_stored_bytes(tree: Path) -> None:
    sizes, dropped = make(tree)
    assert sizes == {"w-000.tar": 4, "w-001.tar": 4, "w-002.tar": 2}
    assert dropped == {"unreadable": 1}
    out = tree.parent / "out"
    assert json.loads((out / SIZES).read_text()) == sizes
    assert sorted(path.name for path in out.iterdir()) == [SIZES, *sizes]
    read = [word for name in sizes for word in read_words(str(out / name))]
    assert [word.encoded for word in read] == [
        encoded(number, "PNG" if number < 7 else "JPEG") for number in range(10)
    ]
    assert [word.label for word in read] == [
        *ALL[:7],
        *(f"wörd {number}" for number in range(7, 10)),
    ]
    with tarfile.open(out / "w-001.tar") as tar:
        assert tar.getnames()[-2:] == ["000000007.jpg", "000000007.txt"]
    assert len(sharded(out, batch_size=5)) == 10


def test_stopped_run_is_gone_on_with(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, original, written = tree.parent / "out", shard._write_shard, []

    def stop_at_last(path: Path, *rest: Any) -> tuple[int, Counter[str]]:
        if path.name == "w-002.tar":
            raise KeyboardInterrupt
        return original(path, *rest)

    def noted(path: Path, *rest: Any) -> tuple[int, Counter[str]]:
        written.append(path.name)
        return original(path, *rest)

    monkeypatch.setattr(shard, "_write_shard", stop_at_last)
    with pytest.raises(KeyboardInterrupt):
        make(tree)
    assert not (out / SIZES).exists()
    monkeypatch.setattr(shard, "_write_shard", noted)
    assert make(tree) == ({"w-000.tar": 4, "w-001.tar": 4, "w-002.tar": 2}, {"unreadable": 1})
    assert written == ["w-002.tar"]


def test_two_processes_do_not_write_one_folder(tree: Path) -> None:
    out = tree.parent / "out"
    out.mkdir()
    with (
        locked(out / ".shards.lock"),
        pytest.raises(ValueError, match="another process is writing shards to"),
    ):
        make(tree)
    assert make(tree)[0] == {"w-000.tar": 4, "w-001.tar": 4, "w-002.tar": 2}
    assert sorted(item.name for item in out.iterdir()) == [
        SIZES,
        "w-000.tar",
        "w-001.tar",
        "w-002.tar",
    ]


def test_a_failure_leaves_no_part_of_a_shard(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shard, "_suffix", full)
    with pytest.raises(OSError, match="No space left"):
        make(tree)
    assert [item.name for item in (tree.parent / "out").iterdir()] == [".w-03d.tar.progress"]


def test_shards_that_are_there_are_not_overwritten_unasked(tree: Path) -> None:
    make(tree)
    out = tree.parent / "out"
    write_tar(out / "w-007.tar", range(3))
    with pytest.raises(ValueError, match="already exists"):
        make(tree)
    make(tree, overwrite=True)
    assert not (out / "w-007.tar").exists()  # else it would be taken for one of these


def test_command(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    shard.add_arguments(parser)
    shard.run(
        parser.parse_args([str(tree), str(tree.parent / "o" / "w-%02d.tar"), "--per_shard", "6"])
    )
    assert "10 records kept, 1 dropped: 1 unreadable" in capsys.readouterr().out
    for output, count, message in (
        ("w.tar", "6", "one %06d"),
        ("w-%d-%d.tar", "6", "one %06d"),
        ("w-%d.tar", "0", "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            shard.run(
                parser.parse_args([str(tree), str(tree.parent / output), "--per_shard", count])
            )


# Tars that lie


def samples_of(path: Path) -> list[str]:
    found = []
    with suppress(TruncatedShard):
        for word in read_words(str(path)):
            found.append(word.label or word.problem)
    return found


def test_the_last_whole_sample_counts_though_the_end_is_missing(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "whole.tar", range(3)).read_bytes()
    end = len(whole.rstrip(b"\0"))
    last_label = whole.rindex(b"000002.txt")
    for kept, words in (
        (last_label + 1024, 3),
        (end, 3),
        (end - 1, 2),
        (last_label + 512, 2),
        (last_label, 2),
        (last_label - 600, 2),
    ):
        (tmp_path / "cut.tar").write_bytes(whole[:kept])
        assert samples_of(tmp_path / "cut.tar") == ["word0", "word1", "word2"][:words]
        with pytest.raises(TruncatedShard):
            list(read_words(str(tmp_path / "cut.tar")))


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(write_tar(tmp_path / "a.tar", range(3)).read_bytes()))
    (tmp_path / "good.tar.gz").write_bytes(packed)
    assert len(list(read_words(str(tmp_path / "good.tar.gz")))) == 3
    packed[-8] ^= 1
    (tmp_path / "bad.tar.gz").write_bytes(packed)
    assert samples_of(tmp_path / "bad.tar.gz") == ["word0", "word1", "word2"]
    with pytest.raises(TruncatedShard, match="CRC check failed"):
        list(read_words(str(tmp_path / "bad.tar.gz")))


def peak(path: Path) -> int:
    """Mebibytes that reading a tar takes at most."""
    tracemalloc.start()
    try:
        with suppress(TruncatedShard):
            for _ in read_words(str(path)):
                pass
        return tracemalloc.get_traced_memory()[1] >> 20
    finally:
        tracemalloc.stop()


def test_a_huge_header_of_names_takes_no_memory(tmp_path: Path) -> None:
    path = write_line_ends(
        tmp_path / "pax.tar.gz",
        [("x", tarfile.XHDTYPE, 40 << 20), ("a.txt", tarfile.REGTYPE, 1 << 20)],
    )
    assert peak(path) < 12
    assert samples_of(path) == ["damaged", "no image"]


def test_many_members_of_one_name_take_no_more_memory_than_two(tmp_path: Path) -> None:
    kinds = [
        "png",
        "jpg",
        "jpeg",
        "bmp",
        "gif",
        "tif",
        "tiff",
        "webp",
        "ppm",
        "pgm",
        "jp2",
        "txt",
        "json",
        "npy",
    ]
    path = write_line_ends(
        tmp_path / "same.tar.gz", [(f"a.{kind}", tarfile.REGTYPE, 8 << 20) for kind in kinds]
    )
    assert peak(path) < 40
    assert samples_of(path) == ["undecodable label"]


def test_the_buffer_is_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(tmp_path / "a.tar", range(12))
    size = len(encoded(0))
    held: list[int] = []
    monkeypatch.setattr(buffer_module, "BUFFER_BYTES", 3 * size + 40)
    words = sharded(tmp_path, buffer=100, prepare_label=str)
    for _, others in words._stream(0, 0, 1, torch.zeros(20, dtype=torch.int64)):
        held.append(sum(len(other.encoded) for other in others))
        if len(held) == 12:
            break
    assert max(held) <= 3 * size + 40
