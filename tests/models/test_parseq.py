"""PARSeq's own properties: caches, depths, sizes, permutations, one batched pass."""

import numpy as np
import pytest
import torch
from golden_numbers import fill
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import Training, tiny_system
from torch import Tensor

import strhub.training.systems.parseq as system_module
from strhub.models.parseq.decoder import cloze_masks, permutation_masks
from strhub.models.parseq.model import PARSeq
from strhub.models.parseq.permutations import sample_permutations
from strhub.text import AttentionTokenizer
from strhub.training.systems.parseq_parts import ColumnReader

pytestmark = pytest.mark.numeric

SIZES = {
    "charset_size": 12, "max_label_length": 7, "img_size": (32, 64), "patch_size": (8, 16),
        "embed_dim": 32,
    "enc_num_heads": 2, "enc_mlp_ratio": 2, "enc_depth": 1, "dec_num_heads": 4, "dec_mlp_ratio": 2,
    "dec_depth": 1, "decode_ar": True, "refine_iters": 0, "dropout": 0.0,
}  # fmt: skip


def network(**changes: object) -> PARSeq:
    model = PARSeq(**{**SIZES, **changes}).eval()  # type: ignore[arg-type]
    fill(model)  # lively weights: readings differ and follow their context
    return model


def inputs(count: int = 3, height: int = 32, width: int = 64) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


def read_without_cache(model: PARSeq, images: Tensor) -> Tensor:
    """Autoregressive reading by its definition: the whole decoder anew at every step, under a
    causal mask.
    """
    memory = model.decoder.project_memory(model.encoder(images))
    tokens = torch.full((len(images), 1), model.bos_id)
    rows = []
    for step in range(model.max_label_length + 1):
        order = torch.arange(step + 2).unsqueeze(0)
        masks = permutation_masks(order, hidden=torch.zeros_like(tokens, dtype=torch.bool))
        rows.append(model._decode(tokens, step + 1, memory, masks)[:, -1])
        tokens = torch.cat([tokens, rows[-1].argmax(-1, keepdim=True)], dim=1)
    return torch.stack(rows, dim=1)


