"""Texts without images: word lists, rendered texts, batches."""

from pathlib import Path
from typing import Any

import pytest

from strhub.data.loading.loader import collate
from strhub.data.sources.texts import TextDataModule
from strhub.text import CHARSET_36, CHARSET_94


def texts(**options: Any) -> TextDataModule:
    common = {
        "root_dir": "",
        "train_dir": "",
        "img_size": [16, 32],
        "max_label_length": 8,
        "batch_size": 4,
    }
    charsets = {"charset_train": CHARSET_36, "charset_test": CHARSET_36}
    return TextDataModule(**{**common, **charsets, **options})


def listed(dataset: Any) -> list[str]:
    return [dataset[index].label for index in range(len(dataset))]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    path = tmp_path / "words.txt"
    path.write_text("".join(f"Word{number}\n" for number in range(60)), encoding="utf-8")
    return path


def test_words_of_a_list_are_brought_to_the_charset_and_split(words: Path) -> None:
    data = texts(words=words)
    assert listed(data.val_dataset) == ["word19", "word39", "word59"]
    assert len(data.train_dataset) == 57
    assert not set(listed(data.train_dataset)) & set(listed(data.val_dataset))
    assert listed(data.train_dataset)[:2] == ["word0", "word1"]


def test_another_list_is_for_validation(words: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("\ufeffCafé  two\r\n\n  three\n", encoding="utf-8")
    data = texts(words=words, val_words=other)
    assert len(data.train_dataset) == 60
    assert listed(data.val_dataset) == ["cafe", "two", "three"]
    assert listed(texts(val_words=other, render={"words": 5}).val_dataset) == [
        "cafe",
        "two",
        "three",
    ]


def test_words_that_cannot_be_used_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "words.txt"
    path.write_text("good\nfartoolongforit\n日本\n...\n" * 20, encoding="utf-8")
    with caplog.at_level("INFO", logger="strhub.data.sources.texts"):
        assert set(listed(texts(words=path).train_dataset)) == {"good"}
    assert "20 words; dropped: " in caplog.text
    for reason in ("20 too long", "20 outside the charset", "20 empty"):
        assert reason in caplog.text


def test_with_a_space_in_the_charset_a_line_is_one_text(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_text("no way\n\n in  \n", encoding="utf-8")
    data = texts(words=path, val_words=path, charset_train=CHARSET_36 + " ")
    assert listed(data.train_dataset) == ["no way", "in"]


def test_drawn_texts_are_others_each_epoch_and_the_same_again() -> None:
    data = texts(render={"words": 50}, charset_train=CHARSET_94)
    first, second = (
        [data.train_dataset[index, seed].label for index in range(50)] for seed in (1, 2)
    )
    assert first == [
        texts(render={"words": 50}, charset_train=CHARSET_94).train_dataset[index, 1].label
        for index in range(50)
    ]
    assert sum(one != other for one, other in zip(first, second, strict=True)) > 40
    assert all(0 < len(text) <= 8 for text in first)
    assert len(data.val_dataset) == 2000
    assert listed(data.val_dataset) == listed(
        texts(render={"words": 9}, seed=4, charset_train=CHARSET_94).val_dataset
    )


def test_batches_have_texts_and_empty_images(words: Path) -> None:
    data = texts(words=words, limit_words=8)
    batches = list(data.train_dataloader())
    assert [len(batch.labels) for batch in batches] == [4, 4]
    assert batches[0].images.shape == (4, 0)
    assert collate([data.val_dataset[0]]).lost_labels == ()
    assert sum(len(batch.labels) for batch in data.val_dataloader()) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "no word to use: it is empty"),
        (b"\xff\xfe\xfa", "not UTF-8"),
        ("日本\n".encode(), "no word to use: 1 outside the charset"),
        (b"only\nfew\n", "fewer than 20 usable words"),
    ],
)
def test_a_list_that_cannot_be_used_says_why(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        _ = texts(words=path).train_dataset


def test_nothing_to_train_on_and_misspelled_options() -> None:
    with pytest.raises(ValueError, match=r"set data\.words"):
        texts()
    with pytest.raises(TypeError, match="wordz"):
        texts(wordz="x")


@pytest.mark.parametrize("start", [None, pytest.param("spawn", marks=pytest.mark.slow)])
def test_worker_processes_give_the_same(start: str | None) -> None:
    alone = [batch.labels for batch in texts(render={"words": 8}).train_dataloader()]
    workers = texts(render={"words": 8}, num_workers=1, worker_start=start)
    assert [batch.labels for batch in workers.train_dataloader()] == alone
