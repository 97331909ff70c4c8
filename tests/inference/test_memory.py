"""Reading many images takes no more memory than reading some, and what a plain install reads with
takes little.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import sys
from pathlib import Path
from strhub import Recognizer
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
model, count = sys.argv[1], int(sys.argv[2])
if model == "torch":
    from strhub import load
    model = load("strhub-tiny")
recognizer = Recognizer(model, device="cpu", threads=1)
images = sorted(Path("demo_images").glob("*.png")) * (count // 8)
held = []
for number, reading in enumerate(recognizer.read(images), 1):
    assert reading.error is None
    if number % (count // 8) == 0:
        held.append(resident())
print(*held)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="needs Linux's /proc to see resident memory"
)
@pytest.mark.parametrize(
    ("model", "count", "most"), [("strhub-tiny", 2400, 200), ("torch", 1600, 700)]
)
def test_memory_is_flat(model: str, count: int, most: float) -> None:
    command = [sys.executable, "-c", CODE, model, str(count)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True
    )
    held = [float(value) for value in done.stdout.split()]
    assert len(held) == 8
    assert max(held) < most
    assert held[-1] < held[1] + 8, "MiB; the first eighth may fill caches"
