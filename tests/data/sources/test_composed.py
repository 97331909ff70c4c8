"""Lines composed of word images."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from strhub.data.module import SceneTextDataModule
from strhub.data.sources.composed import (
    FEWEST,
    MOST,
    ComposedLines,
    compose,
    ground_of,
    is_vertical,
)
from strhub.data.sources.dataset import Word, WordDataset
from strhub.data.sources.lmdb import write_lmdb


class Words:
    """Words of one color, the fifth one standing on end."""

    def __len__(self) -> int:
        return 5

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Word]:
        sizes = {4: (10, 40)}
        return [
            Word(Image.new("RGB", sizes.get(index, (60, 30)), (40 * index, 0, 0)), f"w{index}", 0)
            for index, _ in keys
        ]


def as_it_is(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image


def lines(max_length: int = 100) -> ComposedLines:
    return ComposedLines(Words(), size=50, max_length=max_length, transform=as_it_is)


def test_a_line_is_its_words_in_a_row() -> None:
    found = [lines()[index, 3] for index in range(40)]
    counts = {len(word.label.split(" ")) for word in found}
    assert counts == set(range(FEWEST, MOST + 1))
    for word in found:
        count = len(word.label.split(" "))
        assert word.image.height == 30
        assert word.image.width > 60 * count + (count - 1)  # there is room between them
        assert "w4" not in word.label


def test_an_item_depends_on_its_key_alone() -> None:
    one, other = lines(), lines()
    together = one.__getitems__([(2, 7), (5, 7)])
    assert [word.label for word in together] == [other[2, 7].label, other[5, 7].label]
    assert together[1].image.tobytes() == other[5, 7].image.tobytes()
    assert len({one[index, 8].label for index in range(20)}) > 10


def test_a_line_is_no_longer_than_it_may_be() -> None:
    assert max(len(lines(max_length=8)[index, 1].label) for index in range(30)) == 8
    assert all(
        len(lines(max_length=1)[index, 1].label) == 2 for index in range(5)
    )  # a word at least


def test_grounds_meet() -> None:
    """A word on another ground is brought to the first one's, or stays; between two the color
    fades.
    """
    white, black = (
        Image.new("RGB", (60, 30), (255, 255, 255)),
        Image.new("RGB", (60, 30), (20, 20, 20)),
    )
    lasts = set()
    for seed in range(12):
        pixels = np.asarray(compose([white, black], np.random.default_rng(seed)))
        lasts.add(int(pixels[:, -5:].mean()))
    assert lasts == {255, 20}
    assert tuple(ground_of(np.asarray(black, dtype=np.float32))) == (20, 20, 20)


@pytest.mark.parametrize(
    ("size", "label", "on_end"),
    [((10, 16), "ab", True), ((10, 16), "a", False), ((10, 15), "ab", False)],
)
def test_what_stands_on_end(size: tuple[int, int], label: str, on_end: bool) -> None:
    assert is_vertical(Image.new("RGB", size), label) is on_end


class Tall:
    def __len__(self) -> int:
        return 4

    def read(self, index: int) -> tuple[Image.Image, str]:
        return Image.new("RGB", (10, 40) if index < 2 else (40, 10)), f"n{index}"


def test_words_that_stand_on_end_are_replaced_and_not_counted() -> None:
    words = WordDataset([Tall()], transform=as_it_is, refuse=is_vertical)
    found = [words[index, 1] for index in range(4)]
    assert {word.label for word in found} == {"n2", "n3"}
    assert sum(word.unreadable for word in found) == 0
    kept = WordDataset([Tall()], transform=as_it_is, replace=False, refuse=is_vertical)
    assert kept[0].label == "n0"  # what is measured stays as it is


def test_a_data_set_of_nothing_else_says_so() -> None:
    words = WordDataset([Tall()], transform=as_it_is, refuse=lambda image, label: True, attempts=5)
    with pytest.raises(ValueError, match="drop_tall"):
        words[0]


def test_lines_in_a_mixture(tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_lmdb(tmp_path / "train" / "real", [(Image.new("RGB", (60, 30)), "word")] * 3)

    def module(mixture: dict[str, float]) -> SceneTextDataModule:
        return SceneTextDataModule(
            tmp_path,
            "",
            [48, 640],
            100,
            "word ",
            keep_aspect=True,
            augment=False,
            mixture=mixture,
            mixture_size=8,
        )

    dataset = module({"real": 0.5, "lines": 0.5}).train_dataset
    labels = {dataset[index, 1].label for index in range(8)}
    assert "word" in labels
    assert any(label.startswith("word word") for label in labels)
    with pytest.raises(ValueError, match="no folder of words beside it"):
        _ = module({"lines": 1.0}).train_dataset
