"""Images without labels, labeled by the embedded model."""

import subprocess
import sys
from pathlib import Path

import pytest

from strhub.cli.model import run
from strhub.data.sources.lmdb import LmdbWords, write_lmdb
from strhub.data.synth import RenderedWords
from strhub.errors import CheckpointError

ROOT = Path(__file__).parent.parent.parent


def label(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "strhub", "model", "label", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = RenderedWords(
        charset="abcdefghijklmnopqrstuvwxyz", max_length=8, seed=3, difficulty=0.0
    )
    folder = tmp_path_factory.mktemp("unlabelled") / "words"
    write_lmdb(folder, [words.render(index) for index in range(12)])
    return folder


@pytest.mark.slow
def test_the_embedded_model_labels_what_it_is_sure_of(tmp_path: Path, rendered: Path) -> None:
    done = label(rendered, tmp_path / "self", "--min_confidence", "0.3")
    assert done.returncode == 0, done.stderr
    truth = [LmdbWords(rendered, prepare_label=str).read(index)[1] for index in range(12)]
    made = LmdbWords(tmp_path / "self", prepare_label=str)
    labels = [made.read(index)[1] for index in range(len(made))]
    assert len(labels) >= 8
    assert sum(text in truth for text in labels) >= len(labels) - 2


def test_what_cannot_be_loaded_is_said(tmp_path: Path, rendered: Path) -> None:
    (tmp_path / "bad.ckpt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"bad\.ckpt"):
        run(["label", str(rendered), str(tmp_path / "self"), "--model", str(tmp_path / "bad.ckpt")])
