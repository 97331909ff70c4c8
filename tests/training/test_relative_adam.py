"""Adam with relative steps: how far a channel moves, what it learns, and that it resumes."""

import copy

import pytest
import torch
from torch import nn

from strhub.training.relative_adam import RelativeAdam, scale_of


def test_steps_are_a_fraction_of_each_channels_size() -> None:
    weight = nn.Parameter(torch.tensor([[100.0, -100.0], [0.5, 0.5], [0.0, 0.0]]))
    before = weight.detach().clone()
    weight.grad = torch.tensor([[1e-6, 1.0], [1e3, -1.0], [1.0, 1.0]])
    RelativeAdam([("weight", weight)], lr=0.01).step()
    steps = before - weight.detach()
    torch.testing.assert_close(steps[0], torch.tensor([1.0, 1.0]), rtol=1e-4, atol=0)
    floor = 0.1 * float(before.square().mean().sqrt())  # what small channels count as
    torch.testing.assert_close(steps[1], torch.tensor([0.01, -0.01]) * floor, rtol=1e-4, atol=0)
    torch.testing.assert_close(steps[2], torch.tensor([0.01, 0.01]) * floor, rtol=1e-4, atol=0)


def test_a_bias_moves_as_a_whole() -> None:
    assert float(scale_of(torch.tensor([3.0, 4.0]))) == pytest.approx(12.5**0.5)
    assert float(scale_of(torch.zeros(2))) == pytest.approx(1e-3)
    assert scale_of(torch.ones(5, 2, 3, 3)).shape == (5, 1, 1, 1)


def test_it_lowers_a_loss_and_resumes_from_its_state() -> None:
    torch.manual_seed(0)
    layer, inputs, targets = nn.Linear(4, 4), torch.randn(32, 4), torch.randn(32, 4)

    def run(layer: nn.Linear, optimizer: RelativeAdam, steps: int) -> float:
        loss = torch.tensor(0.0)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (layer(inputs) - targets).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return loss.item()

    optimizer = RelativeAdam(layer.named_parameters(), lr=0.02, weight_decay=0.01)
    first = run(layer, optimizer, 5)
    other = copy.deepcopy(layer)
    resumed = RelativeAdam(other.named_parameters(), lr=0.02, weight_decay=0.01)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert run(layer, optimizer, 60) == run(other, resumed, 60) < 0.9 * first
