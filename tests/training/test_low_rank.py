"""Low-rank changes to an encoder, and blocks that are computed again: against the plain network."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import CLIP_PARSEQ
from torch import Tensor

from strhub import create_model, load, save
from strhub.training.fine_tuning import FineTuning
from strhub.training.low_rank import LowRank
from strhub.training.parameter_groups import split_groups
from strhub.training.systems.parseq import PARSeq

pytestmark = pytest.mark.numeric

SMALL = {**CLIP_PARSEQ, "dropout": 0.0}
OPTIONS = {"batch_size": 2, "lr": 1e-3, "warmup_pct": 0.1, "weight_decay": 0.0}


def system(**finetune: Any) -> PARSeq:
    torch.manual_seed(4)
    hparams = {**create_model("parseq", **SMALL).hparams, "pretrained_encoder": None}
    torch.manual_seed(4)
    return PARSeq(**{**hparams, **OPTIONS, "finetune": finetune or None}).train()


def some_images() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def step(trained: PARSeq) -> float:
    """One step of plain descent; the loss before it."""
    loss = trained.training_loss(some_images(), ["one", "three"])
    trained.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.grad is not None:
                parameter -= 0.1 * parameter.grad
    return loss.item()


def test_it_is_the_network_with_the_merged_weights(tmp_path: Path) -> None:
    trained, plain = system(lora_rank=4), system()
    own = trained.model.encoder.blocks[1].mlp.fc1.weight
    before = own.clone()
    assert list(trained.model.state_dict()) == list(plain.model.state_dict())
    first = step(trained)
    assert first == pytest.approx(step(plain), rel=1e-6), "it changes nothing at first"
    for _ in range(3):
        last = step(trained)
    assert last < first
    assert torch.equal(own, before)
    merged = system()
    merged.model.load_state_dict(trained.model.state_dict())
    assert not torch.equal(merged.model.encoder.blocks[1].mlp.fc1.weight, before)
    save(trained, tmp_path / "model.safetensors")
    with torch.inference_mode():
        expected = trained.model.encoder(some_images())
        loaded = load(tmp_path / "model.safetensors").model.encoder
        for encoder in (merged.model.encoder, loaded):
            torch.testing.assert_close(encoder(some_images()), expected, atol=1e-5, rtol=1e-5)


def test_nothing_else_of_the_encoder_learns() -> None:
    trained = system(lora_rank=4)
    learned = {name for name, one in trained.named_parameters() if one.requires_grad}
    assert not any(name.startswith("model.encoder.") for name in learned)
    assert {"low_rank.up.0", "model.head.weight", "model.pos_queries"} <= learned
    options = FineTuning.from_options({"lora_rank": 4, "decoder_rate": 19})
    groups = split_groups(
        trained.named_parameters(), options, trained.encoder(), lr=1.0, weight_decay=0.0
    )
    rates = {name: group["lr"] for group in groups for name, _ in group["params"]}
    assert (rates["low_rank.up.0"], rates["model.head.weight"]) == (1.0, 19.0)


@pytest.mark.parametrize("copied", [False, True])
def test_a_resumed_run_goes_on_exactly(copied: bool) -> None:
    trained = system(lora_rank=4)
    for _ in range(2):
        step(trained)
    resumed = copy.deepcopy(trained) if copied else system(lora_rank=4)
    resumed.load_state_dict(trained.state_dict())
    for _ in range(3):
        assert step(resumed) == step(trained)
    state, expected = resumed.state_dict(), trained.state_dict()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


def test_recomputed_blocks_give_the_same_gradients_and_keep_less() -> None:
    kept, gradients = [], []
    for trained in (system(), system(recompute=True)):
        saved: dict[int, int] = {}

        def keep(tensor: Tensor, saved: dict[int, int] = saved) -> Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            encoded = trained.model.encoder(some_images())
        encoded.square().sum().backward()
        kept.append(sum(saved.values()))
        gradients.append([one.grad for one in trained.model.encoder.parameters()])
    assert kept[1] < kept[0]
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, plain)


@pytest.mark.parametrize(
    ("finetune", "message"),
    [
        ({"lora_rank": 0}, "at least 1"),
        ({"lora_rank": 2, "freeze_encoder": True}, "leave out freeze_encoder"),
        ({"lora_rank": 2, "layer_decay": 0.5}, "layer_decay"),
        ({"lora_rank": True}, "at least 1"),
    ],
)
def test_what_cannot_be(finetune: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FineTuning.from_options(finetune)


def test_encoders_that_have_no_such_parts_say_so() -> None:
    from strhub.training.systems.crnn import CRNN

    hparams = {**create_model("crnn").hparams}
    for finetune in ({"lora_rank": 2}, {"recompute": True}):
        with pytest.raises(ValueError, match="leave it out"):
            CRNN(**{**hparams, **OPTIONS, "finetune": finetune})


def test_no_layer_is_no_change() -> None:
    assert LowRank([torch.nn.Linear(2, 3)], 1).get_extra_state().shape == (6,)
