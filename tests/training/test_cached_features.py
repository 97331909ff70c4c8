"""A frozen encoder that is run once an image: the same losses, and a store that is of this run or
refused.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import RENDERED_RUN, SMALL, Compose
from tiny_models import CHARSET, Training, tiny_system
from torch import Tensor

from strhub import create_model
from strhub.data.loading.features import (
    FeatureLoader,
    FeatureStore,
    StoreContents,
    open_store,
)
from strhub.data.loading.loader import SeededBatches
from strhub.data.module import SceneTextDataModule
from strhub.errors import ConfigError
from strhub.training.cached_features import cache_features, compute_features
from strhub.training.fine_tuning import FineTuning
from strhub.training.run import train
from strhub.training.systems.base import System
from strhub.training.systems.parseq import PARSeq

pytestmark = pytest.mark.numeric

FROZEN = {"freeze_encoder": True}
PARSEQ: dict[str, Any] = {
    "embed_dim": 32,
    "dec_num_heads": 2,
    "max_label_length": 8,
    "dropout": 0.0,
    "charset_train": CHARSET,
}
ENCODERS: dict[str, dict[str, Any]] = {
    "vit": {"enc_num_heads": 1, "enc_depth": 1, "patch_size": [8, 8], "img_size": [32, 64]},
    "clip": {
        "encoder": "clip",
        "enc_embed_dim": 64,
        "enc_depth": 1,
        "enc_num_heads": 1,
        "patch_size": [8, 8],
        "img_size": [32, 64],
        "normalize": "clip",
    },
    "columns": {"encoder": "ppocrv6_small"},
}


def stored(system: System, data: SceneTextDataModule) -> FeatureStore:
    """The features that a run is given."""
    cache_features(system, data)
    assert data.features is not None
    return data.features


def system_of(kind: str, folder: Path, **finetune: Any) -> System:
    options = {**FROZEN, "cache_features": str(folder), **finetune}
    if kind == "light_ctc":
        return tiny_system(Training("light_ctc"), img_size=[48, 192], finetune=options)
    torch.manual_seed(0)
    hparams = create_model("parseq", **PARSEQ, **ENCODERS[kind]).hparams
    own = {"batch_size": 4, "lr": 1e-3, "warmup_pct": 0.1, "weight_decay": 0.0}
    made = PARSeq(**{**hparams, **own, "pretrained_encoder": None, "finetune": options})
    return made.train()


def words_for(system: System, **options: Any) -> SceneTextDataModule:
    """Rendered words as the system takes images."""
    hparams = system.hparams
    options = {"augment": False, "render": {"words": 12, "difficulty": 0}, **options}
    return SceneTextDataModule(
        root_dir="none",
        train_dir="rendered",
        img_size=hparams["img_size"],
        max_label_length=8,
        charset_train=CHARSET,
        batch_size=4,
        normalize=hparams.get("normalize") or "default",
        keep_aspect=bool(hparams.get("keep_aspect")),
        **options,
    )


@pytest.mark.parametrize("kind", ["vit", "clip", "columns", "light_ctc"])
def test_losses_are_those_of_the_images(kind: str, tmp_path: Path) -> None:
    """To half precision, on words of one width each: wider ones change nothing of the others."""
    system = system_of(kind, tmp_path / "features")
    data = words_for(system)
    store = stored(system, data)
    loader = data.train_dataloader()
    assert isinstance(loader, FeatureLoader)
    labels_seen: list[str] = []
    for batch in loader:
        labels_seen += batch.labels
        for row, label in zip(batch.images, batch.labels, strict=True):
            index = store.labels.index(label)
            image: Tensor = data.train_dataset[(index, 0)].image
            features, _ = store.read(index, 0)
            assert torch.equal(row[: len(features)], features)
            from_image = system.training_loss(image[None], [label])
            from_features = system.training_loss(features[None], [label])
            torch.testing.assert_close(from_features, from_image, rtol=3e-3, atol=3e-3)
    assert sorted(labels_seen) == sorted(store.labels)
    loss = system.training_loss(batch.images, batch.labels)
    loss.backward()
    learned = {name for name, one in system.named_parameters() if one.grad is not None}
    frozen = {id(one) for layer in system.encoder() for one in layer.parameters()}
    assert learned
    assert not any(id(system.get_parameter(name)) in frozen for name in learned)


def test_views_are_augmented_each_by_itself(tmp_path: Path) -> None:
    system = system_of("vit", tmp_path / "features", cache_views=3)
    data = words_for(system, augment=True)
    store = stored(system, data)
    assert (store.size, store.views, len(store.labels)) == (12, 3, 36)
    views = [store.batch([(5, seed)]).images for seed in range(24)]
    assert len({float(one.double().sum()) for one in views}) == 3
    for seed in range(3):
        image = data.train_dataset[(5, seed)].image
        (expected,) = compute_features(system.model.eval(), [image])
        assert any(torch.allclose(one[0], expected, atol=5e-3) for one in views)


def test_a_store_is_refused_for_other_weights_or_images(tmp_path: Path) -> None:
    system = system_of("vit", tmp_path / "features")
    cache_features(system, words_for(system))
    cache_features(system, words_for(system))  # found again
    with pytest.raises(ConfigError, match="the training images changed"):
        cache_features(system, words_for(system, render={"words": 12, "difficulty": 1}))
    with torch.no_grad():
        next(system.model.encoder.parameters()).add_(1e-3)
    with pytest.raises(ConfigError, match=r"the encoder's weights changed .* Remove the folder"):
        cache_features(system, words_for(system))


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    system = system_of("vit", tmp_path / "features")
    data = words_for(system)
    cache_features(system, data)
    path = tmp_path / "features" / "features.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ConfigError, match="is damaged"):
        cache_features(system, data)
    (tmp_path / "features" / "store.json").write_text("{", "utf-8")
    with pytest.raises(ConfigError, match="can be read"):
        cache_features(system, data)
    system = system_of("vit", tmp_path / "other")
    with pytest.raises(ConfigError, match=r"data\.echo must be 1"):
        cache_features(system, words_for(system, echo=2))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("store.json", lambda about: [about]),
        ("store.json", lambda about: {**about, "made_of": 3}),
        ("store.json", lambda about: {**about, "filler": {}}),
        ("store.json", lambda about: {**about, "size": None}),
        ("store.json", lambda about: {**about, "dim": float("inf")}),
        ("words.json", lambda words: {**words, "labels": 3}),
        ("words.json", lambda words: {**words, "rows": [*words["rows"][1:], "x"]}),
        ("words.json", lambda words: {**words, "rows": [-1 + sum(words["rows"]), 1]}),
        ("words.json", lambda words: {**words, "rows": [10**400]}),
    ],
)
def test_damaged_notes_of_a_store_are_told(tmp_path: Path, name: str, change: Any) -> None:
    made_of = {"encoder": "vit"}
    (tmp_path / "features.bin").write_bytes(bytes(2 * 4 * 3))
    notes = {
        "store.json": {"made_of": made_of, "size": 3, "views": 1, "dim": 4, "filler": [0.0] * 4},
        "words.json": {"labels": ["a", "b", "c"], "rows": [1, 1, 1]},
    }
    for file, content in notes.items():
        (tmp_path / file).write_text(json.dumps(content), "utf-8")
    dataset: Any = None
    contents = StoreContents(dataset, 1, lambda images: [], made_of)
    assert open_store(tmp_path, contents).read(1, 0)[1] == "b"
    (tmp_path / name).write_text(json.dumps(change(notes[name])), "utf-8")
    with pytest.raises(ConfigError, match=r"is damaged|can be read"):
        open_store(tmp_path, contents)


def test_two_at_once_make_one_store(tmp_path: Path) -> None:
    """The second waits for the first; neither leaves anything else behind."""
    made: list[FeatureStore] = []
    systems = [system_of("vit", tmp_path / "features") for _ in range(2)]

    def make(system: System) -> None:
        made.append(stored(system, words_for(system)))

    threads = [threading.Thread(target=make, args=(system,)) for system in systems]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert torch.equal(made[0].read(3, 0)[0], made[1].read(3, 0)[0])
    assert [path.name for path in tmp_path.iterdir()] == ["features"]


def test_what_fails_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    system = system_of("vit", tmp_path / "features")
    with torch.no_grad():
        next(system.model.encoder.parameters()).fill_(float("inf"))
    with pytest.raises(ConfigError, match="too large for 16 bits"):
        cache_features(system, words_for(system))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"cache_features": "x"},
        {"freeze_encoder": 10, "frozen_half": True},
        {**FROZEN, "cache_views": 2},
        {**FROZEN, "cache_features": "x", "cache_views": 0},
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"finetune\.(cache_features|cache_views|frozen_half)"):
        FineTuning.from_options(options)


def test_an_epoch_resumes_at_any_batch() -> None:
    store = FeatureStore.__new__(FeatureStore)
    store.size, store.views, store.dim = 40, 1, 1
    store.labels = [str(index) for index in range(40)]
    lengths = [1 + index % 7 for index in range(40)]
    store.ends = torch.tensor([0, *lengths]).cumsum(0).numpy()
    store._rows = torch.zeros(sum(lengths), 1).half().numpy()  # type: ignore[assignment]
    store.filler = torch.zeros(1)

    def labels(start: int) -> list[list[str]]:
        batches = SeededBatches(40, batch_size=4, seed=3, pool=4)
        batches.seek(1, start)
        return [batch.labels for batch in FeatureLoader(store, batches)]

    whole = labels(0)
    assert len(whole) == 10
    assert len({label for batch in whole for label in batch}) == 40
    for start in (1, 4, 7):
        assert labels(start) == whole[start:]


def test_a_run_without_its_encoder(compose_main: Compose, tmp_path: Path) -> None:
    """A whole run: the encoder's weights stay, the loss falls, and it validates on images."""
    config = compose_main(
        *SMALL,
        *RENDERED_RUN,
        "data.render.words=32",
        "data.render.validation=8",
        "trainer.max_epochs=2",
        "finetune.freeze_encoder=true",
        "data.augment=false",
        f"finetune.cache_features={tmp_path / 'features'}",
        "finetune.cache_views=2",
        "finetune.frozen_half=true",
    )
    metrics = train(config)
    assert min(metrics["val_loss"], metrics["loss"]) > 0
    assert FeatureStore(tmp_path / "features").views == 2


