"""The presets fit every model."""

import pytest
from hydra.utils import instantiate
from small_runs import Compose
from torch import nn

from strhub.configs import CONFIG_DIR
from strhub.models.layers.attention import MultiHeadAttention
from strhub.training.callbacks import WithoutDropout
from strhub.training.run import check_config, configured_hparams, data_from_config

MODELS = sorted(path.stem for path in (CONFIG_DIR / "model").glob("*.yaml"))


@pytest.mark.parametrize("model", [*(f"model={name}" for name in MODELS), "+experiment=svtr-tiny"])
def test_debugging_and_hardware_presets_fit_every_model(compose_main: Compose, model: str) -> None:
    config = compose_main(model, "debug=overfit", "+hardware=gpu", small=())
    check_config(config)
    data = data_from_config(
        config, configured_hparams(config)
    )  # an error for what a model cannot have
    assert data.echo == (1 if data.keep_aspect else 4)
    assert data.keep_aspect == bool(config.model.get("keep_aspect"))
    assert data.limit_words == 64
    assert any(
        isinstance(instantiate(one), WithoutDropout) for one in config.callbacks.values() if one
    )


def test_no_dropout_under_any_name() -> None:
    attention = MultiHeadAttention(embed_dim=8, num_heads=2, dropout=0.1)
    modules = nn.ModuleDict(
        {"attention": attention, "a": nn.Dropout(0.2), "b": nn.LSTM(2, 2, 2, dropout=0.3)}
    )
    WithoutDropout().on_fit_start(None, modules)  # type: ignore[arg-type]
    assert [modules["attention"].dropout, modules["a"].p, modules["b"].dropout] == [0.0, 0.0, 0.0]
