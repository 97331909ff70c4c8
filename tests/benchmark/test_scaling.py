"""benchmarks/scaling.py: processes and threads that work at once, and what is told of them."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

FOLDER = str(Path(__file__).resolve().parents[2] / "benchmarks")


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(FOLDER)
    return import_module("scaling")


def test_medians_and_ratios_are_those_of_rounds(scaling: Any) -> None:
    def figures(words: float) -> dict[str, float]:
        return {"words_a_second": words, "processors": 1.0, "cpu_ms": 1000 / words, "memory": 50.0}

    rounds = [{1: figures(one), 4: figures(two)} for one, two in ((10, 30), (1, 2), (100, 300))]
    rows = scaling.summary("LMDB", rounds)
    assert [(row["workers"], row["words_a_second"], row["times"]) for row in rows] == [
        (1, 10, 1.0),
        (4, 30, 3.0),
    ]
    assert "| LMDB | 4 | 30 | 3.00 | 1.00 | 33.33 | 50 |" in list(scaling.table(rows))


@pytest.mark.parametrize("wrong", [["--workers", "0"], ["--words", "3"], ["--rounds", "0"]])
def test_sizes_that_measure_nothing_are_refused(scaling: Any, wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        scaling.main(wrong)


@pytest.mark.slow
def test_all_of_it_in_small(
    scaling: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stored, plot = tmp_path / "scaling.json", tmp_path / "plots" / "scaling.png"
    sizes = ["--words", "16", "--seconds", "0.2", "--rounds", "1", "--workers", "1", "2"]
    model = ["--threads", "1", "3", "--model", "strhub-tiny"]
    scaling.main([*sizes, *model, "--json", str(stored), "--plot", str(plot)])
    rows = json.loads(stored.read_text("utf-8"))["rows"]
    names = ["rendering", "LMDB", "shards", "Recognizer"]
    assert [row["name"] for row in rows] == [name for name in names for _ in range(2)]
    assert all(row["words_a_second"] > 0 and row["memory"] > 5 for row in rows)
    assert plot.stat().st_size > 5000
    assert capfd.readouterr().err == ""
