"""strhub-model calibrate writes what it fits into a model's file, and what it measured on other
words into its card.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from strhub.checkpoint.formats import read_checkpoint
from strhub.inference.onnx_engine import OnnxEngine
from strhub.text.correction import CALIBRATION, CORRECTION, Calibration, Correction
from strhub.weights import embedded_graph, embedded_weights

ROOT = Path(__file__).parents[2]


def calibrate(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "strhub", "model", "calibrate", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_temperature_and_correction_are_fitted_and_kept(tmp_path: Path, word_tree: Path) -> None:
    weights = tmp_path / embedded_weights().name
    for file in (embedded_weights(), embedded_graph()):
        shutil.copy(file, tmp_path / file.name)
    done = calibrate(
        weights,
        "--data_root",
        word_tree,
        "--sets",
        "val/a",
        "SVT",
        "--limit",
        "8",
        "--keep_temperature",
        "--blanks",
        "30",
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"all +12 words: error with one look [\d.]+ % \(by chance", done.stdout)
    before, after = read_checkpoint(embedded_weights()), read_checkpoint(weights)
    assert after.hparams["temperature"] == before.hparams["temperature"]
    errors = after.card["calibration_error"]["all"]
    assert errors["words"] == 12
    for way in (errors["one_look"], errors["all_looks"]):
        assert 0 <= way["low"] <= way["without_chance"] <= way["high"] <= 1
        assert way["without_chance"] <= way["error"]
    assert after.card["calibrated_on"].startswith("val/a, SVT; the errors are of 5 parts")
    engine = OnnxEngine(weights.with_suffix(".onnx"))
    assert engine.correction == Correction(*after.hparams[CORRECTION])
    assert engine.calibration == Calibration(*after.hparams[CALIBRATION])
