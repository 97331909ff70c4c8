"""The joint data set: items depend on their key alone, and what is unreadable is replaced, counted
and said.
"""

import logging
import multiprocessing
import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator, default_rng
from PIL import Image

from strhub.data.augment.operations import RandAugment
from strhub.data.sources.dataset import Word, WordDataset
from strhub.data.sources.labeled import LabeledWords, UnreadableRecord
from strhub.data.sources.lmdb import LmdbWords, write_lmdb


class Memory:
    """Words `<name>0`, `<name>1`, … of which some can't be read."""

    def __init__(self, name: str, size: int, bad: frozenset[int] = frozenset()) -> None:
        self.name, self.size, self.bad = name, size, bad
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return self.size

    def read(self, index: int) -> tuple[Image.Image, str]:
        assert 0 <= index < self.size
        self.reads[index] += 1
        if index in self.bad:
            raise UnreadableRecord(f"{self.name}: record {index} is torn", f"{self.name}{index}")
        return Image.new("RGB", (8, 4), (index % 256, 0, 0)), f"{self.name}{index}"


class Dropping(Memory, LabeledWords):
    def __init__(self, name: str, size: int) -> None:
        super().__init__(name, size)
        self.dropped = Counter({"too long": 2, "no label": 1})


def red(image: Image.Image, rng: Generator) -> tuple[int, float]:
    """What the image was and what randomness it was given."""
    return image.getpixel((0, 0))[0], float(rng.random())  # type: ignore[index]


def augmented(image: Image.Image, rng: Generator) -> bytes:
    return RandAugment()(image, rng).resize((16, 8)).tobytes()


def test_sources_one_after_the_other() -> None:
    dataset = WordDataset(
        [Memory("a", 3), Memory("none", 0), Memory("b", 2), Memory("none", 0)], transform=red
    )
    assert len(dataset) == 5
    assert [dataset[index].label for index in range(5)] == ["a0", "a1", "a2", "b0", "b1"]
    assert [word.image[0] for word in dataset] == [0, 1, 2, 0, 1]  # type: ignore[attr-defined]
    for index in (-1, 5):
        with pytest.raises(IndexError, match=f"no word {index}: the data set has 5"):
            dataset[index]
    with pytest.raises(IndexError):
        WordDataset([], transform=red)[0]


def test_item_is_a_function_of_its_key() -> None:
    sources = [Memory("a", 50, frozenset(range(0, 50, 3)))]
    keys = [(index, seed) for index in range(50) for seed in (0, 1, 2**62)]
    dataset = WordDataset(sources, transform=red)
    first = {key: dataset[key] for key in keys}
    copy = pickle.loads(pickle.dumps(WordDataset(sources, transform=red)))
    assert first == {key: copy[key] for key in reversed(keys)}
    assert len({word.image[1] for word in first.values()}) == len(
        keys
    )  # no two keys share their randomness
    assert all(
        dataset[index] == dataset[index, 0] == dataset[np.int64(index), np.int64(0)]
        for index in range(50)
    )


def test_global_generator_is_not_used() -> None:
    before = str(np.random.get_state())
    dataset = WordDataset([Memory("a", 9, frozenset({1, 2}))], transform=augmented)
    _ = [dataset[index, 3] for index in range(9)]
    assert str(np.random.get_state()) == before


def test_replaces_and_counts_exactly() -> None:
    source = Memory("a", 40, frozenset(range(20)))
    dataset = WordDataset([source], transform=red)
    words = [dataset[index, 7] for index in range(40)]
    assert all(word.label == f"a{word.image[0]}" and word.image[0] >= 20 for word in words)
    assert all((word.unreadable > 0) == (index < 20) for index, word in enumerate(words))
    assert sum(word.unreadable for word in words) == sum(source.reads[index] for index in range(20))
    assert [word.label for word in words[20:]] == [f"a{index}" for index in range(20, 40)]
    again = [dataset[index, 8].label for index in range(20)]
    assert again != [word.label for word in words[:20]]  # other seeds, other replacements


def test_replacements_come_from_everywhere() -> None:
    dataset = WordDataset(
        [Memory("a", 1, frozenset({0})), Memory("b", 4), Memory("c", 5)], transform=red
    )
    labels = Counter(dataset[0, seed].label for seed in range(900))
    assert set(labels) == {f"b{index}" for index in range(4)} | {f"c{index}" for index in range(5)}
    assert min(labels.values()) > 60


def test_gives_up_on_a_damaged_set() -> None:
    source = Memory("a", 4, frozenset(range(4)))
    with pytest.raises(
        ValueError, match="seems damaged: 7 records in a row were unreadable"
    ) as caught:
        WordDataset([source], transform=red, attempts=7)[2]
    assert source.reads.total() == 7
    assert "is torn. Check its files" in str(caught.value)
    assert not isinstance(caught.value, UnreadableRecord)
    assert isinstance(caught.value.__cause__, UnreadableRecord)
    with pytest.raises(ValueError, match="attempts must be at least 1, not 0"):
        WordDataset([source], transform=red, attempts=0)


def test_evaluation_does_not_replace() -> None:
    source = Memory("a", 4, frozenset({1}))
    dataset = WordDataset([source], transform=red, replace=False)
    assert dataset[1, 5] == Word(None, "a1", 1)
    assert [word.label for word in dataset] == ["a0", "a1", "a2", "a3"]  # type: ignore[attr-defined]
    assert source.reads == Counter({0: 1, 1: 2, 2: 1, 3: 1})


def test_other_errors_are_not_hidden() -> None:
    def broken(image: Image.Image, rng: Generator) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        WordDataset([Memory("a", 4)], transform=broken)[0]


def test_warns_once_a_record_and_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "strhub.data.sources.dataset")
    dataset = WordDataset([Memory("a", 100, frozenset(range(60)))], transform=red, replace=False)
    for _ in range(3):
        _ = [dataset[index] for index in range(20)]
    assert [record.getMessage() for record in caplog.records] == [
        f"unreadable record: a: record {index} is torn" for index in range(20)
    ]
    _ = [dataset[index] for index in range(100)]
    assert len(caplog.records) == 21
    assert "further ones are counted only" in caplog.records[-1].getMessage()
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_counts_labels() -> None:
    dataset = WordDataset([Dropping("a", 3), Memory("b", 2), Dropping("c", 0)], transform=red)
    assert dataset.dropped == Counter({"too long": 4, "no label": 2})


def read_key(task: tuple[WordDataset, tuple[int, int]]) -> Word:
    dataset, key = task
    return dataset[key]


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_change_nothing_and_count_exactly(tmp_path: Path, method: str) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    rng = default_rng(0)
    samples: list[tuple[bytes | Image.Image, str]] = [
        (Image.fromarray(rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)), f"w{number}")
        for number in range(30)
    ]
    bad = {3, 4, 11, 29}
    samples = [
        (rng.bytes(50) if number in bad else image, label)
        for number, (image, label) in enumerate(samples)
    ]
    for half in range(2):
        write_lmdb(tmp_path / str(half), samples[half * 15 : half * 15 + 15])
    sources = [LmdbWords(tmp_path / str(half), prepare_label=str) for half in range(2)]
    dataset = WordDataset(sources, transform=augmented)
    keys = [(index, 99) for index in range(30)]
    expected = [dataset[key] for key in keys]
    assert {index for index, word in enumerate(expected) if word.unreadable} == bad
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map(read_key, [(dataset, key) for key in keys], chunksize=2)
    assert found == expected
    assert (
        sum(word.unreadable for word in found)
        == sum(word.unreadable for word in expected)
        >= len(bad)
    )
