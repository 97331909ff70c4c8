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


def test_soft_labels_are_the_likeliest_readings(tmp_path: Path, rendered: Path) -> None:
    options = ["--model", "strhub-small", "--readings", "4"]
    run(["label", str(rendered), str(tmp_path / "soft"), *options, "--min_confidence", "0.3"])
    made = LmdbWords(tmp_path / "soft", prepare_label=str)
    assert len(made) >= 8
    for index, text in enumerate(made.labels):
        (likeliest, probability), *others = made.soft_label(index)
        assert (likeliest, probability >= 0.3) == (text, True)
        assert [text for text, sure in others[:3] if 0 < sure <= probability] == [*dict(others)]


def test_labels_that_are_kept_get_half_of_the_draws_or_more(tmp_path: Path, rendered: Path) -> None:
    options = ["--model", "strhub-small", "--readings", "4", "--keep_labels"]
    run(["label", str(rendered), str(tmp_path / "soft"), *options])
    made = LmdbWords(tmp_path / "soft", prepare_label=str)
    assert made.labels == LmdbWords(rendered, prepare_label=str).labels
    for index, text in enumerate(made.labels):
        soft = dict(made.soft_label(index))
        assert soft[text] >= 0.5
        assert sum(soft.values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--readings", "0"], "from 1 to 100"),
        (["--keep_labels"], "set --readings, too"),
    ],
)
def test_what_makes_no_sense_is_said(
    tmp_path: Path, rendered: Path, options: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run(["label", str(rendered), str(tmp_path / "soft"), *options])
