"""The data module: what it finds, drops and deals out, and the order of training words."""

import logging
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from strhub.data.loading.loader import SeededBatches, collate
from strhub.data.module import SceneTextDataModule
from strhub.data.sources.dataset import Word, WordDataset
from strhub.data.sources.lmdb import write_lmdb
from strhub.data.transforms import WordTransform
from strhub.images.open import UnreadableImage, open_bytes
from strhub.images.preprocess import NORMALIZATIONS
from strhub.text import CHARSET_36, CHARSET_94

COMMON: dict[str, Any] = {
    "train_dir": "real",
    "img_size": [32, 128],
    "max_label_length": 10,
    "charset_train": CHARSET_94,
    "charset_test": CHARSET_36,
    "batch_size": 8,
}


def module(root: Path, **changes: Any) -> SceneTextDataModule:
    return SceneTextDataModule(**{**COMMON, "root_dir": root, **changes})


def test_all_sets_below_are_found_at_any_depth(word_tree: Path) -> None:
    data = module(word_tree)
    assert (len(data.train_dataset), len(data.val_dataset)) == (40, 12)
    assert data.present_test_sets(["SVT", "IC15", "IIIT5k"]) == ["SVT", "IIIT5k"]
    assert sum(len(batch.labels) for batch in data.test_dataloader("IIIT5k")) == 10
    images = next(iter(data.train_dataloader())).images
    assert images.shape == (8, 3, 32, 128)
    assert images.dtype == torch.float32


def test_dropped_labels_are_counted_and_logged_by_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = ["fine", "Straße", "中文", "", "x" * 11, "x" * 12]
    (tmp_path / "train").mkdir()
    write_lmdb(
        tmp_path / "train" / "real", [(Image.new("RGB", (20, 10)), label) for label in labels]
    )
    with caplog.at_level(logging.INFO):
        dataset = module(tmp_path).train_dataset
    assert [dataset[index].label for index in range(len(dataset))] == ["fine", "Strasse"]
    assert dataset.dropped == Counter({"too long": 2, "outside the charset": 1, "empty": 1})
    assert "2 words in 1 sets; dropped: 2 too long" in caplog.text
    wide = module(tmp_path, charset_train=CHARSET_94 + "ß中文").train_dataset
    assert [wide[index].label for index in range(len(wide))] == ["fine", "Straße", "中文"]


def test_nothing_found_says_what_was_looked_for_where(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"LMDB folders \(data.mdb\) in .*train/real and .*, but it does not exist"
    ):
        _ = module(tmp_path).train_dataset
    (tmp_path / "val").mkdir()
    with pytest.raises(
        ValueError,
        match=r"in .*val and .*labels.csv, .*gt.txt, labels.json, labels.txt, but neither is in it",
    ):
        _ = module(tmp_path).val_dataset
    (tmp_path / "train").mkdir()
    write_lmdb(tmp_path / "train" / "real", [(Image.new("RGB", (20, 10)), "中文")])
    with pytest.raises(ValueError, match="no word left to use: 1 outside the charset"):
        _ = module(tmp_path).train_dataset


