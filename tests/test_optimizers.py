"""Muon with AdamW."""

import pytest
import torch
from torch import nn

from strhub.optimizers import MuonWithAdamW


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))


def steps(network: nn.Module, optimizer: MuonWithAdamW, count: int) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    inputs, targets = torch.randn(32, 8, generator=generator), torch.randn(32, 4, generator=generator)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = (network(inputs) - targets).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_lowers_a_loss_and_moves_every_parameter() -> None:
    network = model()
    before = [parameter.clone() for parameter in network.parameters()]
    losses = steps(network, MuonWithAdamW(network.named_parameters(), lr=0.01), 50)
    assert losses[-1] < 0.75 * losses[0]
    assert not any(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_goes_on_from_its_state() -> None:
    whole, part = model(), model()
    expected = steps(whole, MuonWithAdamW(whole.named_parameters(), lr=0.01), 10)
    optimizer = MuonWithAdamW(part.named_parameters(), lr=0.01)
    steps(part, optimizer, 5)
    state = optimizer.state_dict()
    resumed = MuonWithAdamW(part.named_parameters(), lr=0.5)
    resumed.load_state_dict(state)
    assert steps(part, resumed, 5) == expected[5:]


def test_the_schedule_reaches_both_parts() -> None:
    optimizer = MuonWithAdamW(model().named_parameters(), lr=0.01)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    network = model()
    assert len(optimizer.param_groups) == 2
    frozen = MuonWithAdamW(network.named_parameters(), lr=0.01)
    for group in frozen.param_groups:
        group["lr"] = 0.0
    before = [parameter.clone() for parameter in network.parameters()]
    steps(network, frozen, 3)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


def test_a_model_without_matrices_is_refused() -> None:
    with pytest.raises(ValueError, match="needs both"):
        MuonWithAdamW(nn.LayerNorm(4).named_parameters(), lr=0.1)
