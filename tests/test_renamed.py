"""Old names in scripts and files work until the version that their warning names."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from strhub import Recognizer, __version__
from strhub.checkpoint.schema import checked_hyper_parameters
from strhub.cli import arguments, data, overrides
from strhub.cli.data_commands import render, split
from strhub.cli.model_commands import calibrate
from strhub.cli.model_commands.recipe import RECIPES, read_recipe
from strhub.cli.read_parser import build_parser
from strhub.configs import former
from strhub.configs.former import FORMER_OPTIONS
from strhub.data.module import SceneTextDataModule
from strhub.inference import beam_search
from strhub.models.network import Network
from strhub.utils.options import REMOVED_IN

ROOT = Path(__file__).parent.parent
MODULE: dict[str, Any] = {
    "root_dir": "data",
    "train_dir": "real",
    "img_size": (32, 128),
    "charset_train": "ab",
    "max_label_length": 25,
}
# Where a former name is not spelled in the call itself, but in a table that `former_names` reads.
TABLES = {
    "cli/commands.py",
    "data/synth/__init__.py",
    "utils/options.py",
    "utils/renamed_option.py",
}


def calls() -> Iterator[tuple[str, str, ast.Call]]:
    """Name of the file and the function of each call that may warn of a former name."""
    for path in (ROOT / "strhub").rglob("*.py"):
        text = path.read_text("utf-8")
        if any(name in text for name in ("warn_renamed", "RenamedOption", "former_option")):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call):
                    yield str(path.relative_to(ROOT / "strhub")), ast.unparse(node.func), node


def former_names() -> set[str]:
    """All former names that warn, as CHANGELOG.md spells them."""
    names = {*FORMER_OPTIONS, *former._CHOICES, *beam_search.RENAMED, "load_drawing"}
    names = {name.removeprefix("data.") for name in names} | {"drawing_names"}
    names |= {f"--{name}" for name in arguments._RENAMED.values()}
    names |= {f"strhub-data {name}" for name in data._PROGRAM.renamed}
    for file, function, call in calls():
        first = call.args[0] if call.args else None
        if function == "former_option":
            names.add(ast.literal_eval(call.args[1]))
            continue
        renamed = function.endswith("warn_renamed") or any(
            ast.unparse(keyword.value) == "RenamedOption" for keyword in call.keywords
        )
        if renamed and isinstance(first, ast.Constant):
            names.add(str(first.value))
        elif renamed:
            assert file in {*TABLES, "cli/arguments.py"}, f"{file}: read its table here"
    return names


def test_the_changelog_lists_the_former_names() -> None:
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    section = changes.partition(f"They will be removed in {REMOVED_IN}:")[2]
    listed = re.findall(r"`([^`]+)`", section.partition("Names of the reference")[0])
    assert {*listed} - {"data"} == former_names()


def test_former_names_go_in_the_version_that_warnings_tell() -> None:
    numbers = [tuple(map(int, version.split(".")[:2])) for version in (__version__, REMOVED_IN)]
    assert numbers[0] < numbers[1], "remove the former names that CHANGELOG.md lists"
    with pytest.warns(FutureWarning, match=re.escape(f"removed in strhub {REMOVED_IN}")):
        overrides.prepare(["dataset=drawn"])


def test_options_of_reading() -> None:
    with pytest.warns(FutureWarning, match="second_look is now called reread_below"):
        assert Recognizer("strhub-tiny", second_look=0.25).reread_below == 0.25
    with pytest.warns(FutureWarning, match="--second_look is now called --reread_below"):
        args = build_parser().parse_args(["--images", "a.png", "--second_look", "0.25"])
    assert args.reread_below == 0.25
    with pytest.warns(FutureWarning, match="length_normalisation is now called length_norm"):
        Recognizer("strhub-tiny", top_k=2, length_normalisation=0.5)
    with pytest.warns(FutureWarning, match="--length_normalisation is now called --length_norm"):
        args = build_parser().parse_args(["--images", "a.png", "--length_normalisation", "0.5"])
    assert args.length_normalization == 0.5


def test_options_of_data_commands() -> None:
    parser = argparse.ArgumentParser()
    split.add_arguments(parser)
    with pytest.warns(FutureWarning, match="--share is now called --fraction"):
        args = parser.parse_args(["all", "first", "second", "--share", "0.25"])
    assert args.fraction == 0.25
    parser = argparse.ArgumentParser()
    render.add_arguments(parser)
    with pytest.warns(FutureWarning, match="--drawing is now called --style"):
        assert parser.parse_args(["folder", "--drawing", "simple"]).style == "simple"


def test_the_fraction_is_asked_for(tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    split.add_arguments(parser)
    with pytest.raises(ValueError, match="--fraction is missing"):
        split.run(parser.parse_args([str(tmp_path), "first", "second"]))


def test_data_commands(tmp_path: Path) -> None:
    with pytest.warns(FutureWarning, match="draw is now called render"):
        data.run(["draw", str(tmp_path / "words"), "--count", "2", "--workers", "1"])
    assert (tmp_path / "words" / "data.mdb").is_file()


@pytest.mark.parametrize(("old", "new"), sorted(FORMER_OPTIONS.items()))
def test_overrides(old: str, new: str) -> None:
    with pytest.warns(FutureWarning, match=f"{old} is now called {new}"):
        (prepared,) = overrides.prepare([f"{old}=3"])
    assert prepared.startswith(f"{new}=")


def test_hyper_parameters_in_files() -> None:
    assert checked_hyper_parameters({"second_look": 0.5}, {}, "a file") == {"reread_below": 0.5}


def test_options_of_data_and_of_networks() -> None:
    with pytest.warns(FutureWarning, match=r"data.val_share is now called data.val_fraction"):
        assert SceneTextDataModule(**MODULE, val_share=0.25).val_fraction == 0.25
    with pytest.raises(ValueError, match=r"val_share and data\.val_fraction"):
        SceneTextDataModule(**MODULE, val_share=0.25, val_fraction=0.5)
    with pytest.warns(FutureWarning, match="untold is now called not_in_weights"):

        class Named(Network):
            untold = ("img_size",)

    assert Named.not_in_weights == ("img_size",)


def test_recipes(tmp_path: Path) -> None:
    recipe = yaml.safe_load((RECIPES / "strhub-tiny.yaml").read_text("utf-8"))
    for stage in recipe["stages"]:
        if "images" in stage:
            stage["pictures"] = stage.pop("images")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(recipe), "utf-8")
    with pytest.warns(FutureWarning, match="pictures is now called images"):
        read = read_recipe(tmp_path / "own.yaml")
    assert read == read_recipe(RECIPES / "strhub-tiny.yaml")
    parser = argparse.ArgumentParser()
    calibrate.add_arguments(parser)
    with pytest.warns(FutureWarning, match=r"--drawn is now called --rendered"):
        assert parser.parse_args(["a.safetensors", "--drawn", "8"]).rendered == 8
    assert parser.parse_args(["a.safetensors"]).rendered == 1000


def test_rendered_words(tmp_path: Path) -> None:
    from strhub.data import synth

    with pytest.warns(FutureWarning) as warned:
        words = synth.DrawnWords(charset="ab", max_length=3, seed=0, drawing="simple")
    assert [str(one.message).partition(";")[0] for one in warned] == [
        "DrawnWords is now called RenderedWords",
        "drawing is now called style",
    ]
    with pytest.warns(FutureWarning, match="draw is now called render"):
        assert words.draw(0)[1] == words.render(0)[1]
    with pytest.warns(FutureWarning, match="draw_encoded is now called render_encoded"):
        assert words.draw_encoded(0) == words.render_encoded(0)
    with pytest.warns(FutureWarning, match="load_drawing is now called load_style"):
        assert synth.load_drawing is synth.load_style
    with pytest.warns(FutureWarning, match="drawing_names is now called style_names"):
        assert synth.drawing_names() == synth.style_names()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        synth.nothing  # noqa: B018


def test_images_of_exports_and_summaries(tmp_path: Path) -> None:
    from strhub import load
    from strhub.bulk import Summary
    from strhub.export import export

    with (
        pytest.warns(FutureWarning, match="pictures is now called calibration_images"),
        pytest.raises(ValueError, match="exported as"),
    ):
        export(load("strhub-tiny"), tmp_path / "model.bin", pictures=[])
    with pytest.warns(FutureWarning, match="pictures is now called images"):
        assert Summary(3, 0, 3, 0.5).pictures == 3
