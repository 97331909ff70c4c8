"""Soft labels: what a teacher reads, stored beside a label, and drawn from in training."""

import json
import logging
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from strhub.data.curation.reshaping import Copy
from strhub.data.curation.writer import write_words
from strhub.data.loading.held_out import split_sources
from strhub.data.sources.dataset import WordDataset
from strhub.data.sources.lmdb import LmdbWords, LmdbWriter, soft_key
from strhub.data.sources.soft_labels import draw, load_soft_label, store_soft_label
from strhub.data.synth import RenderedWords
from strhub.text import LabelPreparation

READINGS = [("cat", 0.6), ("cot", 0.3), ("c\u00e4t", 0.1)]


def jobs_of(index: int) -> "list[object]":
    image, _ = RenderedWords(charset="abc", seed=index, max_length=3).render_encoded(0)
    return [(image, "cat", READINGS)] if index % 2 == 0 else [(image, "dog")]


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    write_words(tmp_path / "words", range(4), jobs_of, fingerprint="", workers=1)  # type: ignore[arg-type]
    return tmp_path / "words"


def test_what_is_stored_comes_back() -> None:
    assert load_soft_label(store_soft_label(READINGS)) == READINGS
    assert json.loads(store_soft_label([("\u20ac", 0.123456)])) == [["\u20ac", 0.1235]]


@pytest.mark.parametrize(
    "damaged",
    [
        b"", b"{}", b"[]", b"[[]]", b'[["a"]]', b'[["a", 0]]', b'[["a", 2]]', b'[["a", NaN]]',
        b'[["a", "b"]]', b'[[1, 0.5]]', b'["a"]', b"[" * 100_000, b"\xff",
        json.dumps([["a", 0.01]] * 101).encode(), json.dumps([["a" * 70_000, 0.5]]).encode(),
    ],
)  # fmt: skip
def test_a_damaged_one_is_a_clear_error(damaged: bytes) -> None:
    with pytest.raises(ValueError, match=r"soft label|a reading is|nested|line 1|utf-8"):
        load_soft_label(damaged)


def test_readings_are_drawn_as_often_as_they_are_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = Counter(draw([("a", 0.3), ("b", 0.15), ("c", 0.15)], rng) for _ in range(4000))
    assert drawn["a"] / 4000 == pytest.approx(0.5, abs=0.03)
    assert drawn["b"] / 4000 == pytest.approx(0.25, abs=0.03)


def test_training_draws_and_evaluation_does_not(stored: Path) -> None:
    source = LmdbWords(
        stored,
        prepare_label=LabelPreparation(
            "abcdefghijklmnopqrstuvwxyz", max_length=None, fold_ascii=False
        ),
    )
    training = WordDataset([source], transform=lambda image, rng: image)
    labels = Counter(training[0, seed].label for seed in range(200))
    assert set(labels) == {"cat", "cot"}, "the charset has no \u00e4"
    assert 100 < labels["cat"] < 170
    assert training[0, 3].label == training[0, 3].label
    assert {training[1, seed].label for seed in range(20)} == {"dog"}
    testing = WordDataset([source], transform=lambda image, rng: image, replace=False)
    assert {testing[0, seed].label for seed in range(20)} == {"cat"}


def test_a_part_of_a_set_has_its_soft_labels(stored: Path) -> None:
    training, held = split_sources([LmdbWords(stored, prepare_label=str)], 0.5)
    soft = [part.soft_label(index) for part in (*training, *held) for index in range(len(part))]
    assert sorted(map(len, soft)) == [0, 0, 3, 3]


def test_a_record_without_one_is_augmented_as_ever(stored: Path) -> None:
    """Drawing takes from a word's random numbers, which other words must not notice."""
    source = LmdbWords(stored, prepare_label=str)
    numbers = WordDataset([source], transform=lambda image, rng: rng.random())
    assert numbers[1, 5].image == np.random.default_rng([5, 1]).random()


def test_a_damaged_one_is_told_once_and_the_label_used(
    stored: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LmdbWriter(stored, map_size=1 << 26, create=False) as writer:
        writer.put([(soft_key(1), b"[["), (soft_key(3), b"[]")])
    with caplog.at_level(logging.WARNING):
        source = LmdbWords(stored, prepare_label=str)
    words = WordDataset([source], transform=lambda image, rng: image)
    assert [words[index].label for index in (0, 2)] == ["cat", "cat"]
    assert "2 soft labels are left out, such as soft-000000001: " in caplog.text


def test_a_copy_has_its_soft_label(stored: Path, tmp_path: Path) -> None:
    """Merging, splitting and deduplication copy records by this."""
    write_words(
        tmp_path / "copied", [(stored, number) for number in (1, 2)], Copy(), fingerprint=""
    )
    copied = LmdbWords(tmp_path / "copied", prepare_label=str)
    assert [copied.soft_label(index) for index in (0, 1)] == [READINGS, ()]
