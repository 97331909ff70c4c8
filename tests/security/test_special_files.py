"""A fifo that nobody writes to, a device without an end, links that lead round in a circle, and
models that give no numbers: an error at once, never a wait, in one child with limits.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from attack_support import run_limited

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs fifos"),
]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What came of each attempt, by name."""
    outcome = run_limited(
        [
            sys.executable,
            Path(__file__).with_name("special_uses.py"),
            tmp_path_factory.mktemp("special"),
        ],
        memory_mib=1500,
        seconds=280,
    )
    assert outcome.ended_well, outcome
    assert outcome.status == 0, outcome
    return dict(line.split("\t", 1) for line in outcome.stdout.splitlines())


def test_every_reader_of_files(told: dict[str, str]) -> None:
    kinds = ("fifo", "device", "link to a fifo")
    found = {name: came for name, came in told.items() if name.endswith(kinds)}
    assert found == dict.fromkeys(found, "ok")
    assert len(found) >= 90


@pytest.mark.parametrize(
    "name",
    [
        "a folder of such things",
        "links round in a circle",
        "a search of terabytes",
        "NaN weights",
        "infinite weights",
        "temperature 0",
        "NaN temperature",
    ],
)
def test_what_else_ends_at_once(name: str, told: dict[str, str]) -> None:
    assert told[name] == "ok"
