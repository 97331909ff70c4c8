"""Several training sets in fixed shares."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from strhub.data.module import SceneTextDataModule
from strhub.data.sources.dataset import Word
from strhub.data.sources.mixture import Mixture


class Numbered:
    """Items that say where they are from."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Word]:
        return [Word(None, f"{self.name}{index}", 0) for index, _ in keys]


SETS = {"a": Numbered("a", 3), "b": Numbered("b", 1000), "c": Numbered("c", 10)}


def test_shares_hold_whatever_the_sizes() -> None:
    mixture = Mixture(SETS, {"a": 3, "b": 1, "c": 0}, size=4000)
    labels = [mixture[index, 5].label for index in range(len(mixture))]
    counts = Counter(label[0] for label in labels)
    assert set(counts) == {"a", "b"}
    assert 0.72 < counts["a"] / 4000 < 0.78
    assert {label for label in labels if label[0] == "a"} == {"a0", "a1", "a2"}


def test_an_item_depends_on_its_key_alone() -> None:
    first, second = (Mixture(SETS, {"a": 1, "b": 1, "c": 1}, size=100) for _ in range(2))
    forwards = [first[index, 7].label for index in range(100)]
    assert forwards == [second[index, 7].label for index in reversed(range(100))][::-1]
    assert forwards == [
        word.label for word in first.__getitems__([(index, 7) for index in range(100)])
    ]
    assert forwards != [first[index, 8].label for index in range(100)]


@pytest.mark.parametrize(
    ("fractions", "size", "message"),
    [
        ({"a": 1, "b": 1}, 10, "fractions of"),
        ({"a": 1, "b": -1, "c": 1}, 10, "fractions must be at least 0"),
        ({"a": 0, "b": 0, "c": 0}, 10, "not all 0"),
        ({"a": 1, "b": float("nan"), "c": 1}, 10, "fractions must be at least 0"),
        ({"a": 1, "b": 1, "c": 1}, 0, "at least 1 word"),
    ],
)
def test_impossible_mixtures(fractions: dict[str, float], size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixture(SETS, fractions, size=size)


def test_the_data_module_mixes_folders_and_rendered_words(word_tree: Path) -> None:
    data = SceneTextDataModule(
        root_dir=word_tree,
        train_dir="",
        img_size=(32, 128),
        max_label_length=25,
        batch_size=4,
        charset_train="abcdefghijklmnopqrstuvwxyz0123456789",
        charset_test="0123456789abcdefghijklmnopqrstuvwxyz",
        mixture={"real": 1, "rendered": 1},
        mixture_size=40,
        render={"difficulty": [0, 0.2], "max_length": 9, "augment": False},
    )
    labels = {data.train_dataset[index, 3].label for index in range(40)}
    photographed = {word for source in data._read("real").sources for word in source.labels}
    assert labels & photographed
    assert labels - photographed
    assert data.train_dataset[0, 3].image.shape == (3, 32, 128)


def test_a_folder_that_is_not_there(word_tree: Path) -> None:
    data = SceneTextDataModule(
        root_dir=word_tree,
        train_dir="",
        img_size=(32, 128),
        max_label_length=25,
        batch_size=4,
        charset_train="abc",
        charset_test="abc",
        mixture={"reel": 1, "rendered": 1},
    )
    with pytest.raises(ValueError, match="reel"):
        data.train_dataset  # noqa: B018 (reading it is the test)
