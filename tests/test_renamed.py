"""Old names in scripts and files go on working for one version, and warn."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from strhub import Recognizer
from strhub.checkpoint.schema import checked_hyper_parameters
from strhub.cli import data, overrides
from strhub.cli.data_commands import render, split
from strhub.cli.read_parser import build_parser
from strhub.configs.former import FORMER_OPTIONS


def test_options_of_reading() -> None:
    with pytest.warns(FutureWarning, match="second_look is now called reread_below"):
        assert Recognizer("strhub-tiny", second_look=0.25).reread_below == 0.25
    with pytest.warns(FutureWarning, match="--second_look is now called --reread_below"):
        args = build_parser().parse_args(["--images", "a.png", "--second_look", "0.25"])
    assert args.reread_below == 0.25


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


def test_rendered_words(tmp_path: Path) -> None:
    from strhub.data import synth

    with pytest.warns(FutureWarning) as told:
        words = synth.DrawnWords(charset="ab", max_length=3, seed=0, drawing="simple")
    assert [str(one.message).partition(";")[0] for one in told] == [
        "DrawnWords is now called RenderedWords",
        "drawing is now called style",
    ]
    with pytest.warns(FutureWarning, match="draw is now called render"):
        assert words.draw(0)[1] == words.render(0)[1]
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