def test_folders_of_images_and_lmdbs_together(tmp_path: Path) -> None:
    for part in ("train/real/shop", "val", "test/Mine"):
        (tmp_path / part / "crops").mkdir(parents=True)
        for name in ("a", "b", "c"):
            Image.new("RGB", (20, 10), (len(name), 9, 9)).save(
                tmp_path / part / "crops" / f"{name}.png"
            )
    table = (
        'filename,label\ncrops/a.png,Ann\ncrops/b.png,"Bob, jr"\n'
        "crops/c.png,中文\ncrops/d.png,gone\nbad\n"
    )
    (tmp_path / "train/real/shop/labels.csv").write_text(table, "utf-8")
    (tmp_path / "val/labels.jsonl").write_text('{"file": "crops/a.png", "text": "Ann"}\n')
    (tmp_path / "test/Mine/gt.txt").write_text(
        'crops/a.png, "Ann"\ncrops/c.png, "Cid"\ncrops/e.png, "lost"\n'
    )
    write_lmdb(
        tmp_path / "train" / "real" / "b",
        [(Image.new("RGB", (20, 10)), f"w{number}") for number in range(4)],
    )
    data = module(tmp_path, num_workers=1)
    train = data.train_dataset
    assert isinstance(train, WordDataset)
    assert [train[index].label for index in range(6)] == [f"w{number}" for number in range(4)] + [
        "Ann",
        "Bob,jr",
    ]
    assert train.dropped == Counter({"outside the charset": 1, "bad line": 1})
    batches = list(data.train_dataloader())
    assert sum(len(batch.labels) for batch in batches) == len(train) == 7, (
        "a word that is gone is replaced"
    )
    assert sum(batch.unreadable for batch in batches) >= 1
    assert [batch.labels for batch in data.val_dataloader()] == [["Ann"]]
    assert data.present_test_sets(["IIIT5k", "Mine"]) == ["Mine"]
    (batch,) = data.test_dataloader("Mine")
    assert (batch.labels, batch.lost_labels, batch.unreadable) == (["ann", "cid"], ("lost",), 1)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut short, overwritten in places, or all of it something else."""
    kind = rng.integers(3)
    if kind == 0:
        return content[: rng.integers(len(content))]
    changed = np.frombuffer(content, np.uint8).copy()
    indices = rng.integers(len(changed), size=5 if kind == 1 else len(changed))
    changed[indices] = rng.integers(256, size=len(indices))
    return changed.tobytes()


def is_readable(content: bytes) -> bool:
    try:
        open_bytes(content)
    except UnreadableImage:
        return False
    return True


def test_an_epoch_over_damaged_records_ends_and_counts_them_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    originals = []
    for _ in range(400):
        buffer = BytesIO()
        Image.fromarray(rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)).save(buffer, "PNG")
        originals.append(buffer.getvalue())
    for number in rng.choice(400, 20, replace=False):
        originals[number] = damaged(originals[number], rng)
    (tmp_path / "train").mkdir()
    write_lmdb(tmp_path / "train" / "real", [(content, "word") for content in originals])
    readable = [is_readable(content) for content in originals]
    assert 15 <= readable.count(False) <= 20, "some damage can't be seen"

    data = module(tmp_path, num_workers=2, batch_size=8)
    expected = 0
    for index, seed in (key for batch in data.train_batches() for key in batch):
        draws = np.random.default_rng([seed, index])
        while not readable[index]:
            expected, index = expected + 1, int(draws.integers(400))
    batches = list(data.train_dataloader())
    assert sum(len(batch.labels) for batch in batches) == 400
    assert sum(batch.unreadable for batch in batches) == expected >= readable.count(False)


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_give_the_same_words_however_they_start(word_tree: Path, start: str) -> None:
    alone = list(module(word_tree).train_dataloader())
    shared = list(module(word_tree, num_workers=1, worker_start=start).train_dataloader())
    assert len(alone) == 5
    for first, second in zip(alone, shared, strict=True):
        assert first.labels == second.labels
        assert torch.equal(first.images, second.images)


def test_an_epoch_takes_every_word_once_and_the_next_another_order() -> None:
    batches = SeededBatches(23, batch_size=5, seed=1)
    first = [key for batch in batches for key in batch]
    assert len(batches) == 4
    assert len({index for index, _ in first}) == 20
    batches.set_epoch(1)
    second = [key for batch in batches for key in batch]
    assert [index for index, _ in first] != [index for index, _ in second]
    assert {seed for _, seed in first}.isdisjoint({seed for _, seed in second}), (
        "augmentation differs between epochs"
    )
    batches.seek(0, 2)
    assert [key for batch in batches for key in batch] == first[10:]
    batches.set_epoch(0)
    assert [key for batch in batches for key in batch] == first[10:], "the epoch it is in already"


def test_devices_share_an_epoch_without_overlap() -> None:
    parts = [
        [
            key
            for batch in SeededBatches(40, batch_size=4, seed=1, rank=rank, devices=2)
            for key in batch
        ]
        for rank in (0, 1)
    ]
    assert len(parts[0]) == len(parts[1]) == 20
    assert not set(parts[0]) & set(parts[1])


def test_fewer_words_than_a_batch_make_a_small_batch() -> None:
    assert [len(batch) for batch in SeededBatches(3, batch_size=8, seed=0)] == [3]
    with pytest.raises(ValueError, match="cannot be distributed over 4 devices"):
        SeededBatches(3, batch_size=8, seed=0, devices=4)


def test_limited_words(word_tree: Path) -> None:
    data = module(word_tree, limit_words=8, augment=False)
    labels = [sorted(batch.labels) for batch in data.train_dataloader()]
    again = [sorted(batch.labels) for batch in data.train_dataloader()]
    assert len(labels) == 1
    assert labels == again


def test_collating_counts_unreadable_records_and_keeps_lost_labels() -> None:
    image = torch.zeros(3, 2, 2)
    batch = collate([Word(image, "a", 2), Word(None, "lost", 1), Word(image, "b", 0)])
    assert batch.images.shape == (2, 3, 2, 2)
    assert (batch.labels, batch.unreadable, batch.lost_labels) == (["a", "b"], 3, ("lost",))
    assert collate([Word(None, "x", 1)]).labels == []


def test_transform_is_resize_to_unit_range_and_normalization() -> None:
    original = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (20, 50, 3), dtype=np.uint8)
    )
    tensor = SceneTextDataModule.get_transform([32, 128])(original)
    resized = (
        np.asarray(original.resize((128, 32), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    )
    np.testing.assert_allclose(
        tensor.numpy(), ((resized - 0.5) / 0.5).transpose(2, 0, 1), atol=1e-6
    )
    clip = SceneTextDataModule.get_transform([32, 128], normalize="clip")(original)
    mean, std = NORMALIZATIONS["clip"]
    np.testing.assert_allclose(clip.numpy(), ((resized - mean) / std).transpose(2, 0, 1), atol=1e-5)


def test_rotation_augmentation_and_modes() -> None:
    original = Image.new("L", (40, 10), 200)
    assert SceneTextDataModule.get_transform((10, 40), rotation=90)(original).shape == (3, 10, 40)
    augment = SceneTextDataModule.get_transform((10, 40), augment=True)
    noisy = Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 40, 3), dtype=np.uint8))
    first, same, other = (augment(noisy, np.random.default_rng(seed)) for seed in (1, 1, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    "arguments", [{"normalize": "imagenets"}, {"img_size": (32,)}, {"img_size": (0, 5)}]
)
def test_bad_transforms(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"normalization|img_size"):
        WordTransform(**{"img_size": (32, 128), **arguments})


def test_validates_on_rendered_words_that_are_always_the_same(tmp_path: Path) -> None:
    options = {
        "render": {"words": 8, "validation": 6, "texts": {"mixture": {"number": 1.0}}},
        "augment": False,
    }
    first, again = (
        [label for batch in module(tmp_path, **options).val_dataloader() for label in batch.labels]
        for _ in range(2)
    )
    assert len(first) == 6
    assert first == again
    assert any(character.isdigit() for label in first for character in label)
    rendered = {
        label for batch in module(tmp_path, **options).train_dataloader() for label in batch.labels
    }
    assert not rendered & set(first)
