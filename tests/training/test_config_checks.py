"""A value that cannot be is one line: the option, what it got, what it takes."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from small_runs import RENDERED_RUN, Compose

from strhub.configs import CONFIG_DIR
from strhub.training.config_checks import check_groups, check_top
from strhub.training.run import check_config, train
from strhub.utils.option_types import describe, takes


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """The default configuration, of which tests change copies."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("main", overrides=["output_dir=unused"])


MISTAKES = [
    ("model.img_size", 32, r"model.img_size is 32: it takes a list of whole numbers"),
    ("model.img_size", [32], r"model.img_size is \[32\]: it must be \[height, width\] in pixels"),
    ("model.img_size", [32, 0], r"model.img_size is \[32, 0\]"),
    ("model.max_label_length", "abc", r"model.max_label_length is 'abc': it takes a whole number"),
    ("model.batch_size", 0, r"model.batch_size is 0: it must be a number of at least 1"),
    ("model.lr", "abc", r"model.lr is 'abc': it takes a number"),
    ("model.lr", -1, r"model.lr is -1: it must be a number of at least 0"),
    ("model.charset_train", 123, r"model.charset_train is 123: it takes text"),
    ("model.decode_ar", 1, r"model.decode_ar is 1: it takes true or false"),
    ("model.embed_dim", 3.5, r"model.embed_dim is 3.5: it takes a whole number"),
    ("model.embed_dimm", 3, r"'embed_dimm'.*Did you mean 'embed_dim'"),
    ("data.num_workers", "abc", r"data.num_workers is 'abc': it takes a whole number"),
    ("data.num_workers", -1, r"data.num_workers is -1"),
    ("data.augment_on_device", 2,
        r"data.augment_on_device is 2: it must be a number from 0.0 to 1.0"),
    ("data.mixture", "real", r"data.mixture is 'real': it takes a mapping {name: value} or null"),
    ("data.train_dir", 2024, r"data.train_dir is 2024: it takes text"),
    ("data.train_dir", "???", r"data: Missing mandatory value: .*train_dir"),
    ("data.rotaton", 1, r"'data' has no option 'rotaton'. Did you mean 'rotation'"),
    ("trainer.max_epochs", "abc", r"trainer.max_epochs is 'abc': it takes a whole number or null"),
    ("trainer.precision", "15", r"trainer.precision is '15': it takes one of .*bf16-mixed"),
    ("trainer.max_epoch", 3, r"'trainer' has no option 'max_epoch'. Did you mean 'max_epochs'"),
    ("trainer.accumulate_grad_batches", 0, r"trainer.accumulate_grad_batches is 0"),
    ("callbacks.last.every_n_steps", "often",
        r"callbacks.last.every_n_steps is 'often': it takes a whole number"),
    ("callbacks.best", "no",
        r"callbacks.best is 'no': it must be a mapping with a `_target_`, or null"),
    ("callbacks.best._target_", "strhub.no.Such", r"callbacks.best._target_ is 'strhub.no.Such'"),
    ("callbacks.guard.patient", 3,
        r"'callbacks.guard' has no option 'patient'. Did you mean 'patience'"),
    ("optimizer.betas", 0.9, r"optimizer.betas is 0.9: it takes \[a number, a number\]"),
    ("schedule.cycle_momentum", "no", r"schedule.cycle_momentum is 'no': it takes true or false"),
    ("seed", None, r"seed is None: it takes a whole number"),
    ("seed", -1, r"seed is -1: it must be a number from 0"),
    ("compile", "yes", r"compile is 'yes': it takes true or false"),
    ("adapt.variants", "yes", r"adapt.variants is 'yes'"),
]  # fmt: skip


def check(config: DictConfig) -> None:
    """What `train` does first."""
    check_top(config)
    check_config(config)
    check_groups(config)


