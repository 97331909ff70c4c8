"""Frozen encoders, rates by layer, weight decay on weights alone, and resuming across all of it."""

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import Callback
from tests_support import PowerCut
from torch import nn

from strhub.checkpoint.experiments import experiment_hyper_parameters
from strhub.checkpoint.resizing import character_tables
from strhub.checkpoint.scene_text_model import build_network
from strhub.configs import CONFIG_DIR
from strhub.training.fine_tuning import FineTuning, encoder_layers
from strhub.training.optimizers import MuonWithAdamW
from strhub.training.parameter_groups import is_undecayed, split_groups
from strhub.training.run import model_from_config, train

pytestmark = pytest.mark.numeric

QUICK = (
    "dataset=rendered", "data.num_workers=0", "data.render.difficulty=0", "data.render.words=48",
        "trainer.log_every_n_steps=1",
    "logger=csv", "+trainer.enable_progress_bar=false", "trainer.accelerator=cpu",
    "trainer.devices=1", "callbacks.summary=null", "trainer.limit_val_batches=0",
    "callbacks.best=null", "averaging=none", "callbacks.last=null", "callbacks.rate=null",
    "model.enc_depth=2", "model.enc_stem=[8]", "data.augment=false",
    "+callbacks.recorder._target_=test_fine_tuning.Recorder",
)  # fmt: skip
State = dict[str, torch.Tensor]


class Recorder(Callback):
    """Keeps what the network's numbers were before the first step and after each, and its learning
    rates.
    """

    states: list[State]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        Recorder.states = [state_of(pl_module)]

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *arguments: Any) -> None:
        Recorder.states.append(state_of(pl_module))


def state_of(system: Any) -> State:
    return {name: tensor.detach().clone() for name, tensor in system.model.state_dict().items()}


def recorded(config: Any) -> list[State]:
    train(config)
    return Recorder.states


def moved(before: State, after: State) -> set[str]:
    """Parts of the network whose numbers differ, such as `encoder.blocks.0`."""
    names = {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}
    return {
        ".".join(name.split(".")[: 3 if "blocks" in name else 2 if "encoder" in name else 1])
        for name in names
    }


ENCODER = {
    "encoder.patch_embed",
    "encoder.pos_embed",
    "encoder.blocks.0",
    "encoder.blocks.1",
    "encoder.norm",
}
REST = {"decoder", "head", "text_embed", "pos_queries"}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_frozen_encoder_does_not_move_by_a_bit(compose_main: Any, optimizer: str) -> None:
    options = [f"optimizer={optimizer}", "model.weight_decay=0.1", "finetune.freeze_encoder=true"]
    states = recorded(compose_main(*QUICK, *options, "trainer.max_epochs=1"))
    assert len(states) == 7
    assert moved(states[0], states[-1]) == REST
    # Running statistics of norms are no parameters: they must rest as well.
    assert any("running_mean" in name for name in states[0])


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_after_the_steps_given_the_encoder_learns(compose_main: Any, optimizer: str) -> None:
    config = compose_main(
        *QUICK, f"optimizer={optimizer}", "finetune.freeze_encoder=4", "trainer.max_epochs=1"
    )
    states = recorded(config)
    assert moved(states[0], states[4]) == REST
    assert moved(states[4], states[5]) == REST | ENCODER
    assert not torch.equal(
        states[4]["encoder.patch_embed.stem.1.running_mean"],
        states[5]["encoder.patch_embed.stem.1.running_mean"],
    )


def test_layers_begin_to_learn_one_after_the_other(compose_main: Any) -> None:
    options = ["finetune.freeze_encoder=1", "finetune.unfreeze_every=2", "trainer.max_epochs=1"]
    states = recorded(compose_main(*QUICK, *options))
    steps = [moved(before, after) - REST for before, after in pairwise(states)]
    top, middle = {"encoder.blocks.1", "encoder.norm"}, {"encoder.blocks.0"}
    assert steps == [set(), top, top, top | middle, top | middle, ENCODER]


@pytest.mark.parametrize(
    ("optimizer", "stop_at"),
    [
        ("adamw", 4),
        ("muon", 3),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("adamw", 2), ("muon", 5))),
    ],
)
def test_a_stopped_run_goes_on_across_the_switch(
    compose_main: Any, tmp_path: Path, optimizer: str, stop_at: int
) -> None:
    common = [
        *QUICK,
        f"optimizer={optimizer}",
        "finetune.freeze_encoder=3",
        "finetune.unfreeze_every=1",
        "finetune.layer_decay=0.5",
        "finetune.decoder_rate=2",
        "finetune.decay_weights_only=true",
        "model.weight_decay=0.1",
        "trainer.max_epochs=1",
    ]
    whole = recorded(compose_main(*common, f"output_dir={tmp_path / 'whole'}"))
    last = [
        "callbacks.last._target_=strhub.training.callbacks.LastCheckpoint",
        f"callbacks.last.dirpath={tmp_path / 'part'}",
    ]
    stop = ["callbacks.last.every_n_steps=1", "+callbacks.stop._target_=tests_support.StopAfter"]
    again = [option for option in common if option != "callbacks.last=null"]
    with pytest.raises(PowerCut):
        train(compose_main(*again, *last, *stop, f"+callbacks.stop.step={stop_at}"))
    rest = recorded(
        compose_main(
            *common, f"output_dir={tmp_path / 'rest'}", f"ckpt_path={tmp_path / 'part/last.ckpt'}"
        )
    )
    assert len(rest) == 7 - stop_at
    for expected, state in zip(whole[stop_at:], rest, strict=True):
        for name, tensor in expected.items():
            assert torch.equal(tensor, state[name]), name


