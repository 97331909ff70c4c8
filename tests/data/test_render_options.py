"""The options of rendered words: one group, by the names that they have and had."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from strhub.cli.overrides import prepare
from strhub.cli.stored_run import with_stored
from strhub.configs import CONFIG_DIR
from strhub.configs.former import FORMER_DATA, present_data
from strhub.data.module import SceneTextDataModule
from strhub.data.render_options import RenderOptions
from strhub.data.sources.rendered import RenderedDataset
from strhub.data.sources.texts import TextDataModule
from strhub.errors import ConfigError
from strhub.training.config_checks import build, check_groups
from strhub.training.tuning_checks import check_same_search
from tests.small_runs import Compose

MODULE: dict[str, Any] = {
    "root_dir": "",
    "train_dir": "",
    "img_size": [16, 32],
    "max_label_length": 8,
    "charset_train": "abc",
    "batch_size": 2,
}

IMAGES = {"img_size": [32, 128], "normalize": "default", "keep_aspect": False}


def test_the_configuration_spells_the_defaults_once_more(compose_main: Compose) -> None:
    written = yaml.safe_load((CONFIG_DIR / "main.yaml").read_text("utf-8"))["data"]["render"]
    assert written == vars(RenderOptions())


def test_options_are_on_the_command_line(compose_main: Compose, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("abab\n", "utf-8")
    config = compose_main(
        *prepare(
            [
                "dataset=rendered",
                f"data.render.texts={{corpus: '{tmp_path}/words.txt', mixture: {{corpus: 1}}}}",
                "data.render.fonts=strhub/data/synth/fonts/Anton-Regular.ttf",
                "data.render.style={base: simple, steps: {rotation: null}}",
                "data.render.words=4",
                "data.render.difficulty=[0, 0.5]",
                "data.num_workers=0",
            ]
        )
    )
    check_groups(config)
    data = build(config.data, "data", **IMAGES)
    words = data.train_dataset.words
    assert isinstance(data.train_dataset, RenderedDataset)
    assert [Path(path).stem for path in words.renderer.shelf.paths] == ["Anton-Regular"]
    assert {data.train_dataset[index, 1].label.lower() for index in range(4)} == {"abab"}
    assert words.renderer.style.steps["rotation"].probability == (0.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"font": "a.ttf"}, r"'data.render' has no option 'font'. Did you mean 'fonts'\?"),
        ({"dificulty": 1}, "Did you mean 'difficulty'"),
        ({"words": "many"}, "data.render.words is 'many': it takes a whole number"),
        ({"difficulty": "hard"}, "data.render.difficulty is 'hard': it takes a number or a list"),
        ({"augment": 1}, "data.render.augment is 1: it takes true or false"),
        ({"texts": ["a"]}, "data.render.texts is .*: it takes a mapping"),
        ({"texts": {"corpsu": "a"}}, "'data.render.texts' has no option 'corpsu'.*'corpus'"),
        ({"texts": {"lengths": "a"}}, "data.render.texts.lengths is 'a'"),
        ({"texts": {"charset": "a"}}, "'data.render.texts' has no option 'charset'"),
        (7, "data.render is 7: it takes a mapping"),
    ],
)
def test_mistakes_are_one_line(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        SceneTextDataModule(**MODULE, render=options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+data.render.font=a", "'data.render' has no option 'font'"),
        ("data.render.words=-1", "data.render.words is -1: it must be a number of at least 0"),
        ("data.render.blanks=2", "data.render.blanks is 2: it must be a number from 0.0 to 1.0"),
        ("data.render.max_length=none", "data.render.max_length is 'none': it takes a whole"),
        ("data.render=7", "data.render is 7: it takes"),
    ],
)
def test_mistakes_are_found_before_anything_is_built(
    compose_main: Compose, override: str, message: str
) -> None:
    with pytest.raises(ConfigError if "font" not in override else ValueError, match=message):
        check_groups(compose_main("dataset=rendered", override))


FORMER: dict[str, Any] = {
    "drawn": 5,
    "draw_difficulty": [0, 0.2],
    "draw_max_length": 3,
    "draw_texts": {"lengths": [1, 2]},
    "draw_blanks": 0.25,
    "draw_validation": 3,
    "drawing": "simple",
    "augment_drawn": False,
}
PRESENT = RenderOptions(
    words=5,
    difficulty=[0, 0.2],
    max_length=3,
    texts={"lengths": [1, 2]},
    blanks=0.25,
    validation=3,
    style="simple",
    augment=False,
)


def test_former_names_go_on_working_and_warn(compose_main: Compose) -> None:
    with pytest.warns(FutureWarning, match=r"data\.\w+ is now called data\.render\.") as reported:
        assert SceneTextDataModule(**MODULE, **FORMER).render == PRESENT
    assert len(reported) == len(FORMER)
    with pytest.warns(FutureWarning, match="data.drawn is now called data.render.words"):
        data = TextDataModule(**MODULE, drawn=5, render=RenderOptions(blanks=0.5))
    assert (data.render.words, data.render.blanks) == (5, 0.5)
    config = compose_main("dataset=real")
    own = OmegaConf.create({"data": {**FORMER, "mixture": {"drawn": 1}}})  # of a user's experiment
    OmegaConf.set_struct(config, False)
    config.merge_with(own)
    check_groups(config)
    with pytest.warns(FutureWarning, match=r"data\.[\w.]+ is now called data\.(render|mixture)\."):
        data = build(config.data, "data", **IMAGES)
    assert data.render == PRESENT
    assert data.mixture == {"rendered": 1}


def test_an_option_has_one_of_its_names() -> None:
    with pytest.raises(
        ValueError, match=r"data\.drawn and data\.render\.words are two names of the same"
    ):
        present_data({"drawn": 1, "render": {"words": 2}})
    with pytest.raises(ValueError, match="'drawn' and 'rendered', which are the same"):
        present_data({"mixture": {"drawn": 1, "rendered": 1}})
    with pytest.raises(TypeError, match="has no option 'drawm'"):
        SceneTextDataModule(**MODULE, drawm=1)


def test_arguments_of_the_reference_are_positions() -> None:
    data = SceneTextDataModule("root", "real", (16, 32), 8, "abc", "ab", 4, 0, False)
    assert (str(data.root_dir), data.train_dir, data.charset_test) == ("root", "real", "ab")
    assert (data.batch_size, data.augment, data.render) == (4, False, RenderOptions())


def test_a_folder_does_not_stand_for_rendered_words_unsaid(tmp_path: Path) -> None:
    (tmp_path / "train" / "rendered").mkdir(parents=True)
    options: Mapping[str, Any] = {**MODULE, "root_dir": tmp_path, "mixture": {"rendered": 1}}
    with pytest.raises(ValueError, match=r"there is also a folder .*rendered: give that another"):
        SceneTextDataModule(**options)


def test_a_run_stored_with_former_names_resumes(tmp_path: Path) -> None:
    for name in ("config", "checkpoints"):
        (tmp_path / name).mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    stored = [
        "dataset=drawn",
        "data.drawn=48",
        "data.draw_texts=null",
        "data.draw_texts={lengths: [1]}",
        "data.mixture.drawn=0.5",
        "+data.drawing=simple",
    ]
    (tmp_path / "config" / "overrides.yaml").write_text(yaml.safe_dump(stored), "utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody has to mend a file of the past
        found = with_stored([f"ckpt_path={tmp_path}", "data.render.words=9"])
    assert found == [
        "dataset=rendered",
        "data.render.texts=null",
        "data.render.texts={lengths: [1]}",
        "data.mixture.rendered=0.5",
        "+data.render.style=simple",
        f"ckpt_path={tmp_path}",
        "data.render.words=9",
    ]


def test_a_search_stored_with_former_names_resumes(tmp_path: Path) -> None:
    present = OmegaConf.create({"data": {"render": vars(PRESENT), "mixture": {"rendered": 1}}})
    former = OmegaConf.create({"data": {**FORMER, "mixture": {"drawn": 1}}})
    (tmp_path / "search.yaml").write_text(OmegaConf.to_yaml(former), "utf-8")
    check_same_search(present, tmp_path)
    present.data.render.words = 6
    with pytest.raises(ValueError, match=r"that search had data\.render\.words=5, this has 6"):
        check_same_search(present, tmp_path)


def test_choices_have_former_names() -> None:
    with pytest.warns(FutureWarning, match="dataset=drawn is now called dataset=rendered"):
        assert prepare(["dataset=drawn"]) == ["dataset=rendered"]
    former, present = (
        yaml.safe_load((CONFIG_DIR / "dataset" / f"{name}.yaml").read_text("utf-8"))
        for name in ("drawn", "rendered")
    )
    assert former == present


def test_every_former_name_leads_somewhere() -> None:
    known = {f"render.{field.name}" for field in fields(RenderOptions)}
    assert {new for new in FORMER_DATA.values() if new.startswith("render.")} <= known
    assert set(FORMER) == {old for old in FORMER_DATA if "." not in old} - {"val_share"}
