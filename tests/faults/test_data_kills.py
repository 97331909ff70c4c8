"""Data commands that are killed, or started twice: no record is lost or doubled, and the same
command resumes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from strhub.data.curation.stored import StoredWords
from strhub.data.sources.lmdb import write_lmdb
from strhub.data.sources.tar import read_words

pytestmark = pytest.mark.slow

COUNT = 4000


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "words"
    image = Image.new("RGB", (8, 4))
    assert write_lmdb(folder, ((image, f"word{number}") for number in range(COUNT))) == COUNT
    return folder


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "strhub.data", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def labels_of(*folders: Path) -> Counter[str | None]:
    found = Counter[str | None]()
    for folder in folders:
        words = StoredWords(folder)
        found.update(stored.text for stored in words.records(range(1, words.count + 1)))
    return found


def test_two_runs_of_shard_do_not_mix(source: Path, tmp_path: Path) -> None:
    runs = [
        start("shard", source, tmp_path / "out" / "w-%03d.tar", "--per_shard", "500")
        for _ in range(2)
    ]
    errors = [run.communicate(timeout=240)[1] for run in runs]
    assert 0 in {run.returncode for run in runs}
    for run, error in zip(runs, errors, strict=True):
        assert (
            run.returncode == 0
            or "another process is writing" in error
            or "already exists" in error
        )
    shards = sorted((tmp_path / "out").glob("*.tar"))
    assert Counter(word.label for shard in shards for word in read_words(str(shard))) == labels_of(
        source
    )


def test_a_split_killed_at_any_time_is_gone_on_with(source: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    began = time.monotonic()
    command = ("split", source, first, second, "--fraction", "0.5")
    whole = start("split", source, tmp_path / "a", tmp_path / "b", "--fraction", "0.5")
    whole.communicate(timeout=240)
    took = time.monotonic() - began
    for fraction in (0.6, 0.8, 0.95):
        run = start(*command)
        time.sleep(fraction * took)
        run.kill()
        run.communicate()
    last = start(*command)
    _, error = last.communicate(timeout=240)
    assert last.returncode == 0 or "already exists" in error, (
        error
    )  # one may have been complete before it was killed
    assert labels_of(first, second) == labels_of(source)
    assert labels_of(first) == labels_of(tmp_path / "a")
