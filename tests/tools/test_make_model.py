"""A model from nothing, in legs."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from strhub import Recognizer
from strhub.data.sources.lmdb import write_lmdb
from strhub.data.synth import RenderedWords

SMALL = (
    "model.embed_dim=32", "model.enc_num_heads=1", "model.dec_num_heads=2", "model.enc_depth=1",
        "model.enc_stem=[]",
    "model.patch_size=[16,16]", "model.batch_size=8", "data.mixture_size=32", "data.num_workers=0",
    "trainer.max_epochs=2", "trainer.accelerator=cpu", "callbacks.last.every_n_steps=1",
)  # fmt: skip
ROOT = Path(__file__).parent.parent.parent
RECIPE = ROOT / "tools" / "recipes" / "strhub-tiny.yaml"


def make(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "tools" / "make_model.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_stopped_and_resumed_it_makes_a_model_that_reads(tmp_path: Path, word_tree: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("train", "val", "test"):
        (tmp_path / "data" / name).symlink_to(word_tree / name)
    words = RenderedWords(charset="ab", max_length=4, seed=9, difficulty=0.0)
    (tmp_path / "data" / "unlabelled").mkdir()
    write_lmdb(tmp_path / "data" / "unlabelled" / "a", [words.render(index) for index in range(8)])
    recipe = yaml.safe_load(RECIPE.read_text("utf-8"))
    for stage in recipe["stages"]:
        if "train" in stage:
            stage["overrides"] = ["+experiment=strhub-tiny", *SMALL]
    recipe["stages"][1]["min_confidence"] = 0.0
    recipe |= {"calibrate": ["--drawn", "8"], "evaluate": ["--drawn", "8", "--empty", "5"]}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    arguments = (
        tmp_path / "recipe.yaml",
        "--data_root",
        tmp_path / "data",
        "--out",
        tmp_path / "out",
    )
    stopped = make(*arguments, "--minutes", "0.05")
    assert stopped.returncode == 75, stopped.stderr
    assert "the same command resumes" in stopped.stdout
    made = make(*arguments)
    assert made.returncode == 0, made.stderr
    assert "left out of the mixture: pseudo" in made.stdout
    assert "| rendered, difficulty 0 to 0.8 | 8 |" in made.stdout
    reading = Recognizer(tmp_path / "out" / "strhub-tiny.safetensors", device="cpu")(
        ROOT / "demo_images" / "01.png"
    )[0]
    assert reading.error is None
    again = make(*arguments)
    assert again.returncode == 0
    assert "== " not in again.stdout, "what is done is not done again"


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "cannot be read"), ("stages: []", "it lacks calibrate"), ("[]", "it lacks")],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "recipe.yaml").write_text(content)
    done = make(tmp_path / "recipe.yaml", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert message in done.stderr


def test_the_embedded_models_recipe_names_what_there_is() -> None:
    recipe = yaml.safe_load(RECIPE.read_text("utf-8"))
    names = [stage.get("train") or stage["label"] for stage in recipe["stages"]]
    assert len(set(names)) == len(names)
    for target, stage in enumerate(recipe["stages"]):
        before = names[:target]
        assert stage.get("from", stage.get("model", names[0])) in [*before, names[0]]