def groups_of(config: Any) -> tuple[Any, list[dict[str, Any]]]:
    """A model made ready for training, and its optimizer's groups before the schedule touches
    them.
    """
    system = model_from_config(config)
    return system, split_groups(
        system.named_parameters(), system.fine_tuning, system.encoder(), lr=1.0, weight_decay=0.1
    )


def test_rates_by_layer(compose_main: Any) -> None:
    system, groups = groups_of(
        compose_main(*QUICK, "finetune.layer_decay=0.5", "finetune.decoder_rate=19")
    )
    rates = {name: group["lr"] for group in groups for name, _ in group["params"]}
    assert set(rates) == {name for name, _ in system.named_parameters()}
    for prefix, rate in (
        ("encoder.norm", 1.0),
        ("encoder.blocks.1", 1.0),
        ("encoder.blocks.0", 0.5),
        ("encoder.pos_embed", 0.25),
        ("encoder.patch_embed", 0.25),
        ("decoder", 19.0),
        ("head", 19.0),
        ("text_embed", 19.0),
        ("pos_queries", 19.0),
    ):
        found = {value for name, value in rates.items() if name.startswith(f"model.{prefix}")}
        assert found == {rate}, prefix


def test_weight_decay_on_weights_alone(compose_main: Any) -> None:
    _, groups = groups_of(compose_main(*QUICK, "finetune.decay_weights_only=true"))
    decays = {name: group["weight_decay"] for group in groups for name, _ in group["params"]}
    assert set(decays.values()) == {0.0, 0.1}
    for name, decay in decays.items():
        spared = name.endswith("bias") or "norm" in name or "pos_" in name or ".stem.1." in name
        assert decay == (0.0 if spared else 0.1), name
    assert is_undecayed("model.cls_token", nn.Parameter(torch.zeros(1, 1, 4)))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_optimizer_and_schedule_have_the_rates(compose_main: Any, optimizer: str) -> None:
    config = compose_main(
        *QUICK,
        f"optimizer={optimizer}",
        "finetune.layer_decay=0.5",
        "trainer.max_epochs=1",
        "model.warmup_pct=0.5",
    )
    system = model_from_config(config)
    system.trainer = SimpleNamespace(  # type: ignore[assignment]
        accumulate_grad_batches=1,
        world_size=1,
        datamodule=None,
        estimated_stepping_batches=6,
        precision="32-true",
    )
    made = system.configure_optimizers()
    highest = system.effective_lr()
    rates = {
        group["name"].removesuffix("-matrices").removesuffix("-rest"): group["max_lr"] / highest
        for group in made["optimizer"].param_groups
    }
    assert rates == {"encoder-0": 0.25, "encoder-1": 0.5, "encoder-2": 1.0, "others": 1.0}
    before = [group["lr"] for group in made["optimizer"].param_groups]
    for _ in range(3):
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    after = [group["lr"] for group in made["optimizer"].param_groups]
    growth = {round(new / old, 6) for new, old in zip(after, before, strict=True)}
    assert len(growth) == 1, "the schedule moves all alike"
    count = sum(parameter.numel() for parameter in system.parameters())
    assert (
        sum(p.numel() for group in made["optimizer"].param_groups for p in group["params"]) == count
    )


def test_without_options_the_optimizer_is_as_before(compose_main: Any) -> None:
    system = model_from_config(compose_main(*QUICK))
    system.trainer = SimpleNamespace(  # type: ignore[assignment]
        accumulate_grad_batches=1,
        world_size=1,
        datamodule=None,
        estimated_stepping_batches=6,
        precision="32-true",
    )
    (group,) = system.configure_optimizers()["optimizer"].param_groups
    assert "name" not in group
    assert [id(p) for p in group["params"]] == [id(p) for p in system.parameters()]


