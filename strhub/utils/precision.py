"""In how many bits a model computes: which kinds of numbers a device is fast at, and which are safe
on it.
"""

from __future__ import annotations

import torch

from strhub.utils.options import unknown_name_message

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the precision asked for, or for "auto" bfloat16 where the device computes in it, else
    float32.

    What "auto" gives depends on the machine, and with it texts and confidences, so it is a default
    nowhere in reading. A processor without instructions for bfloat16 would convert every number
    back and forth. float16 is never chosen by itself: its numbers end at 65,504. Raises
    `ValueError` for an unknown name, and for float16 on a CPU.
    """
    if name == "auto":
        return torch.bfloat16 if computes_in_bfloat16(device) else torch.float32
    if name not in PRECISIONS:
        raise ValueError(unknown_name_message(name, [*PRECISIONS, "auto"], "precision"))
    if name == "float16" and device.type == "cpu":
        raise ValueError(
            "float16 is for GPUs: on a CPU use float32, or bfloat16 where the processor has it"
        )
    return PRECISIONS[name]


def precision_name(name: str, device: torch.device) -> str:
    """Return the name of what `choose_precision` gives: never "auto"."""
    return str(choose_precision(name, device)).removeprefix("torch.")


def computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16: AVX512-BF16 or AMX, any recent
    GPU.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and processor_has_bfloat16()


def processor_has_bfloat16() -> bool:
    """Return whether the processor has such instructions, and the libraries are allowed to use
    them.

    ATEN_CPU_CAPABILITY and ONEDNN_MAX_CPU_ISA can forbid it.
    """
    if not (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()):
        return False
    if (
        not torch.backends.mkldnn.is_available()
        or torch.backends.cpu.get_cpu_capability() != "AVX512"
    ):
        return False
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
