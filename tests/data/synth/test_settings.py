"""Settings of styles: complete files, small changes to them, and errors that say what was meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from strhub.configs import CONFIG_DIR
from strhub.data.synth.backdrop import BACKDROPS
from strhub.data.synth.settings import StepRange, load_style, style_names
from strhub.data.synth.steps import step_limits


@pytest.mark.parametrize("name", style_names())
def test_bundled_files_name_every_step_in_order(name: str) -> None:
    content = yaml.safe_load((CONFIG_DIR / "style" / f"{name}.yaml").read_text("utf-8"))
    assert list(content["backdrops"]) == list(BACKDROPS)
    assert list(content["steps"]) == list(step_limits())
    assert list(load_style(name).steps) == list(step_limits())


def test_clean_words_have_no_damage() -> None:
    steps = load_style("default").steps
    for name in (
        "low_contrast",
        "pole",
        "leaves",
        "object",
        "low_resolution",
        "rotation",
        "cut",
        "neighbours",
    ):
        assert steps[name].probability[0] == 0


def test_mapping_changes_the_default() -> None:
    changed = load_style(
        {"margin": 1, "steps": {"jpeg": None, "pole": {"probability": 1, "strength": [0.1, 0.2]}}}
    )
    usual = load_style()
    assert changed.margin == (1.0, 1.0)
    assert changed.steps["jpeg"] == StepRange((0.0, 0.0), (0.0, 0.0))
    assert changed.steps["pole"] == StepRange((1.0, 1.0), (0.1, 0.2))
    assert changed.steps["noise"] == usual.steps["noise"]
    assert changed.backdrops == usual.backdrops
    assert load_style({"base": "simple"}) == load_style("simple") != usual


def test_file_and_hydra_configuration(tmp_path: Path) -> None:
    from omegaconf import OmegaConf

    own = tmp_path / "own.yaml"
    own.write_text("base: simple\nheight_median: [20, 30]\n", encoding="utf-8")
    assert load_style(own).height_median == load_style(str(own)).height_median == (20.0, 30.0)
    assert load_style(
        OmegaConf.create({"base": "simple", "height_median": [20, 30]})
    ) == load_style(own)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("defualt", "Did you mean 'default'"),
        ("no/such.yaml", "does not exist"),
        ({"heigth_median": 3}, "Did you mean 'height_median'"),
        ({"steps": {"jpg": None}}, "Did you mean 'jpeg'"),
        ({"steps": {"jpeg": {"probability": 1}}}, "lacks strength"),
        ({"steps": {"jpeg": {"propability": 1, "strength": 1}}}, "Did you mean 'probability'"),
        (
            {"steps": {"jpeg": {"probability": [0, 1.5], "strength": 1}}},
            r"jpeg.probability must lie in 0\.\.1",
        ),
        (
            {"steps": {"jpeg": {"probability": 1, "strength": 200}}},
            r"jpeg.strength must lie in 0\.\.80",
        ),
        ({"steps": {"jpeg": 0.5}}, "or null, not 0.5"),
        ({"steps": [1]}, "steps must be a mapping"),
        ({"backdrops": {"wod": 1}}, "Did you mean 'wood'"),
        ({"backdrops": dict.fromkeys(BACKDROPS, 0)}, "fraction above 0"),
        ({"margin": [1, 2, 3]}, "must be two numbers"),
        ({"margin": "wide"}, "must be two numbers"),
        ({"margin": -1}, "not below 0"),
        ({"margin": float("nan")}, "finite"),
        ({"sign_colours": 2}, "fraction"),
        ({"height_least": 1}, "at least 4 pixels"),
        ({"height_least": 90}, "not be above height_most"),
    ],
)
def test_bad_settings(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_style(source)


@pytest.mark.parametrize(
    ("content", "message"), [("a: [", "not YAML"), ("- 1", "must hold a mapping")]
)
def test_bad_files(tmp_path: Path, content: str, message: str) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        load_style(bad)


def test_files_that_are_based_on_each_other(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(f"base: {second.as_posix()}\n", encoding="utf-8")
    second.write_text(f"base: {first.as_posix()}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="base is circular"):
        load_style(first)
