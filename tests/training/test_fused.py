"""Steps of AdamW by one kernel: when, and that they are the same steps."""

from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from small_runs import RENDERED_RUN
from torch import nn

from strhub.training.fused import fuse_by_default
from strhub.training.optimizers import MuonWithAdamW
from strhub.training.relative_adam import RelativeAdam
from strhub.training.resuming import ResumedPlan
from strhub.training.run import model_from_config

pytestmark = pytest.mark.numeric

ADAMW = torch.optim.AdamW


@pytest.mark.parametrize(
    ("make", "precision", "device", "fused"),
    [
        (partial(ADAMW), "32-true", "cpu", True),
        (partial(ADAMW, betas=(0.9, 0.99)), "bf16-mixed", "cuda", False),
        (partial(torch.optim.Adam), "bf16-true", "cpu", True),
        (partial(ADAMW), "16-mixed", "cuda", False),
        (partial(ADAMW), "32-true", "mps", False),
        (partial(ADAMW, fused=False), "32-true", "cpu", False),
        (partial(ADAMW, foreach=True), "32-true", "cpu", False),
        (partial(torch.optim.SGD), "32-true", "cpu", False),
        (partial(MuonWithAdamW), "32-true", "cpu", False),
        (partial(RelativeAdam), "32-true", "cpu", False),
    ],
)
def test_what_fuses_by_default(make: Any, precision: str, device: str, fused: bool) -> None:
    options = fuse_by_default(make, precision=precision, device=torch.device(device))
    assert options == ({"fused": True} if fused else {})


def trained(steps: int, network: nn.Module, optimizer: Any) -> list[torch.Tensor]:
    """Return copies of the weights after so many steps, each of a gradient of its own."""
    for step in range(steps):
        rng = torch.Generator().manual_seed(int(optimizer.state_dict()["state"][0]["step"])
                                            if optimizer.state else step)  # fmt: skip
        for parameter in network.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=rng) / 10
        optimizer.step()
    return [parameter.detach().clone() for parameter in network.parameters()]


def made(**options: Any) -> tuple[nn.Module, torch.optim.AdamW]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(33, 70), nn.LayerNorm(70), nn.Linear(70, 5))
    return network, ADAMW(network.parameters(), lr=1e-3, weight_decay=0.1, **options)


def test_the_steps_are_the_same_to_the_last_bits_and_go_on_bit_for_bit() -> None:
    plain, whole = trained(30, *made(fused=False)), trained(30, *made(fused=True))
    for one, other in zip(plain, whole, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-6)
    network, optimizer = made(fused=True)
    trained(12, network, optimizer)
    again, resumed = made(fused=True)
    again.load_state_dict(network.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    for one, other in zip(whole, trained(18, again, resumed), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed", "bf16-mixed"])
def test_a_configured_run_fuses_and_a_resumed_one_keeps_its_way(
    compose_main: Any, precision: str
) -> None:
    system = model_from_config(compose_main(*RENDERED_RUN))
    trainer: Any = SimpleNamespace(
        accumulate_grad_batches=1,
        world_size=1,
        datamodule=None,
        estimated_stepping_batches=6,
        precision=precision,
    )
    system.trainer = trainer
    optimizer = system.configure_optimizers()["optimizer"]
    (group,) = optimizer.param_groups
    assert group["fused"] is (True if precision == "32-true" else None)
    other = None if precision == "32-true" else True  # as the state of an earlier run had it
    group.update(fused=other, weight_decay=0.5)
    schedule = SimpleNamespace(total_steps=6)
    trainer.global_step, trainer.optimizers = 3, [optimizer]
    trainer.lr_scheduler_configs = [SimpleNamespace(scheduler=schedule)]
    ResumedPlan().on_train_start(trainer, cast("Any", system))
    assert group["fused"] is other
    assert group["weight_decay"] == 0.0
