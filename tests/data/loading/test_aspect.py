"""Images that keep their aspect: widths, padding, batches of like widths that can be resumed,
reading in order.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from strhub import Recognizer
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.data.loading.aspect import (
    POOL,
    AspectLoader,
    AspectTransform,
    collate_kept,
)
from strhub.data.loading.loader import Batch, SeededBatches
from strhub.data.module import SceneTextDataModule
from strhub.data.sources.dataset import Word, WordDataset
from strhub.images.padding import BUCKET, pad
from strhub.images.preprocess import (
    COLUMN,
    NORMALIZATIONS,
    image_to_kept_array,
    image_to_resized_array,
    kept_width,
)
from strhub.text import CHARSET_36

SMALL = {
    "architecture": "svtr",
    "name": "svtr-test",
    "charset_train": CHARSET_36,
    "charset_test": CHARSET_36,
    "normalize": "default",
    "keep_aspect": True,
    "max_label_length": 40,
    "img_size": [32, 256],
    "embed_dims": [16, 16, 32],
    "depths": [1, 1, 1],
    "num_heads": [1, 1, 1],
    "local_depth": 1,
    "height_strides": [2, 2],
    "mlp_ratio": 2,
}


def noise(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng([width, height])
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 32), 64),
        ((100, 20), 160),
        ((101, 20), 160),
        ((104, 20), 168),
        ((3, 90), 32),
        ((90, 1), 512),
        ((1, 1), 32),
    ],
)
def test_the_width_follows_the_aspect_in_columns_between_a_square_and_the_greatest(
    size: tuple[int, int], expected: int
) -> None:
    assert kept_width(size, [32, 512]) == expected


def test_aspects_are_kept_to_within_half_a_column() -> None:
    for width in range(50, 2000, 7):
        assert abs(kept_width((width, 50), [32, 4096]) - 32 * width / 50) <= COLUMN / 2


def test_a_image_is_resized_as_by_the_usual_transform() -> None:
    original = noise(100, 20)
    expected = image_to_resized_array(original, (32, 160), NORMALIZATIONS["default"])
    assert np.array_equal(
        image_to_kept_array(original, [32, 512], NORMALIZATIONS["default"]), expected
    )
    assert np.array_equal(AspectTransform([32, 512])(original).numpy(), expected)


def test_the_width_is_that_of_the_augmented_image() -> None:
    def cut(original: Image.Image, rng: np.random.Generator) -> Image.Image:
        return original.crop((0, 0, int(rng.integers(20, 90)), original.height))

    transform = AspectTransform([32, 512], augment=cut)
    widths = {transform(noise(100, 20), np.random.default_rng(seed)).shape[-1] for seed in range(8)}
    assert len(widths) > 3
    turned = AspectTransform([32, 512], rotation=90)(noise(20, 100))
    assert turned.shape == (3, 32, 160)
    augmented = AspectTransform([32, 512], augment=True)
    again = [augmented(noise(100, 20), np.random.default_rng(3)) for _ in range(2)]
    assert torch.equal(*again)
    assert augmented.batch([noise(100, 20), noise(50, 20)], [np.random.default_rng(3)] * 2).shape[
        :3
    ] == (2, 3, 32)


@pytest.mark.parametrize("img_size", [[32, 130], [30, 128], [32, 16]])
def test_sizes_that_are_no_columns_are_refused(img_size: list[int]) -> None:
    with pytest.raises(ValueError, match="height, greatest width"):
        AspectTransform(img_size)


def test_padding_is_no_color_and_reaches_a_bucket() -> None:
    images = [torch.ones(3, 32, 40), torch.ones(3, 32, 68)]
    batch = pad(images)
    assert batch.shape == (2, 3, 32, 80)
    assert [int((~image[0, 0].isnan()).sum()) for image in batch] == [40, 68]
    assert batch.shape[-1] % BUCKET == 0
    assert pad(images[:1]).shape == (1, 3, 32, 40)


def test_unreadable_words_are_counted() -> None:
    words = [
        Word(torch.ones(3, 32, 40), "a", 2),
        Word(None, "lost", 1),
        Word(torch.ones(3, 32, 64), "b", 0),
    ]
    batch = collate_kept(words)
    assert (batch.images.shape, batch.labels) == ((2, 3, 32, 64), ["a", "b"])
    assert (batch.unreadable, batch.lost_labels) == (3, ("lost",))
    assert collate_kept(words[1:2]).labels == []


class Widths:
    """Words whose widths vary by chance."""

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, key: tuple[int, int]) -> Word:
        rng = np.random.default_rng(key)
        return Word(
            torch.full((3, 4, COLUMN * int(rng.integers(8, 128))), float(key[0])), f"{key[0]}", 0
        )


def loader(
    *, epoch: int = 0, start: int = 0, workers: int = 0, rank: int = 0, devices: int = 1
) -> AspectLoader:
    batches = SeededBatches(1000, batch_size=12, seed=5, rank=rank, devices=devices, pool=POOL)
    batches.seek(epoch, start)
    return AspectLoader(Widths(), batch_sampler=batches, num_workers=workers)


def same(one: Sequence[Batch], other: Sequence[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.labels == b.labels and torch.equal(a.images.nan_to_num(-1), b.images.nan_to_num(-1))
        for a, b in zip(one, other, strict=True)
    )


def test_an_epoch_has_the_words_of_the_usual_one_in_as_many_batches() -> None:
    batches = list(loader())
    usual = SeededBatches(1000, batch_size=12, seed=5)
    assert len(batches) == len(loader()) == len(usual) == 83
    assert all(len(batch.labels) == 12 for batch in batches)
    expected = sorted(str(index) for keys in usual for index, _ in keys)
    assert sorted(label for batch in batches for label in batch.labels) == expected


def test_words_of_a_batch_have_like_widths_and_batches_come_in_any_order() -> None:
    batches = list(loader())
    fraction = np.mean([batch.images.isnan().float().mean() for batch in batches])
    together = np.mean(
        [
            pad([Widths()[key].image for key in keys]).isnan().float().mean()
            for keys in SeededBatches(1000, batch_size=12, seed=5)
        ]
    )
    assert fraction < together / 2
    widths = [batch.images.shape[-1] for batch in batches]
    assert widths[:POOL] != sorted(widths[:POOL])


class WideAndNarrow:
    """Every second image is eight times as wide as the others."""

    def __len__(self) -> int:
        return 2 * POOL

    def read(self, index: int) -> tuple[Image.Image, str]:
        return noise((20, 160)[index % 2], 20), str(index)


def test_images_that_were_transformed_together_are_told_apart_by_their_own_widths() -> None:
    dataset = WordDataset([WideAndNarrow()], transform=AspectTransform([32, 256]))
    loader = AspectLoader(
        dataset, batch_sampler=SeededBatches(len(dataset), batch_size=2, seed=0, pool=POOL)
    )  # type: ignore[arg-type]
    widths = sorted(batch.images.shape[-1] for batch in loader)
    assert widths == [32] * (POOL // 2) + [256] * (POOL // 2)


@pytest.mark.parametrize("start", [0, 3, 8, 17, 82])
def test_a_run_goes_on_from_any_batch(start: int) -> None:
    assert same(list(loader(epoch=2, start=start)), list(loader(epoch=2))[start:])


def test_epochs_differ_and_worker_processes_change_nothing() -> None:
    first = list(loader(epoch=1, start=60))
    assert same(list(loader(epoch=1, start=60, workers=2)), first)
    assert not same(list(loader(epoch=2, start=60)), first)


def test_the_next_epoch_begins_at_its_first_batch() -> None:
    batches = loader(epoch=1, start=70)
    assert len(list(batches)) == 13
    batches.batches.set_epoch(2)
    assert same(list(batches), list(loader(epoch=2)))


def test_devices_share_the_words() -> None:
    parts = [list(loader(rank=rank, devices=2)) for rank in range(2)]
    assert [len(part) for part in parts] == [41, 41]
    assert len({label for part in parts for batch in part for label in batch.labels}) == 2 * 41 * 12
    widths = np.array([[batch.images.shape[-1] for batch in part] for part in parts])
    assert np.corrcoef(widths)[0, 1] > 0.9


def test_the_data_module_keeps_the_aspect_everywhere(word_tree: Path) -> None:
    options: dict[str, Any] = {
        "train_dir": "real",
        "img_size": [32, 512],
        "max_label_length": 10,
        "charset_train": CHARSET_36,
        "charset_test": CHARSET_36,
        "batch_size": 4,
        "keep_aspect": True,
        "augment": False,
    }
    data = SceneTextDataModule(root_dir=word_tree, **options)
    sets = {
        "train": data.train_dataloader(),
        "val": data.val_dataloader(),
        "test": data.test_dataloader("IIIT5k"),
    }
    for name, words in sets.items():
        batches = list(words)
        assert len({batch.images.shape[-1] for batch in batches}) > 1, name
        assert all(batch.images.shape[1:3] == (3, 32) for batch in batches), name
    assert isinstance(sets["train"], AspectLoader)
    rendered = SceneTextDataModule(root_dir=word_tree, **options, render={"words": 40})
    assert sum(len(batch.labels) for batch in rendered.train_dataloader()) == 40


def test_readings_of_unlike_widths_come_in_the_order_of_the_images() -> None:
    torch.manual_seed(0)
    model = SceneTextModel(SMALL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    recognizer = Recognizer(model, device="cpu", batch_size=5)
    originals = [noise(width, 30) for width in (40, 200, 41, 90, 300, 30, 400, 95)]
    readings = recognizer([*originals[:3], None, *originals[3:]])
    assert readings.pop(3).error is not None
    alone = [recognizer(original)[0] for original in originals]
    assert [reading.text for reading in readings] == [reading.text for reading in alone]
    assert len({reading.text for reading in readings}) > 4
    for reading, single in zip(readings, alone, strict=True):
        assert reading.confidence == pytest.approx(single.confidence, rel=1e-3)
