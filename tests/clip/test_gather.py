"""The objective on two devices: what one device computes on the joined batch, in loss and
gradients.
"""

import faulthandler
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from clip_support import small_clip
from test_contrastive import image, system
from torch import Tensor, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

LABELS = ["cat", "Hat", "dog", "CAT", "mouse", "hat"]
OPTIONS = {"nearest": 2, "own_errors": True, "adapter": 8}


class Step(nn.Module):
    """What a training step computes of the objective."""

    def __init__(self, system: Any) -> None:
        super().__init__()
        self.system = system

    def forward(self, images: Tensor, labels: list[str]) -> Tensor:
        loss: Tensor = self.system.contrastive_loss(self.system.model.encoder(images), labels)
        return loss


def made(path: Path) -> Step:
    torch.manual_seed(0)
    step = Step(system(path, **OPTIONS))
    torch.nn.init.normal_(step.system.contrastive.adapter.fc2.weight, std=0.1)
    return step


def gradients(step: Step) -> dict[str, Tensor]:
    return {name: p.grad for name, p in step.system.named_parameters() if p.grad is not None}


def on_one_of_two(rank: int, folder: str, parts: list[slice]) -> None:
    """A process's share of the batch; writes its loss and, if the shares are equal, the
    gradients.
    """
    faulthandler.dump_traceback_later(120, exit=True)  # where it hangs, if it does
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    step = made(Path(folder) / "clip.safetensors")
    parallel = DistributedDataParallel(step, find_unused_parameters=True)
    loss = parallel(image(6)[parts[rank]], LABELS[parts[rank]])
    loss.backward()
    torch.save({"loss": loss.item(), "gradients": gradients(step)}, f"{folder}/{rank}.pt")
    dist.destroy_process_group()
    faulthandler.cancel_dump_traceback_later()


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts", [[slice(0, 3), slice(3, 6)], [slice(0, 4), slice(4, 6)]], ids=["equal", "unequal"]
)
def test_two_processes_give_the_loss_of_one_on_the_joined_batch(
    tmp_path: Path, parts: list[slice]
) -> None:
    path = small_clip(tmp_path)
    step = made(path)
    joined = step(image(6), LABELS)
    joined.backward()
    multiprocessing.spawn(on_one_of_two, args=(str(tmp_path), parts), nprocs=2)  # type: ignore[no-untyped-call]
    found = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    fractions = [len(LABELS[part]) / len(LABELS) for part in parts]
    total = sum(fraction * one["loss"] for fraction, one in zip(fractions, found, strict=True))
    assert total == pytest.approx(joined.item(), rel=1e-5)
    if fractions[0] == fractions[1]:
        expected = gradients(step)
        assert len(expected) > 20
        for one in found:
            assert {*one["gradients"]} == {*expected}
            for name, gradient in expected.items():
                torch.testing.assert_close(one["gradients"][name], gradient, rtol=1e-4, atol=1e-6)
