"""A model from nothing, in legs."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from strhub import Recognizer
from strhub.checkpoint.zoo import load_from_checkpoint, locate
from strhub.cli.model_commands.recipe import KINDS, RECIPES
from strhub.data.sources.lmdb import LmdbWords, write_lmdb
from strhub.data.synth import RenderedWords
from strhub.weights import EMBEDDED_MODELS

SMALL = (
    "model.embed_dim=32",
    "model.enc_num_heads=1",
    "model.dec_num_heads=2",
    "model.enc_depth=1",
    "model.enc_stem=[]",
    "model.patch_size=[16,16]",
    "model.batch_size=8",
    "data.mixture_size=32",
    "data.num_workers=0",
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "callbacks.last.every_n_steps=1",
)
ROOT = Path(__file__).parent.parent.parent
RECIPE = RECIPES / "strhub-tiny.yaml"


def make(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "strhub", "model", "make", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


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
        elif "render" in stage:
            stage["arguments"] = ["--count", "4", "--difficulty", "0", "--workers", "1"]
    recipe["stages"][1]["min_confidence"] = 0.0
    recipe |= {
        "calibrate": ["--rendered", "8"],
        "evaluate": ["--rendered", "8", "--empty", "5", "--repeats", "1"],
    }
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
    made_words = LmdbWords(tmp_path / "out" / "doubted", prepare_label=str)
    assert all(made_words.soft_label(index) for index in range(4)), "by strhub-small"
    again = make(*arguments)
    assert again.returncode == 0
    assert "== " not in again.stdout, "what is done is not done again"


@pytest.mark.slow
@pytest.mark.timeout(900)  # nine programs, one after the other
def test_a_published_model_is_tuned_and_averaged_with_what_it_began_as(
    tmp_path: Path, word_tree: Path
) -> None:
    """The recipe of strhub-small, begun with its own weights: few steps, then the mean of all."""
    recipe = yaml.safe_load((RECIPE.parent / "strhub-small.yaml").read_text("utf-8"))
    stages = {next(iter(stage.values())): stage for stage in recipe["stages"]}
    stages["tuned"]["from"] = "strhub-small"
    stages["averaged"]["of"] = {"tuned": 0.25, "strhub-small": 0.75}
    stages["photos"]["images"] = "train/real"
    for name in ("tuned", "second", "third"):
        stages[name]["overrides"] += [
            "data.mixture_size=16",
            "data.num_workers=0",
            "trainer.max_epochs=1",
            "model.batch_size=8",
            "trainer.accelerator=cpu",
            "trainer.precision=32-true",
            "data.echo=1",
        ]
    recipe |= {
        "calibrate": ["--rendered", "8", "--blanks", "5"],
        "evaluate": ["--rendered", "2", "--empty", "2", "--repeats", "1"],
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    options = ("--data_root", word_tree, "--out", tmp_path / "out")
    made = make(tmp_path / "recipe.yaml", *options)
    assert made.returncode == 0, made.stderr
    assert "left out of the mixture: titles" in made.stdout
    assert "left out of the mixture: lines" not in made.stdout
    out = tmp_path / "out"
    tuned, second, third = (
        load_from_checkpoint(out / name / "checkpoints" / "last.ckpt").state_dict()
        for name in ("tuned", "second", "third")
    )
    began = load_from_checkpoint(locate("strhub-small")).state_dict()
    final = load_from_checkpoint(out / "strhub-small.safetensors").state_dict()
    moved = 0.0
    for name, tensor in final.items():
        averaged = 0.25 * tuned[name] + 0.75 * began[name]
        expected = 0.25 * second[name] + 0.25 * third[name] + 0.5 * averaged
        torch.testing.assert_close(tensor, expected.half().float(), rtol=2e-3, atol=1e-6)
        moved += float((second[name] - averaged).abs().sum())
    assert moved > 0
    assert LmdbWords(out / "photos", prepare_label=str).soft_label(0)
    reader = Recognizer(tmp_path / "out" / "strhub-small.safetensors", device="cpu")
    assert (reader.engine.word_prior, reader.reread_below) == (3, 0.5)  # type: ignore[attr-defined]
    [reading] = reader(ROOT / "demo_images" / "01.png")
    assert reading.error is None
    assert reading.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "cannot be read"),
        ("stages: []", "it lacks calibrate"),
        ("[]", "it lacks"),
        ("stages: [{from: a}]", "stage 1 must have one of train, label, render, average"),
        ("stages: [{train: a, label: b}]", "stage 1 must have one of"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "recipe.yaml").write_text(content)
    done = make(tmp_path / "recipe.yaml", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert message in done.stderr


@pytest.mark.parametrize("path", sorted(RECIPE.parent.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_embedded_models_recipes_name_what_there_is(path: Path) -> None:
    recipe = yaml.safe_load(path.read_text("utf-8"))
    assert recipe["weights"] == f"{path.stem}.safetensors"
    known: set[str] = set()
    for stage in recipe["stages"]:
        named = {stage.get("from"), stage.get("model"), *stage.get("of", {})} - {None}
        embedded = {*EMBEDDED_MODELS} - {path.stem}
        assert all(name in known | embedded or name.endswith(".safetensors") for name in named)
        [name] = [stage[kind] for kind in KINDS if kind in stage]
        assert name not in known
        known.add(name)
        assert set(stage.get("mixture", {})) - known <= {
            "rendered",
            "lines",
            "real",
            "pseudo",
            "print",
            "titles",
        }