@pytest.mark.parametrize("kind", ["vit", "clip", "columns"])
def test_half_precision_is_near_and_held_in_half(kind: str, tmp_path: Path) -> None:
    """bfloat16 has 8 bits: the tokens of a ViT of one block differ by 2 % of their size at most,
    those of many convolutions by 5 %. Linear layers and convolutions are held in it, which makes no
    difference to autocast; what is saved has the type of any other model.
    """
    plain, half = (system_of(kind, tmp_path / "x", frozen_half=each) for each in (False, True))
    half.load_state_dict(plain.state_dict())
    for system in (plain, half):
        system.model.eval()
    width = 64 if kind != "columns" else 96
    height = 32 if kind != "columns" else 48
    images = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(1))
    ours, theirs = half.model.encoder(images), plain.model.encoder(images)
    assert ours.dtype == torch.float32
    assert kind == "columns" or not ours.requires_grad
    assert (ours - theirs).norm() / theirs.norm() < (0.05 if kind == "columns" else 0.02)
    state = half.model.state_dict()
    assert {one.dtype for one in state.values()} <= {torch.float32, torch.int64}
    rounded = {
        name: one
        for name, one in state.items()
        if not torch.equal(one, plain.model.state_dict()[name])
    }
    assert all(
        torch.equal(one, plain.model.state_dict()[name].bfloat16().float())
        for name, one in rounded.items()
    )
    bits = [
        sum(one.nbytes for one in system.model.encoder.parameters()) for system in (plain, half)
    ]
    assert bits[1] < 0.75 * bits[0]
