"""Inspection of sets of any kind: LMDB, labeled images, tar shards."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from strhub.cli.data import run
from strhub.data.curation.inspection import inspect
from strhub.data.curation.stored import StoredShard, open_stored
from strhub.data.sources.lmdb import write_lmdb

WORDS = ("Exit", "Hotel", "24h", "Exit")


def encoded(word: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8 * len(word), 12), (len(word) * 20, ord(word[0]), 90)).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(folder: Path) -> Path:
    folder.mkdir()
    lines = ["path,label"]
    for number, word in enumerate(WORDS):
        (folder / f"{number}.png").write_bytes(encoded(word))
        lines.append(f"{number}.png,{word}")
    (folder / "labels.csv").write_text("\n".join([*lines, "gone.png,lost", ""]))
    return folder


def write_tar(path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        for number, word in enumerate(WORDS):
            for suffix, content in (("png", encoded(word)), ("txt", word.encode())):
                info = tarfile.TarInfo(f"{number:06d}.{suffix}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def test_folders_and_shards_are_inspected_as_lmdbs_are(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    write_folder(tree / "folder")
    write_tar(tree / "words.tar")
    write_lmdb(tree / "lmdb", [(encoded(word), word) for word in WORDS])
    report = inspect(tree, tree / "lmdb", charset="0123456789abcdefghijklmnopqrstuvwxyz")
    assert [Path(one["path"]).name for one in report["sets"]] == ["lmdb", "labels.csv", "words.tar"]
    assert [one["records"] for one in report["sets"]] == [4, 5, 4]
    assert [one["readable"] for one in report["sets"]] == [4, 4, 4]
    assert report["sets"][1]["problems"] == [
        {"number": 5, "problem": "gone.png: No such file or directory"}
    ]
    for one in report["sets"]:
        assert [sample["label"] for sample in one["samples"]] == list(WORDS)
        assert one["duplicates"]["same_pixels"] == 1
    assert report["overlap"]["records_of_other"] == 4
    assert report["total"]["formats"] == {"PNG": 12}


def test_the_command_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar, page = write_tar(tmp_path / "words.tar"), tmp_path / "page.html"
    found = tmp_path / "found.json"
    run(["inspect", str(tar), "--json", str(found), "--html", str(page), "--workers", "1"])
    assert "words.tar" in capsys.readouterr().out
    assert json.loads(found.read_text())["total"]["records"] == 4
    assert page.read_text().count("data:image/png") > 4


def test_records_by_number_and_what_is_cut_short(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "words.tar")
    shard = open_stored(tar)
    assert [record.text for record in shard.records([2, 4])] == ["Hotel", "Exit"]
    assert [record.encoded for record in shard.records([3])] == [encoded("24h")]
    tar.write_bytes(tar.read_bytes()[: 5 * 2 * 1024 // 2])
    cut = StoredShard(tar)
    assert 1 <= cut.count < 4
    assert "cut short" in cut.remark
    (tmp_path / "empty.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"empty\.tar"):
        StoredShard(tmp_path / "empty.tar")
    with pytest.raises(ValueError, match="no LMDB folder, labeled folder or tar"):
        inspect(tmp_path / "nowhere", charset="abc")
