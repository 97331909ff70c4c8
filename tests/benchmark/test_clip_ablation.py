"""benchmarks/clip_ablation.py at toy size, and the figures that are made of its results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    yield import_module("clip_ablation_results")
    for name in ("clip_ablation_results", "clip_ablation_study", "ablation"):
        sys.modules.pop(name, None)


def a_study() -> dict[str, Any]:
    """Raw results of three seeds: the second arm reads 20 of 200 words more, each time."""
    rng = np.random.default_rng(0)
    runs = []
    for seed in range(3):
        first = rng.random(200) < 0.8
        first[:20] = False
        more = first.copy()
        more[:20] = True
        for arm, right in (("weight 0", first), ("with", more)):
            sure = "".join(f"{99 if one else 0:02d}" for one in right)
            curve = [
                {"step": step, "seconds": 2.0 * step, "accuracy": 50.0 + step} for step in (0, 5)
            ]
            runs.append(
                {
                    "arm": arm,
                    "seed": seed,
                    "steps": 5,
                    "seconds": 10.0,
                    "curve": curve,
                    "right": {"val": np.packbits(right).tobytes().hex()},
                    "percent_sure": sure,
                    "found by probe": 20.0 + (arm == "with"),
                }
            )
    runs.append({**runs[0], "seed": 3})  # a seed that not every arm has
    known = np.packbits(np.arange(200) < 150).tobytes().hex()
    return {"words": {"val": 200}, "known": {"val": known}, "runs": runs}


def test_a_sure_difference_is_told_from_none(results: Any) -> None:
    study = results.Study(a_study())
    assert study.seeds == [0, 1, 2]
    first, other = (study.right(arm, "val") for arm in study.arms)
    gain, low, high, chance = results.difference(first, other)
    assert gain == pytest.approx(10)
    assert 5 < low < 10 < high < 16
    assert chance < 1e-4
    assert results.difference(first, first) == (0, 0, 0, 1)
    assert results.plateau(study) == ""
    assert results.Study(a_study(), ["weight 0"]).seeds == [0, 1, 2, 3]
    table = results.accuracy_table(study)
    assert "| scene words | 200 |" in table
    assert "| in the training words | 150 |" in table
    sure = {"right": {"val": "ff" * 25}, "percent_sure": "99" * 100 + "10" * 100}
    by_confidence = results.accuracy_table(results.Study({**a_study(), "start": sure}))
    assert "| surer of before | 100 | 100.0 | " in by_confidence
    assert "+10.00 [" in table
    other_table = results.other_table(study)
    assert "+1.00 ± 0.00" in other_table
    assert "55.0 ± 0.0" in other_table
    assert study.calibration("with")[0] == pytest.approx(0.5, abs=0.1)
    doubtful = np.array([0.25, 0.5, 0.9] * 100)
    right = np.array([True, True, True] * 90 + [False, True, True] * 10)
    assert results.best_power(doubtful, right) < 0.5


def test_runs_of_more_steps_are_told_apart(results: Any) -> None:
    """They show the plateau, and count in no table."""
    raw = a_study()
    for run in raw["runs"]:
        run["accuracy"] = {"val": 70.0, "rendered": 60.0}
    longer = [
        {**raw["runs"][2 * seed], "steps": 20, "accuracy": {"val": 71.5, "rendered": 60.0}}
        for seed in range(2)
    ]
    study = results.Study({**raw, "runs": [*raw["runs"], *longer]})
    assert study.seeds == [0, 1, 2]
    assert "20 steps, 2 seeds, val: 71.5 ± 0.0, +1.50 ± 0.00 more than with 5" in results.plateau(
        study
    )


@pytest.mark.slow
def test_it_runs_at_toy_size_and_again(tmp_path: Path) -> None:
    """A study of two arms on rendered words: stopped and called again it repeats nothing, and its
    results are collected and drawn, without any word in them.
    """

    def call(script: str, *args: str) -> str:
        done = subprocess.run(
            [sys.executable, str(FOLDER / script), *args],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    small = ("--rendered", "--words", "40", "--scored", "24", "--steps", "4", "--batch", "8")
    folder = str(tmp_path / "study")
    for arms in (["weight 0"], ["weight 0", "+ own errors"]):
        call("clip_ablation.py", folder, *small, "--seeds", "0", "--arms", *arms)
    lines = (tmp_path / "study" / "results.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["arm"] for line in lines] == ["weight 0", "+ own errors"]
    kept = tmp_path / "raw.json"
    call("clip_ablation_results.py", folder, "--collect", str(kept))
    raw = kept.read_text("utf-8")
    labels = json.loads((tmp_path / "study" / "words.json").read_text("utf-8"))["rendered"][
        "labels"
    ]
    assert not [label for label in labels if len(label) > 4 and f'"{label}"' in raw]
    table = call("clip_ablation_results.py", str(kept), "--figures", str(tmp_path))
    assert "| rendered | 24 |" in table
    assert "<svg" in (tmp_path / "clip-ablation.svg").read_text("utf-8")
