"""What the training loop may expect of every loader, and a loader of what gives the batches."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from strhub.data.loading.loader import Resumable, SeededBatches, TrainingLoader
from strhub.data.loading.restarting import OrderedBatches
from strhub.data.module import SceneTextDataModule
from strhub.data.sources.shards import ShardedWords


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A tar of 40 words."""
    path = tmp_path / "words.tar"
    noise = np.random.default_rng(0).integers(0, 255, (8, 24, 3), dtype=np.uint8)
    encoded = BytesIO()
    Image.fromarray(noise).save(encoded, "PNG")
    with tarfile.open(path, "w") as tar:
        for number in range(40):
            for suffix, content in (("png", encoded.getvalue()), ("txt", b"word%d" % number)):
                member = tarfile.TarInfo(f"{number:03}.{suffix}")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))
    return path


def test_what_gives_batches_can_begin_at_any(shard: Path) -> None:
    givers: list[Resumable] = [
        SeededBatches(40, batch_size=4, seed=1),
        SeededBatches(40, batch_size=4, seed=1, pool=3),
        OrderedBatches(40, batch_size=4),
        ShardedWords(str(shard), transform=lambda image, _: image, batch_size=4, words=40),
    ]
    for giver in givers:
        assert giver.position == (0, 0)
        giver.seek(2, 5)
        giver.set_epoch(2)
        assert giver.position == (2, 5), "an epoch that it is in already"
        giver.set_epoch(3)
        assert giver.position[0] == 3


def test_pools_begin_where_the_batch_is_that_is_due() -> None:
    plain, pooled = (SeededBatches(40, batch_size=4, seed=1, pool=pool) for pool in (1, 4))
    batches = list(plain)
    for giver in (plain, pooled):
        giver.seek(0, 6)
    assert list(plain) == batches[6:]
    assert list(pooled) == [
        [key for batch in part for key in batch] for part in (batches[4:8], batches[8:])
    ]


@pytest.mark.parametrize("kind", ["stored", "echo", "aspect", "shards"])
def test_every_loader_is_what_the_loop_expects(kind: str, word_tree: Path, shard: Path) -> None:
    options: dict[str, Any] = {
        "stored": {},
        "echo": {"echo": 2},
        "aspect": {"keep_aspect": True},
        "shards": {"shards": str(shard), "shard_words": 40},
    }[kind]
    data = SceneTextDataModule(
        word_tree,
        "real",
        (32, 128),
        25,
        "0123456789abcdefghijklmnopqrstuvwxyz",
        None,
        4,
        augment=False,
        **options,
    )
    loader: TrainingLoader = data.train_dataloader()
    assert loader.state_dict() == {}
    loader.load_state_dict({})
    first, again = ([batch.labels for batch in loader] for _ in range(2))
    assert first == again
    assert len(first) == len(loader) == data.batches_per_epoch()
    loader.sampler.set_epoch(1)
    assert [batch.labels for batch in loader] != first
