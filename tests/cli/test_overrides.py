"""Paths, texts and mappings as users have them, on the command lines that Hydra reads."""

import json

import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from strhub.cli.overrides import TEXTS, parse, prepare, split, unpack_mappings
from strhub.configs import CONFIG_DIR
from strhub.errors import ConfigError

FOLDERS = [
    "dät", "данные", "a,b", "a(1)", "a[1]", "a#b", "a'b", 'a"b', "a&b", "a=b", "~a", "a b", " a",
        "a:b", "{a}", "100%",
    "2024", "1_000", "true", "1e3", "epoch=3-step=12-val_accuracy=87.50.ckpt", "C:\\words\\new",
    "a\\", "$a", "x" * 300,
]  # fmt: skip
CHARSETS = [
    "0123456789",
    "é0123456789",
    "0123456789.,",
    "1_000",
    "true",
    "[]{}()",
    "\\'\"",
    "${}",
    "a,b",
    "~!@#$%^&*",
]


def value_of(argument: str) -> object:
    """What Hydra and OmegaConf make of an option's argument."""
    *_, last = map(parse, prepare([argument]))
    return OmegaConf.create({"model": {"name": "parseq"}, "value": last.value}).value


@pytest.mark.parametrize("text", FOLDERS)
def test_any_path_is_a_path(text: str) -> None:
    assert value_of(f"data.root_dir={text}") == text
    assert parse(prepare([f"+ckpt_path={text}"])[0]).value == text


@pytest.mark.parametrize("letters", CHARSETS)
def test_any_letters_are_a_charset(letters: str) -> None:
    assert value_of(f"model.charset_train={letters}") == letters


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1))
def test_text_comes_through_hydras_grammar(text: str) -> None:
    """Unless it is quoted already, or refers to another option, as a whole value may."""
    quoted = text[0] in "'\"" and text[-1] == text[0]
    (prepared,) = prepare([f"model.charset_train={text}"])
    if not quoted and text.lower() != "null" and not text.startswith("${"):
        assert str(parse(prepared).value).replace("\\${", "${") == text
    assert prepare([prepared]) == [prepared], "a process that another one starts prepares it again"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("pretrained=null", None),
        ("pretrained='a,b'", "a,b"),
        ('pretrained="2024"', "2024"),
        (r"data.root_dir=a\,b", "a,b"),  # as Hydra's documentation has it
        ("data.shards=words-{000..099}.tar", "words-{000..099}.tar"),
        ("data.shards=[a=1.tar,2024,dät.tar]", ["a=1.tar", "2024", "dät.tar"]),
        ("data.num_workers=3", 3),
        (
            "tune.space={model.dropout: {uniform: [0.0, 0.3]}}",
            {"model.dropout": {"uniform": [0.0, 0.3]}},
        ),
    ],
)
def test_what_has_a_meaning_keeps_it(argument: str, value: object) -> None:
    assert value_of(argument) == value


def test_a_reference_to_another_option_stays_one() -> None:
    assert value_of("data.root_dir=${model.name}/words") == "parseq/words"
    assert value_of("data.root_dir=${model.name}") == "parseq"


def test_several_values_are_several_runs_where_that_is_asked_for() -> None:
    assert prepare(["data.root_dir=a,b"], sweep=True) == ["data.root_dir=a,b"]
    assert prepare(["data.root_dir=a,b"]) == ["data.root_dir='a,b'"]


@pytest.mark.parametrize(
    "experiment", [[], ["+experiment=strhub-tiny"]]
)  # which has a mixture, and main.yaml has none
def test_a_mapping_takes_the_place_of_the_one_before(experiment: list[str]) -> None:
    arguments = prepare(
        [
            "data.mixture={real: 0.5, rendered: 0.5}",
            "data.render.texts={corpus: dät, mixture: {word: 1}}",
        ]
    )
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("main", overrides=[*experiment, *arguments])
    assert config.data.mixture == {"real": 0.5, "rendered": 0.5}
    assert config.data.render.texts == {"corpus": "dät", "mixture": {"word": 1}}


@pytest.mark.parametrize(
    "mixture",
    [
        {"dät": 0.5, "данные/a b": 0.25, "drawn": 0.25},
        {"a,b": 1, "a(1)": 2, "a[1]": 1, "a'b": 1, "a#b": 1, "a=b": 3},
        {"a: b": 1},
        {"2024": 1, "null": 2},
    ],
)
def test_folders_of_a_mixture_have_any_name(mixture: dict[str, float]) -> None:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose(
            "main", overrides=prepare([f"data.mixture={json.dumps(mixture, ensure_ascii=False)}"])
        )
    unpack_mappings(config)
    assert config.data.mixture == mixture


@pytest.mark.parametrize(
    "text",
    ["{ä: {_target_: os.system}}", "{ä: '${oc.env:HOME}'}", "{ä: !!set {}}", "{ä: 1", "{ä}:"],
)
def test_a_text_that_is_no_plain_mapping(text: str) -> None:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        config = compose("main", overrides=["data.mixture=null"])
    config.data.mixture = text.replace("${", "\\${")
    with pytest.raises(ConfigError, match=r"data\.mixture: "):
        unpack_mappings(config)


def test_every_text_option_is_in_the_table() -> None:
    """Texts and paths among the defaults, and what is null there and named like one."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        composed = [
            compose(name, overrides=["+experiment=tune_abinet-lm"]) for name in ("tune", "bench")
        ]
    kinds = (
        "_dir",
        "path",
        "file",
        "words",
        "charset",
        "pretrained",
        "weights",
        "name",
        "uri",
        "vocabulary",
        "merges",
    )
    numbers = (
        "data.shard_words",
        "finetune.decay_weights_only",
        "logger.csv.name",
        "logger.tensorboard.name",
        "callbacks.best.filename",
    )
    found = {
        name
        for config in composed
        for name, value in flat(OmegaConf.to_container(config), "").items()
        if any(kind in name.rpartition(".")[2] for kind in kinds)
        and not isinstance(value, int | float)
    }
    missing = {
        name for name in found - {*TEXTS, *numbers} if not name.endswith(("save_dir", "dirpath"))
    }
    assert not missing


def flat(node: object, name: str) -> dict[str, object]:
    if not isinstance(node, dict):
        return {name: node}
    return {
        key: value
        for part in node
        for key, value in flat(node[part], f"{name}.{part}".lstrip(".")).items()
    }


def test_flags_and_overrides_are_told_apart() -> None:
    arguments = [
        "--config-dir",
        "a=b",
        "model=crnn",
        "-m",
        "--cfg=job",
        "~callbacks.best",
        "--package",
        "data",
    ]
    overrides, flags = split(arguments)
    assert overrides == ["model=crnn", "~callbacks.best"]
    assert flags == ["--config-dir", "a=b", "-m", "--cfg=job", "--package", "data"]
