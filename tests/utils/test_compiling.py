"""What is compiled is right for the processor it runs on, whatever was compiled before."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from strhub.utils.compiling import vector_options

COMPILED = """
import warnings
import torch
warnings.simplefilter("ignore")
from strhub.utils.compiling import compile_module
plain, compiled = (torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Sigmoid()) for _ in range(2))
compile_module(compiled, dynamic=None)
values = torch.linspace(-4, 4, 1000)
torch.testing.assert_close(compiled(values), plain(values), rtol=1e-5, atol=1e-6)
"""


@pytest.mark.parametrize(
    ("machine", "capability", "options"),
    [
        ("x86_64", "AVX512", {"cpp.simdlen": 512}),
        ("AMD64", "AVX2", {"cpp.simdlen": 256}),
        ("x86_64", "DEFAULT", {"cpp.simdlen": 1}),
        ("aarch64", "DEFAULT", {}),
        ("arm64", "DEFAULT", {}),
    ],
)
def test_vectors_are_as_wide_as_the_processor_has_them(
    monkeypatch: pytest.MonkeyPatch, machine: str, capability: str, options: dict[str, int]
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert vector_options() == options


@pytest.mark.slow
def test_processors_of_two_kinds_share_a_folder_of_compiled_code(tmp_path: Path) -> None:
    """Without the option the second run took the first one's loops, and its numbers were wrong."""
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    environment.pop("ATEN_CPU_CAPABILITY", None)
    for forced in ({}, {"ATEN_CPU_CAPABILITY": "avx2"}, {"ATEN_CPU_CAPABILITY": "default"}):
        done = subprocess.run(
            [sys.executable, "-c", COMPILED],
            env={**environment, **forced},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
