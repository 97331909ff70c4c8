"""Words placed by their letters, and the objective on the network of strhub-small."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_models import LABELS, Training, inputs, tiny_system

from strhub.clip.contrastive import ContrastiveOptions
from strhub.clip.spelling import SPELLING, SpellingFeatures
from strhub.clip.text_side import load_text_side, text_size
from strhub.clip.words import WordSpace, word_keys
from strhub.explain.retrieval import Retriever
from strhub.training.systems.light_ctc import LightCTC

pytestmark = pytest.mark.numeric

OPTIONS = {"weight": 0.5, "warmup_steps": 0, "text_weights": SPELLING}
WORDS = ["coffee", "coffe", "toffee", "hotel", "motel", "hostel", "sign", "123", "Straße"]


def test_words_that_are_spelled_alike_lie_together() -> None:
    features = SpellingFeatures()
    space = WordSpace(WORDS, features)
    torch.testing.assert_close(space.frozen.norm(dim=-1), torch.ones(len(WORDS)))
    asked = ["coffee", "Hotel", "singn"]
    keys = word_keys(asked)
    best, cosines = space.nearest(features(asked), 2, besides=keys)
    assert [space.words[int(one)] for one in best[:, 0]] == ["toffee", "motel", "sign"]
    assert float(cosines[0, 1]) > 0.5 > float(features(["coffee"]) @ features(["sign"]).T)


def test_case_is_no_difference_and_order_is_one() -> None:
    features = SpellingFeatures(64)
    same = features(["Exit", "EXIT", "exit"])
    assert torch.equal(same[0], same[2])
    assert torch.equal(same[1], same[2])
    assert float(features(["stop"]) @ features(["pots"]).T) < 0.6
    assert features([""]).abs().sum() == 0
    assert features([]).shape == (0, 64)


def test_sizes_and_the_vocabulary_need_no_weights() -> None:
    options = ContrastiveOptions(weight=1.0, nearest=3, text_weights=SPELLING)
    assert text_size(options, {}, None) == 256
    side = load_text_side(options, {}, lambda: Counter(WORDS))
    assert side.space is not None
    assert len(side.space.words) == len(WORDS)


def test_the_network_of_columns_learns_with_it() -> None:
    """In loss and gradient, its own wrong readings against it; without weight nothing is added."""
    plain, trained = (
        tiny_system(Training("light_ctc"), contrastive=options)
        for options in (None, {**OPTIONS, "nearest": 2, "own_errors": True})
    )
    assert isinstance(trained, LightCTC)
    assert trained.contrastive is not None
    trained.text_side = load_text_side(
        trained.contrastive.options, dict(trained.hparams), lambda: Counter(WORDS)
    )
    trained.log = lambda *args, **options: None  # type: ignore[method-assign, assignment]
    images = inputs(Training("light_ctc"))
    assert set(trained.state_dict()) - set(plain.state_dict()) == {
        "contrastive.log_scale",
        "contrastive.projection.weight",
    }
    loss, without = (one.training_loss(images, LABELS) for one in (trained, plain))
    assert loss.item() > without.item() > 0
    tokens = trained.model.tokens(images)
    assert len(trained.first_readings(tokens)) == len(LABELS)
    trained.zero_grad()
    trained.contrastive_loss(tokens, LABELS).backward()
    assert trained.model.encoder.neck.shortcut.weight.grad is not None
    assert trained.model.head.weight.grad is None


def test_words_are_found_by_images_of_any_width(tmp_path: Path) -> None:
    """Each as if it were alone, by a run's checkpoint of the network of columns."""
    system = tiny_system(Training("light_ctc"), contrastive=OPTIONS)
    state = {
        "state_dict": system.state_dict(),
        "hyper_parameters": dict(system.hparams),
        "pytorch-lightning_version": "2.6.0",
    }
    torch.save(state, tmp_path / "last.ckpt")
    paths = []
    for width in (30, 60):
        paths.append(tmp_path / f"{width}.png")
        Image.effect_noise((width, 24), 60).convert("RGB").save(paths[-1])
    retriever = Retriever(tmp_path / "last.ckpt", WORDS)
    together = [dict(found.words) for found in retriever(paths, count=3)]
    for path, words in zip(paths, together, strict=True):
        (alone,) = retriever([path], count=3)
        assert dict(alone.words) == pytest.approx(words, abs=1e-5)
        assert len(words) == 3
