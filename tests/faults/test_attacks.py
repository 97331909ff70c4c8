"""`make attack` itself: some attempts of each kind, counted, with nothing to keep."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from attack_support import ROOT, run_limited


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_some_attempts_of_each_kind(tmp_path: Path) -> None:
    kinds = ("images", "archives", "lmdbs", "labels", "settings", "tables", "requests",
             "documents", "pdfs", "fonts", "folders", "sets", "kills", "runs")  # fmt: skip
    outcome = run_limited(
        [sys.executable, ROOT / "tests" / "attacks", "--count", "4", "--seed", "1",
         "--kinds", *kinds, "--kept", tmp_path / "kept"],
        memory_mib=4000, seconds=880,
    )  # fmt: skip
    assert outcome.ended_well, outcome
    assert outcome.status == 0, outcome
    counts = re.findall(r"^(\w+): (\d+) attempts", outcome.stdout, re.MULTILINE)
    assert counts == [(kind, "4") for kind in kinds]
    assert not (tmp_path / "kept").exists()
