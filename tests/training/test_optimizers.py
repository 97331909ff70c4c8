"""Muon with AdamW."""

from typing import Any

import pytest
import torch
from torch import nn

from strhub.training.optimizers import Muon, MuonWithAdamW, orthogonalize

pytestmark = pytest.mark.numeric


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))


def steps(network: nn.Module, optimizer: MuonWithAdamW, count: int) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    inputs, targets = (
        torch.randn(32, 8, generator=generator),
        torch.randn(32, 4, generator=generator),
    )
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


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_goes_on_from_its_state(precision: str) -> None:
    whole, part = model(), model()
    expected = steps(
        whole, MuonWithAdamW(whole.named_parameters(), lr=0.01, precision=precision), 10
    )
    optimizer = MuonWithAdamW(part.named_parameters(), lr=0.01, precision=precision)
    steps(part, optimizer, 5)
    state = optimizer.state_dict()
    resumed = MuonWithAdamW(part.named_parameters(), lr=0.5, precision=precision)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (16, 16)])
def test_updates_are_orthogonal(shape: tuple[int, int], dtype: torch.dtype) -> None:
    matrices = (
        torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1e-4, 1, 1e4])[:, None, None]
    )
    updates = orthogonalize(matrices, dtype=dtype)
    assert updates.dtype == matrices.dtype
    values = torch.linalg.svdvals(updates)
    assert updates.shape == matrices.shape
    assert values.max() < 1.25
    assert values.quantile(0.1) > 0.6
    turned, _, back = torch.linalg.svd(matrices, full_matrices=False)
    for update, nearest in zip(updates, turned @ back, strict=True):
        assert (
            torch.nn.functional.cosine_similarity(update.flatten(), nearest.flatten(), dim=0) > 0.95
        )


def test_a_step_is_the_one_torch_takes_but_for_its_rounding() -> None:
    """torch's own Muon iterates in 16 bits, so that the two differ by what those leave out."""
    start = torch.randn(3, 24, 32, generator=torch.Generator().manual_seed(0))
    ours, theirs = ([nn.Parameter(matrix.clone()) for matrix in start] for _ in range(2))
    options = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9}
    pairs = (
        (Muon(ours, **options), ours),
        (torch.optim.Muon(theirs, adjust_lr_fn="match_rms_adamw", **options), theirs),
    )
    for optimizer, parameters in pairs:
        generator = torch.Generator().manual_seed(1)
        for _ in range(3):
            for parameter in parameters:
                parameter.grad = torch.randn(24, 32, generator=generator)
            optimizer.step()
    for first, parameter, other in zip(start, ours, theirs, strict=True):
        assert (parameter - other).norm() < 0.02 * (other - first).norm()


def test_muon_refuses_what_is_no_matrix() -> None:
    with pytest.raises(ValueError, match=r"\(4,\).*AdamW"):
        Muon([nn.Parameter(torch.zeros(4))], lr=0.1)


@pytest.mark.parametrize("has_bfloat16", [False, True])
@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_the_device_chooses_what_the_iteration_multiplies_in(
    monkeypatch: pytest.MonkeyPatch, precision: str, has_bfloat16: bool
) -> None:
    monkeypatch.setattr("strhub.utils.precision.processor_has_bfloat16", lambda: has_bfloat16)
    seen = []

    def spied(matrices: torch.Tensor, *, dtype: torch.dtype) -> torch.Tensor:
        seen.append(dtype)
        return orthogonalize(matrices, dtype=dtype)

    monkeypatch.setattr("strhub.training.optimizers.orthogonalize", spied)
    network = model()
    optimizer = MuonWithAdamW(network.named_parameters(), lr=0.01, precision=precision)
    steps(network, optimizer, 1)
    rounded = precision == "bfloat16" or (precision == "auto" and has_bfloat16)
    assert {*seen} == {torch.bfloat16 if rounded else torch.float32}
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert {state["momentum_buffer"].dtype for state in optimizer._parts[0].state.values()} == {
        torch.float32
    }


def test_the_configuration_sets_muon_s_precision(compose_main: Any) -> None:
    from strhub.training.run import model_from_config

    config = compose_main("optimizer=muon", "optimizer.precision=float32")
    assert compose_main("optimizer=muon").optimizer.precision == "auto"
    assert model_from_config(config).hparams["optimizer"]["precision"] == "float32"
    with pytest.raises(ValueError, match=r"precision of Muon.*Did you mean 'float32'"):
        Muon([nn.Parameter(torch.zeros(4, 4))], lr=0.1, precision="float23")


def test_the_loss_falls_as_fast_in_bfloat16() -> None:
    """benchmarks/muon_precision.py shows it of a recognizer."""
    curves = []
    for precision in ("float32", "bfloat16"):
        network = model()
        optimizer = MuonWithAdamW(network.named_parameters(), lr=0.01, precision=precision)
        curves.append(torch.tensor(steps(network, optimizer, 60)))
    torch.testing.assert_close(curves[1], curves[0], rtol=0.05, atol=0)