def test_on_several_devices_gradients_are_made_and_dropped(
    compose_main: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that had no gradient for what another has would wait for ever."""
    monkeypatch.setattr(
        torch.distributed, "all_reduce", lambda *_: None
    )  # the other device has the same words
    system = model_from_config(compose_main(*QUICK, "finetune.freeze_encoder=2"))
    loop = SimpleNamespace(epoch_loop=SimpleNamespace(total_batch_idx=0))
    system.trainer = SimpleNamespace(  # type: ignore[assignment]
        accumulate_grad_batches=1, world_size=2, global_step=1, global_rank=0, fit_loop=loop
    )
    system.train()
    system.on_train_batch_start(None, 0)
    system.training_loss(torch.zeros(2, 3, 32, 128), ["a", "b"]).backward()
    assert all(parameter.grad is not None for parameter in system.parameters())
    assert not system.model.encoder.patch_embed.stem.training
    system.on_before_optimizer_step(None)
    named = dict(system.model.named_parameters())
    assert {name for name, p in named.items() if p.grad is None} == {
        n for n in named if n.startswith("encoder.")
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze_encoders": 1}, "'freeze_encoders'.*Did you mean 'freeze_encoder'"),
        ({"freeze_encoder": -1}, "freeze_encoder is -1: it must be true, false, a number of steps"),
        ({"freeze_encoder": 0.5}, "freeze_encoder is 0.5"),
        ({"unfreeze_every": 0}, "unfreeze_every is 0"),
        ({"freeze_encoder": True, "unfreeze_every": 5}, "unfreeze_every needs a number of steps"),
        ({"layer_decay": 0}, "layer_decay is 0: it must be positive and at most 1"),
        ({"layer_decay": 1.5}, "layer_decay is 1.5"),
        ({"decoder_rate": -1}, "decoder_rate is -1: it must be positive$"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FineTuning.from_options(options)


@pytest.mark.parametrize(
    ("options", "frozen"),
    [
        ({}, [0, 0, 0, 0, 0, 0]),
        ({"freeze_encoder": False}, [0, 0, 0, 0, 0, 0]),
        ({"freeze_encoder": True}, [4, 4, 4, 4, 4, 4]),
        ({"freeze_encoder": 2}, [4, 4, 0, 0, 0, 0]),
        ({"unfreeze_every": 1}, [3, 2, 1, 0, 0, 0]),
        ({"freeze_encoder": 1, "unfreeze_every": 2}, [4, 3, 3, 2, 2, 1]),
    ],
)
def test_what_is_frozen_follows_from_the_step(options: dict[str, Any], frozen: list[int]) -> None:
    parsed = FineTuning.from_options(options)
    assert [parsed.frozen_layers(step, 4) for step in range(6)] == frozen
    assert parsed.freezes == (max(frozen) > 0)


# Small enough to build in a moment; other architectures are as they are.
SMALLER = {
    "parseq": {"embed_dim": 32, "enc_num_heads": 1, "dec_num_heads": 2, "enc_depth": 2},
    "vitstr": {"embed_dim": 32, "num_heads": 1, "depth": 2},
}
ARCHITECTURES = sorted({path.stem for path in (CONFIG_DIR / "model").glob("*.yaml")})


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_has_an_encoder_of_layers(name: str) -> None:
    main, model, charset = (
        OmegaConf.load(CONFIG_DIR / path)
        for path in ("main.yaml", f"model/{name}.yaml", "charset/36_lowercase.yaml")
    )
    sizes = {key: main.model[key] for key in ("img_size", "max_label_length")}
    hparams = {**sizes, **OmegaConf.to_container(model), **charset.model, **SMALLER.get(name, {})}  # type: ignore[dict-item, list-item]
    network, tables = build_network(hparams), character_tables(hparams)
    layers = encoder_layers(network, tables)
    assert len(layers) >= 2
    assert all(any(p.ndim > 1 for p in layer.parameters()) for layer in layers), (
        "no layer of norms alone"
    )
    names = {
        id(parameter): parameter_name for parameter_name, parameter in network.named_parameters()
    }
    held = [names[id(parameter)] for layer in layers for parameter in layer.parameters()]
    assert len(held) == len(set(held))
    assert not set(held) & set(tables), "what reads characters is no encoder"
    first = next(
        module_name
        for module_name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    )
    assert f"{first}.weight" in {names[id(parameter)] for parameter in layers[0].parameters()}


def test_layers_of_the_base_model() -> None:
    hparams = experiment_hyper_parameters("parseq-tiny")
    network = build_network({**hparams, "enc_depth": 3})
    layers = encoder_layers(network, [])
    assert len(layers) == 4
    assert id(layers[0].parameters()[0]) == id(network.encoder.pos_embed)
    assert {id(p) for p in network.encoder.norm.parameters()} <= {
        id(p) for p in layers[3].parameters()
    }
    assert sum(len(layer.parameters()) for layer in layers) == len(
        list(network.encoder.parameters())
    )


def test_muon_takes_groups_of_pairs() -> None:
    first, second, third = nn.Linear(3, 3), nn.Linear(3, 3), nn.LayerNorm(3)
    optimizer = MuonWithAdamW(
        [
            {"params": list(first.named_parameters()), "lr": 0.5, "name": "a"},
            {
                "params": [*second.named_parameters(), *third.named_parameters()],
                "weight_decay": 0.0,
            },
        ],
        lr=0.1,
        weight_decay=0.2,
    )
    found = [
        (g.get("name"), g["lr"], g["weight_decay"], len(g["params"]))
        for g in optimizer.param_groups
    ]
    assert found == [
        ("a-matrices", 0.5, 0.2, 1),
        (None, 0.1, 0.0, 1),
        ("a-rest", 0.5, 0.2, 1),
        (None, 0.1, 0.0, 3),
    ]
