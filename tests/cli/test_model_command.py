"""strhub-model as a whole: its commands from the package, without the repository."""

import os
from pathlib import Path

import pytest

from strhub.cli.model import run
from strhub.cli.model_commands.recipe import RECIPES, find_recipe, read_recipe


def test_the_recipes_come_with_the_package() -> None:
    names = sorted(path.stem for path in RECIPES.glob("*.yaml"))
    assert names == ["strhub-small", "strhub-tiny"]
    for name in names:
        assert read_recipe(find_recipe(name))["weights"] == f"{name}.safetensors"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["averge"], "did you mean average"),
        (["make", "strhub-tini"], "Did you mean 'strhub-tiny'"),
        (["make", "none.yaml"], "none.yaml cannot be read"),
        (["make", "strhub-tiny", "--minutes", "0"], "--minutes is 0: it must be over 0"),
        (["label", ".", "out"], "there is no LMDB folder"),
        (["average", "a.ckpt", "1:strhub-small"], "to a .safetensors file"),
        (["measure", "strhub-tiny", "--sets", "gone", "--rendered", "1"], "gone is neither in"),
        (["measure", "strhub-tiny", "--rendered", "0"], "there are no words to measure on"),
        (["calibrate", "strhub-tiny", "--sets", "gone"], "gone is neither in"),
        (["plot", "metrics.csv", "curve.png"], "it has no column `step`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics.csv").write_text("loss\n1.0\n")
    with pytest.raises(ValueError, match=message):
        run(arguments)


def test_a_curve_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = ["step,loss,val_accuracy", "10,2.0,", "20,1.0,", "20,,50.0", "30,0.5,"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    run(["plot", str(tmp_path / "metrics.csv"), str(tmp_path / "curve.png")])
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_model_is_measured(capsys: pytest.CaptureFixture[str], word_tree: Path) -> None:
    sets = ["--data_root", str(word_tree), "--sets", "val/a"]
    run(["measure", "strhub-tiny", "--rendered", "4", "--empty", "5", "--repeats", "1", *sets])
    reported = capsys.readouterr().out
    assert "| rendered, difficulty 0 to 0.8 | 4 |" in reported
    assert "| val/a |" in reported
    assert "5 images with nothing to read" in reported
    assert "one look, 2 threads, batches of 32" in reported


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"loss,step\n1,0\nx,1\n", "row 2: could not convert string to float: 'x'"),
        (b"step,loss\n\n,2\n", "row 1: invalid literal for int"),
        (b"loss,step\n1\n", "row 1: int"),
        (b"\xff\xfe", "'utf-8' codec"),
        (b"step,loss\n" + b"1" * 200_000, "field larger than field limit"),
        (None, "not a regular file"),
    ],
)
def test_what_is_no_record_of_a_run_is_told(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "metrics.csv"
    if content is None:
        os.mkfifo(path)
    else:
        path.write_bytes(content)
    with pytest.raises((ValueError, OSError), match=message):
        run(["plot", str(path), str(tmp_path / "curve.png")])
    assert not (tmp_path / "curve.png").exists()