@pytest.mark.parametrize(("option", "value", "message"), MISTAKES)
def test_mistakes_in_any_group(
    composed: DictConfig, option: str, value: object, message: str
) -> None:
    config = composed.copy()
    OmegaConf.update(config, option, value, force_add=True)
    with pytest.raises(ValueError, match=message) as caught:
        check(config)
    assert "\n" not in str(caught.value)
    assert "call to target" not in str(caught.value)


def test_what_is_right_passes(composed: DictConfig) -> None:
    config = composed.copy()
    for option, value in (
        ("trainer.devices", 2),
        ("trainer.precision", 16),
        ("model.lr", 1),
        ("pretrained", 2024),
    ):
        OmegaConf.update(config, option, value)
    check(config)


@pytest.mark.slow
def test_every_experiment_passes(compose_main: Compose) -> None:
    groups = ("experiment", "logger", "optimizer", "averaging", "debug", "hardware")
    files = [
        (group, path.stem)
        for group in groups
        for path in sorted((CONFIG_DIR / group).glob("*.yaml"))
    ]
    assert len(files) > 25
    for group, name in files:
        plus = "+" if group in ("experiment", "hardware") else ""
        check(compose_main(f"{plus}{group}={name}", small=()))


@pytest.mark.parametrize(
    ("annotation", "right", "wrong", "words"),
    [
        (int, [0, -3], [True, 1.0, "1", None], "a whole number"),
        (float, [0, 1.5], [True, "1", None], "a number"),
        (bool, [True], [1, "true"], "true or false"),
        (str | None, ["", None], [1, []], "text or null"),
        (bool | str, [True, "strong"], [1], "true or false or text"),
        (Sequence[int], [[], [1, 2]], ["12", 1, [1.5], {"a": 1}], "a list of whole numbers"),
        (float | Sequence[float], [1, [0, 0.5]], ["a", ["a"]], "a number or a list of numbers"),
        (
            Mapping[str, float] | None,
            [{"a": 1}, None],
            [[], "a"],
            "a mapping {name: value} or null",
        ),
        (tuple[float, float], [[1, 2]], [[1], 1, "ab"], "[a number, a number]"),
        (Literal["a", 3], ["a", 3], ["b"], "one of a, 3"),
        (Any, [1, "a", None], [], "something else"),
    ],
)
def test_types(annotation: Any, right: list[Any], wrong: list[Any], words: str) -> None:
    assert all(takes(annotation, value) for value in right)
    assert not any(takes(annotation, value) for value in wrong)
    assert describe(annotation) == words


def test_no_words_to_validate_on_is_said_before_the_model_is_built(
    compose_main: Compose, word_tree: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And `data.val_fraction` holds words out, the same ones each time."""
    from strhub.training import run

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(word_tree / "train")
    config = compose_main(
        *RENDERED_RUN, "dataset=real", "data.render.words=0", f"data.root_dir={tmp_path}/data"
    )
    monkeypatch.setattr(
        run,
        "model_from_config",
        lambda _: pytest.fail("the model was built before the data was seen"),
    )
    with pytest.raises(
        ValueError, match=r"no words to validate on.*data.val_fraction=0.05.*data.render.validation"
    ):
        train(config)
    config.data.val_fraction = 0.25
    data = run.data_from_config(config, run.configured_hparams(config))
    run.check_data(config, data)
    held, rest = (
        sorted(word.label for word in part) for part in (data.val_dataset, data.train_dataset)
    )
    assert (len(held), len(rest)) == (10, 30)
    config.data.val_fraction = 0.0
    everything = run.data_from_config(config, run.configured_hparams(config)).train_dataset
    assert sorted([*held, *rest]) == sorted(
        everything[index].label for index in range(len(everything))
    )
    config.data.val_fraction = 0.001
    with pytest.raises(ValueError, match="of 40 training words that leaves none on one side"):
        run.check_data(config, run.data_from_config(config, run.configured_hparams(config)))
    config.data.render.words = 10
    with pytest.raises(ValueError, match=r"data\.val_fraction is 0\.001"):
        run.data_from_config(config, run.configured_hparams(config))