@pytest.mark.parametrize("dec_depth", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 3, 6])
def test_kept_keys_and_values_change_nothing(dec_depth: int, count: int) -> None:
    model = network(dec_depth=dec_depth)
    with torch.inference_mode():
        expected = read_without_cache(model, inputs(count))
        assert len(expected.argmax(-1).unique()) >= 3, (
            "a reading that is all the same shows nothing"
        )
        torch.testing.assert_close(model(inputs(count), 7), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dec_depth", [1, 2])
def test_one_batched_pass_is_one_pass_a_permutation(dec_depth: int) -> None:
    model = network(dec_depth=dec_depth)
    tokens = torch.tensor([[13, 3, 4, 5, 0], [13, 7, 0, 14, 14], [13, 1, 2, 0, 14]])
    permutations = sample_permutations(
        4, count=6, forward=True, mirrored=True, rng=np.random.default_rng(0)
    )
    together = model.permuted_logits(model.encoder(inputs()), tokens, permutations)
    for index in range(len(permutations)):
        alone = model.permuted_logits(
            model.encoder(inputs()), tokens, permutations[index : index + 1]
        )
        torch.testing.assert_close(together[index], alone[0], rtol=1e-4, atol=1e-5)


def test_words_in_groups_of_like_length_teach_what_they_teach_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = tiny_system(Training("parseq"))
    labels = [
        "",
        "a",
        "hello",
        "abcdefgh",
        "word",
        "be",
        "zz",
        "wordings",
        "signs",
        "",
        "ab",
        "longest",
    ]
    tokens = system.tokenizer.encode(labels, torch.device("cpu"))
    permutations = sample_permutations(
        tokens.shape[1] - 2, count=6, forward=True, mirrored=True, rng=np.random.default_rng(2)
    )

    def loss_and_gradients(group: int) -> tuple[Tensor, list[Tensor]]:
        monkeypatch.setattr(system_module, "GROUP", group)
        assert isinstance(system, system_module.PARSeq)
        system.zero_grad()
        loss = system.permutation_loss(
            system.model.encoder(inputs(len(labels))), tokens, permutations
        )
        loss.backward()
        return loss.detach(), [
            parameter.grad for parameter in system.model.parameters() if parameter.grad is not None
        ]

    together, grouped = loss_and_gradients(len(labels)), loss_and_gradients(5)
    torch.testing.assert_close(grouped[0], together[0], rtol=1e-6, atol=0)
    assert len(grouped[1]) == len(together[1]) > 20
    for one, other in zip(grouped[1], together[1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dec_depth", [1, 2])
def test_every_parameter_that_is_trained_has_a_gradient(dec_depth: int) -> None:
    model = network(dec_depth=dec_depth).train()
    tokens = torch.tensor([[13, 3, 4, 5, 0]] * 3)
    permutations = sample_permutations(
        4, count=4, forward=True, mirrored=True, rng=np.random.default_rng(0)
    )
    model.permuted_logits(model.encoder(inputs()), tokens, permutations).logsumexp(
        -1
    ).sum().backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


def test_early_stop_gives_the_same_steps() -> None:
    model = network()
    with torch.no_grad():
        model.head.bias[0] += 6  # [E] soon
    with torch.inference_mode():
        stopped, all_steps = model(inputs()), model(inputs(), 7)
    assert stopped.shape[1] < all_steps.shape[1]
    torch.testing.assert_close(stopped, all_steps[:, : stopped.shape[1]])


def test_decoding_is_switched_on_a_loaded_model() -> None:
    model = network()
    with torch.inference_mode():
        readings = []
        for model.decode_ar, model.refine_iters in ((True, 0), (False, 0), (False, 1), (False, 2)):
            readings.append(model(inputs(), 7))
    assert all(reading.shape == (3, 8, 13) for reading in readings)
    assert not torch.equal(readings[0], readings[1])
    assert not torch.equal(readings[1], readings[2])


@pytest.mark.parametrize(
    ("img_size", "patch_size", "length"),
    [((32, 128), (4, 8), 25), ((48, 48), (16, 16), 1), ((8, 256), (8, 4), 60)],
)
def test_any_image_patch_and_label_size(
    img_size: tuple[int, int], patch_size: tuple[int, int], length: int
) -> None:
    model = network(
        img_size=img_size, patch_size=patch_size, max_label_length=length, refine_iters=1
    )
    with torch.inference_mode():
        assert model(inputs(2, *img_size), length).shape == (2, length + 1, 13)
        assert model(inputs(2, *img_size), 10**6).shape == (2, length + 1, 13)


def test_a_image_of_another_size_is_refused_with_the_right_one() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, 32, 64\), not \(3, 3, 32, 128\)"):
        network()(inputs(3, 32, 128))


def test_heads_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="heads of equal size"):
        network(dec_num_heads=5)


@pytest.mark.parametrize("dec_depth", [1, 2])
def test_a_position_sees_what_comes_before_it_in_the_order_and_nothing_else(dec_depth: int) -> None:
    """Change one character: only positions after it in the permutation may change. The mask, seen
    from outside.
    """
    model = network(dec_depth=dec_depth)
    order = torch.tensor([[0, 3, 1, 4, 2, 5]])
    tokens = torch.tensor([[13, 3, 4, 5, 6]])
    with torch.no_grad():
        before = model.permuted_logits(model.encoder(inputs(1)), tokens, order)[0, 0]
        for position in range(1, 5):
            changed = tokens.clone()
            changed[0, position] = 9
            after = model.permuted_logits(model.encoder(inputs(1)), changed, order)[0, 0]
            moved = {i + 1 for i in range(5) if not torch.allclose(before[i], after[i], atol=1e-6)}
            sequence = order[0].tolist()
            assert moved == set(sequence[sequence.index(position) + 1 :])


def test_refinement_hides_the_own_character_and_what_follows_the_end() -> None:
    masks = cloze_masks(4, hidden=torch.tensor([[False, False, False, True]]))
    assert masks.for_query(True)[0, 0].int().tolist() == [
        [1, 0, 1, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 1, 1, 0],
    ]


@given(
    st.integers(1, 12),
    st.sampled_from([1, 2, 4, 6, 12]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
@settings(deadline=None)
def test_permutations(length: int, count: int, forward: bool, mirrored: bool, seed: int) -> None:
    if mirrored and count % 2:
        count += 1
    rows = sample_permutations(
        length, count=count, forward=forward, mirrored=mirrored, rng=np.random.default_rng(seed)
    ).tolist()
    assert 1 <= len(rows) <= count
    assert len({tuple(row[1:]) for row in rows}) == len(rows), "none twice"
    for row in rows:
        assert row[0] == 0
        assert sorted(row) == list(range(length + 2))
    if forward:
        assert rows[0] == list(range(length + 2))
    if forward and mirrored and len(rows) > 1:
        assert rows[1] == [0, *range(length + 1, 0, -1)]
    if mirrored and length > 1:
        for first, second in zip(rows[2::2], rows[3::2], strict=True):
            assert second == [0, *first[-2:0:-1], length + 1]


def test_all_orders_of_short_texts_are_used() -> None:
    rows = sample_permutations(
        3, count=12, forward=True, mirrored=True, rng=np.random.default_rng(0)
    ).tolist()
    assert len(rows) == 6
    assert len({tuple(row[1:4]) for row in rows[2:]}) == 4


def test_permutations_are_spread_evenly() -> None:
    rng = np.random.default_rng(0)
    first = [
        sample_permutations(5, count=4, forward=True, mirrored=True, rng=rng)[2, 1].item()
        for _ in range(2000)
    ]
    counts = np.bincount(first, minlength=6)[1:]
    assert counts.min() > 300, counts
    assert counts.max() < 520, counts


def test_a_stem_looks_at_the_same_places() -> None:
    """The tokens come in the same grid with a stem as without, each from where its patch is and a
    little around it.
    """
    model = network(
        enc_stem=(4, 6, 8)
    )  # halves the height three times; patches are 8 x 16, so they end up 1 x 2
    assert model.encoder.patch_embed.proj.weight.shape == (32, 8, 1, 2)
    blank, marked = torch.zeros(1, 3, 32, 64), torch.zeros(1, 3, 32, 64)
    marked[:, :, 18:22, 36:44] = 1.0  # inside the patch in row 2, column 2
    changed = (
        (model.encoder.patch_embed(marked) - model.encoder.patch_embed(blank))
        .abs()
        .amax(-1)[0]
        .view(4, 4)
    )
    assert changed.argmax() == 2 * 4 + 2
    assert changed[0].max() == 0
    assert changed[:, 0].max() == 0


def test_a_stem_needs_patches_that_it_can_halve() -> None:
    with pytest.raises(ValueError, match="multiple of 16"):
        network(enc_stem=(4, 4, 4, 4))


def test_a_model_with_a_stem_reads_step_by_step_as_all_at_once() -> None:
    model = network(enc_stem=(4, 8), max_label_length=5)
    with torch.inference_mode():
        torch.testing.assert_close(
            model(inputs(), 5), read_without_cache(model, inputs()), rtol=1e-4, atol=1e-4
        )


def test_sizes_of_a_stem_cannot_be_told_from_weights() -> None:
    with pytest.raises(ValueError, match="stem"):
        PARSeq.sizes_of(network(enc_stem=(4, 8)).state_dict())


class TestColumnReader:
    def loss(self, reader: ColumnReader, columns: Tensor, labels: list[str]) -> Tensor:
        tokens = AttentionTokenizer("abc").encode(labels)
        return reader.loss(columns, tokens, labels)

    def test_loss_is_small_when_the_columns_spell_the_label(self) -> None:
        reader = ColumnReader(4, 3)
        torch.nn.init.eye_(reader.weight)
        torch.nn.init.zeros_(reader.bias)
        spelled = [1, 1, 0, 2, 0, 2]  # a a - b - b, which is "abb"
        columns = 20 * torch.nn.functional.one_hot(torch.tensor([spelled]), 4).float()
        assert self.loss(reader, columns, ["abb"]) < 1e-3
        assert self.loss(reader, columns, ["ab"]) > 1

    def test_labels_longer_than_the_image_is_wide_count_nothing(self) -> None:
        columns = torch.randn(1, 3, 4, requires_grad=True)
        loss = self.loss(ColumnReader(4, 3), columns, ["abcab"])
        loss.backward()
        assert loss == 0
        assert columns.grad is not None
        assert not columns.grad.any()


def test_a_stem_in_training_computes_what_it_computes_otherwise() -> None:
    """It takes images in another layout then, which changes speed and last bits alone."""
    from strhub.models.layers.vision_transformer import Stem

    torch.manual_seed(0)
    stem = Stem(channels=(8, 16), patch_size=(8, 4)).train()
    images = torch.randn(4, 3, 16, 32)
    found = stem(images)
    found.square().sum().backward()
    gradients = [one.grad.clone() for one in stem.parameters() if one.grad is not None]
    stem.zero_grad()
    plain = images
    for layer in stem:
        plain = layer(plain)
    plain.square().sum().backward()
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-5)
    for gradient, one in zip(gradients, stem.parameters(), strict=True):
        torch.testing.assert_close(gradient, one.grad, rtol=1e-3, atol=1e-3)
