"""Whether an optimizer's step is computed by one kernel."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch.optim import Adam, AdamW

__all__ = ["WAYS", "fuse_by_default"]

WAYS = ("fused", "foreach")  # options that choose how a step is computed, not what it gives
_OWN_WAYS = {*WAYS, "capturable", "differentiable"}
_DEVICES = ("cpu", "cuda")  # whose kernels take every floating-point type


def fuse_by_default(
    make_optimizer: partial[Any], *, precision: str, device: torch.device
) -> dict[str, bool]:
    """Return the option that has Adam or AdamW compute a step by one kernel, which takes a third of
    the time; nothing where the configuration chooses by itself.

    precision: of the trainer, by Lightning's name. With "16-mixed" and "bf16-mixed" Lightning
    refuses to clip gradients for a fused step, since such a step may undo their scaling by itself.
    """
    fuses = make_optimizer.func in (Adam, AdamW) and device.type in _DEVICES
    if not fuses or precision.endswith("-mixed") or _OWN_WAYS & make_optimizer.keywords.keys():
        return {}
    return {"fused": True}
