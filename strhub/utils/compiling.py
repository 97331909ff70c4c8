"""Compiling networks so that what is compiled is right for the processor it runs on."""

from __future__ import annotations

import platform

import torch
from torch import nn

BITS_OF_VECTORS = {"AVX512": 512, "AVX2": 256}


def compile_module(module: nn.Module, *, dynamic: bool | None) -> None:
    """Compile `forward` when it is first called; parameters keep their names.

    dynamic: True compiles for any sizes; None for fixed ones first, and for any once others come.
    """
    module.compile(dynamic=dynamic, options=vector_options() or None)


def vector_options() -> dict[str, int]:
    """Return the option that says how wide the processor's vectors are; none off x86.

    PyTorch keeps what it compiled in a folder, under a key that names neither the processor nor
    ATEN_CPU_CAPABILITY. Loops over vectors of one width would be taken up with vectors of another
    where both use that folder (on a cluster, for example), and would give wrong numbers or write
    beyond their arrays. The key does contain the options.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return {}
    return {"cpp.simdlen": BITS_OF_VECTORS.get(torch.backends.cpu.get_cpu_capability(), 1)}
