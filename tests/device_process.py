"""What a process of `test_several_devices` does; a module of its own, since such a process imports
it by name.
"""

import os
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from tiny_models import LABELS, TRAININGS, Training, TrainingLoss, inputs, tiny_system
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# Two words a device, the same number of characters on each: so a mean over characters is the mean
# of the means.
HERE = ((0, 1), (2, 3))
assert len({sum(len(LABELS[word]) for word in words) for words in HERE}) == 1


def compare_devices(rank: int, folder: str) -> None:
    """Train each architecture on two processes; the first writes to found.pt what both saw."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "You are trying to `self.log")
    store = dist.FileStore(os.path.join(folder, "store"), 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
    try:
        found = {str(training): _compare(rank, training) for training in TRAININGS}
        found["unused"] = {
            "error": _error_of_steps(DistributedDataParallel(_Unused()), torch.ones(1, 1))
        }
        if rank == 0:
            torch.save(found, Path(folder) / "found.pt")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _compare(rank: int, training: Training) -> dict[str, Any]:
    images, labels = inputs(training), list(LABELS)
    own = list(HERE[rank])
    system = tiny_system(training)
    # norms as in reading: their statistics in training are of each device's own words
    system.eval()
    alone = _gradients(TrainingLoss(system), images, labels)
    parallel = DistributedDataParallel(TrainingLoss(system))
    here = _gradients(parallel, images[own], [labels[word] for word in own])
    gradients = {}
    for name, gradient in here.items():
        parts = [torch.empty_like(gradient) for _ in HERE]
        dist.all_gather(parts, gradient)
        gradients[name] = (*parts, alone[name])
    system.train()
    losses: list[float] = []
    error = _error_of_steps(parallel, images[own], [labels[word] for word in own], losses=losses)
    return {"gradients": gradients, "losses": losses, "error": error}


def _gradients(model: nn.Module, *batch: Any) -> dict[str, Tensor]:
    """By parameter, without what wraps it."""
    model.zero_grad()
    model(*batch).backward()
    return {
        name.removeprefix("module."): p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }


def _error_of_steps(model: nn.Module, *batch: Any, losses: list[float] | None = None) -> str:
    """Three steps; what the first one that failed said."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for _ in range(3):
        try:
            optimizer.zero_grad()
            loss = model(*batch)
            loss.backward()
        except RuntimeError as error:
            return str(error)
        optimizer.step()
        if losses is not None:
            losses.append(loss.item())
    return ""


class _Unused(nn.Module):
    """A layer that its loss knows nothing of."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, numbers: Tensor) -> Tensor:
        return self.used(numbers).sum()
