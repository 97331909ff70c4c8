"""The contrastive objective: what it pulls together, what it must not push apart, and what has
gradient.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from clip_support import small_clip
from torch import Tensor
from torch.nn import functional as F

from strhub.checkpoint.zoo import create_model
from strhub.clip.contrastive import Contrastive, ContrastiveOptions, Negatives
from strhub.clip.gather import RowGatherer
from strhub.clip.text_side import load_text_side, read_words
from strhub.clip.tokenizer import load_tokenizer
from strhub.clip.weights import read_clip
from strhub.clip.words import WordFeatures, WordSpace, word_keys
from strhub.training.systems.parseq import PARSeq

pytestmark = pytest.mark.numeric

DIM = 32


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def features(clip_path: Path) -> WordFeatures:
    return WordFeatures(
        read_clip(clip_path).text_tower("quick_gelu"), load_tokenizer(None, vocab_size=514)
    )


def objective(**options: Any) -> Contrastive:
    torch.manual_seed(0)
    parsed = ContrastiveOptions(weight=1.0, **options)
    return Contrastive(parsed, image_dim=DIM, text_dim=DIM, class_token=True)


def directions(count: int, seed: int = 1) -> Tensor:
    return F.normalize(
        torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1
    )


def system(clip_path: Path, **contrastive: Any) -> PARSeq:
    hparams = create_model(
        "parseq",
        encoder="clip",
        enc_embed_dim=64,
        enc_depth=2,
        enc_num_heads=1,
        embed_dim=DIM,
        dec_num_heads=2,
        patch_size=[8, 8],
        img_size=[32, 32],
        normalize="clip",
        max_label_length=8,
        dropout=0.0,
    ).hparams
    options = {**hparams, "contrastive": {"weight": 1.0, "warmup_steps": 0, **contrastive}}
    made = PARSeq(**options, pretrained_encoder=str(clip_path)).train()
    made.load_initial_weights()
    assert made.contrastive is not None
    words = Counter(["hat", "cat", "Cat", "dog", "mouse", "CHAT"])
    made.text_side = load_text_side(made.contrastive.options, dict(made.hparams), lambda: words)
    return made


def image(count: int) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(5)) * 2 - 1


def test_the_loss_is_that_of_the_paper() -> None:
    images, texts, labels = directions(4), directions(4, 2), ["one", "two", "three", "four"]
    contrastive = objective(temperature=0.1)
    loss = contrastive.loss(images, texts, labels, None, RowGatherer(4, images.device))
    logits = 10 * images @ texts.T
    by_hand = (logits.log_softmax(1).diag() + logits.log_softmax(0).diag()).mean() / -2
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_words_equal_but_for_case_do_not_push_each_other_away() -> None:
    images, texts = directions(4), directions(4, 2)
    contrastive = objective()

    def loss(labels: list[str]) -> Tensor:
        return contrastive.loss(images, texts, labels, None, RowGatherer(4, images.device))

    images.requires_grad_()
    masked = loss(["Sale", "two", "SALE", "four"])
    (gradient,) = torch.autograd.grad(masked, images)
    # Row 0 without word 2 and image 2, computed by leaving them out.
    scale = contrastive.log_scale.exp()
    logits = (scale * images @ texts.T).detach()
    for first, second in ((0, 2), (2, 0)):
        logits[first, second] = -torch.inf
    expected = (logits.log_softmax(1).diag() + logits.log_softmax(0).diag()).mean() / -2
    assert masked.item() == pytest.approx(expected.item(), rel=1e-5)
    assert masked < loss(["Sale", "two", "Sales", "four"]), "another word is a negative"
    assert gradient.isfinite().all()
    assert loss(["a", "A", "a", "A"]).item() == 0.0, "no negative is left"


def test_own_errors_count_only_where_the_reading_is_wrong(features: WordFeatures) -> None:
    contrastive = objective(own_errors=True)
    labels, read = ["cat", "Dog", "mouse", "horse"], ["cut", "dOG", "", "house"]
    texts = contrastive.text_directions(features(labels))
    negatives = contrastive.negatives(labels, texts, features, None, read)
    assert negatives is not None
    assert negatives.hidden.squeeze(1).tolist() == [False, True, True, False]
    expected = F.normalize(features(["cut"]), dim=-1)
    torch.testing.assert_close(negatives.directions[0], expected)
    images = directions(4)
    gatherer = RowGatherer(4, images.device)
    with_all = contrastive.loss(images, texts, labels, negatives, gatherer)
    none = Negatives(negatives.directions, torch.ones_like(negatives.hidden))
    assert contrastive.loss(images, texts, labels, none, gatherer) == contrastive.loss(
        images, texts, labels, None, gatherer
    )
    assert with_all > contrastive.loss(images, texts, labels, None, gatherer)


def test_nearest_words_are_near_and_not_the_label(features: WordFeatures) -> None:
    space = WordSpace(["hat", "cat", "Cat", "", "dog", "mouse", "CHAT"], features)
    assert space.words == ["hat", "cat", "dog", "mouse", "CHAT"]
    texts = F.normalize(features(["CAT", "zebra"]), dim=-1)
    indexes, cosines = space.nearest(texts, 2, besides=word_keys(["CAT", "zebra"]))
    assert "cat" not in [space.words[index] for index in indexes[0]]
    everything = texts @ F.normalize(features(space.words), dim=-1).T
    assert cosines[1].tolist() == pytest.approx(everything[1].topk(2).values.tolist())
    best, _ = space.nearest(F.normalize(features(["mouse"]), dim=-1), 1)
    assert space.words[int(best)] == "mouse", "retrieval may find the word itself"
    # With fewer words than are asked for, what fills the place does not count.
    contrastive = objective(nearest=9)
    negatives = contrastive.negatives(["cat"], texts[:1], features, space, [])
    assert negatives is not None
    assert negatives.hidden[0].tolist() == [False] * 4 + [True]


def test_the_gradient_reaches_encoder_and_projection_and_not_the_text_tower(
    clip_path: Path,
) -> None:
    made = system(clip_path, nearest=2, own_errors=True, adapter=8)
    assert made.text_side is not None
    assert made.contrastive is not None
    torch.nn.init.normal_(made.contrastive.adapter.fc2.weight)  # type: ignore[union-attr, arg-type]
    made.contrastive_loss(made.model.encoder(image(3)), ["cat", "hat", "dog"]).backward()
    encoder = made.model.encoder
    reached = {
        name
        for name, p in encoder.named_parameters()
        if p.grad is not None and p.grad.abs().max() > 0
    }
    assert {
        "projection.weight",
        "cls_token",
        "pos_embed",
        "patch_embed.proj.weight",
        "norm.weight",
    } <= reached
    assert {name for name, _ in encoder.named_parameters()} - reached == set()
    assert made.contrastive.log_scale.grad is not None
    assert made.contrastive.adapter.fc1.weight.grad.abs().max() > 0  # type: ignore[union-attr]
    tower = made.text_side.features.tower
    assert all(p.grad is None and not p.requires_grad for p in tower.parameters())
    assert not tower.training
    assert all(p.grad is None for p in made.model.decoder.parameters()), (
        "own errors are read without gradient"
    )
    placing = made.contrastive.placing
    assert placing is not None
    assert all(p.grad is None for p in placing.parameters())


def test_the_first_loss_never_shrinks_and_the_second_warms_up(clip_path: Path) -> None:
    made = system(clip_path, weight=0.5, warmup_steps=4)
    images, labels = image(3), ["cat", "hat", "dog"]
    made.log = lambda *arguments, **options: None  # type: ignore[method-assign, assignment]
    encoded = made.model.encoder(images)
    second = made.contrastive_loss(encoded, labels).item()
    made.contrastive, kept = None, made.contrastive
    first = made.training_loss(images, labels).item()
    made.contrastive = kept
    for step, weight in ((0, 0.25), (1, 0.5), (3, 1.0), (100, 1.0)):
        made.step = step
        total = made.training_loss(images, labels).item()
        assert total == pytest.approx(first + 0.5 * weight * second, rel=1e-5)


def test_it_learns_to_find_the_word(clip_path: Path) -> None:
    made = system(clip_path, own_errors=True, nearest=2)
    images, labels = image(6), ["cat", "hat", "dog", "mouse", "chat", "Cat"]
    optimizer = torch.optim.AdamW(made.model.encoder.parameters(), lr=1e-3)
    losses = []
    for _ in range(15):
        loss = made.contrastive_loss(made.model.encoder(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_in_half_precision_the_loss_is_in_float32(clip_path: Path) -> None:
    made = system(clip_path, nearest=2, own_errors=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encoded = made.model.encoder(image(3))
        loss = made.contrastive_loss(encoded, ["cat", "hat", "dog"])
    assert encoded.dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    full = made.contrastive_loss(made.model.encoder(image(3)), ["cat", "hat", "dog"])
    assert loss.item() == pytest.approx(full.item(), rel=0.05)


def test_parseqs_own_encoder_gets_a_projection(clip_path: Path) -> None:
    hparams = create_model(
        "parseq-tiny", embed_dim=48, enc_num_heads=1, enc_depth=1, dec_num_heads=2
    ).hparams
    made = PARSeq(**{**hparams, "contrastive": {"weight": 1.0, "text_weights": str(clip_path)}})
    assert made.contrastive is not None
    assert made.contrastive.projection is not None
    assert made.contrastive.projection.weight.shape == (32, 48)
    directions = made.contrastive.image_directions(torch.ones(2, 5, 48))
    assert directions.shape == (2, 32)
    with pytest.raises(ValueError, match=r"contrastive\.text_weights"):
        PARSeq(**{**hparams, "contrastive": {"weight": 1.0}})


def test_features_are_kept_by_word_and_no_more_than_so_many(features: WordFeatures) -> None:
    counted: list[int] = []
    compute = features.compute
    features.compute = lambda words: counted.append(len(words)) or compute(words)  # type: ignore
    features.kept = 3
    first = features(["a", "b", "a"])
    assert torch.equal(first[0], first[2])
    again = features(["b", "c", "d", "e"])
    assert counted == [2, 3]
    features(["c", "d", "e", "a"])
    assert counted[-1] == 1
    torch.testing.assert_close(again[0], first[1])
    assert features([]).shape == (0, DIM)


def test_the_vocabulary_is_placed_by_the_adapter_as_it_was(features: WordFeatures) -> None:
    contrastive = objective(adapter=8, nearest=2)
    space = WordSpace(["hat", "cat", "dog"], features)
    before = space.directions.clone()
    assert contrastive.adapter is not None
    torch.nn.init.normal_(contrastive.adapter.fc2.weight)
    contrastive.place_as_before(space)
    torch.testing.assert_close(space.directions, before)
    contrastive.place(space)
    moved = space.directions.clone()
    assert not torch.allclose(moved, before)
    torch.testing.assert_close(moved, contrastive.text_directions(space.frozen))
    resumed = objective(adapter=8, nearest=2)
    resumed.load_state_dict(contrastive.state_dict())
    fresh = WordSpace(["hat", "cat", "dog"], features)
    resumed.place_as_before(fresh)
    assert torch.equal(fresh.directions, moved)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wieght": 1}, "Did you mean 'weight'"),
        ({"weight": -1}, "at least 0"),
        ({"weight": float("nan")}, "at least 0"),
        ({"nearest": -1}, "nearest"),
        ({"temperature": 0}, "temperature"),
        ({"adapter": 0}, "adapter"),
        ({"refresh_every": 0}, "refresh_every"),
    ],
)
def test_mistakes_in_the_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ContrastiveOptions.from_options(options)


def test_vocabularies_that_cannot_be(tmp_path: Path, features: WordFeatures) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_words(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="has no word"):
        read_words(tmp_path / "empty.txt")
    with pytest.raises(ValueError, match="no word"):
        WordSpace(["", ""], features)
    (tmp_path / "words.txt").write_text("\ufeffzwei Wörter\nzwei\n")
    assert read_words(tmp_path / "words.txt") == Counter(["zwei", "zwei", "Wörter"])
