"""Weights without hyper-parameters, checkpoints of other makers and versions, and models that are
half written.
"""

import argparse
import collections
import logging
import pathlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_numbers import FOLDER
from omegaconf import OmegaConf

import strhub.models
from strhub.checkpoint import bare
from strhub.checkpoint.formats import read_checkpoint
from strhub.checkpoint.scene_text_model import SceneTextModel, architectures
from strhub.checkpoint.zoo import create_model, load
from strhub.errors import CheckpointError

TINY = {
    "embed_dim": 64,
    "enc_num_heads": 1,
    "dec_num_heads": 2,
    "enc_depth": 1,
    "patch_size": [4, 8],
}


def warned(caplog: pytest.LogCaptureFixture) -> set[str]:
    """Names of the options that warnings tell to set, since they were assumed."""
    found = {
        record.getMessage().rpartition("set ")[2]
        for record in caplog.records
        if record.levelno == logging.WARNING
    }
    caplog.clear()
    return found


def saved(path: Path, **options: Any) -> SceneTextModel:
    model = create_model("parseq-tiny", **{**TINY, **options})
    torch.save(model.model.state_dict(), path)
    return model


def test_each_assumption_is_a_warning_that_names_its_option(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "x.pt"
    every = {"img_size", "enc_num_heads", "dec_num_heads", "charset_train", "normalize"}
    capitals = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    for options in ({"img_size": [64, 256]}, {"patch_size": [8, 8]}, {"charset_train": capitals}):
        saved(path, **options)
        hparams = read_checkpoint(path).hparams
        assert warned(caplog) == every
        assert hparams["charset_test"] == hparams["charset_train"]
    read_checkpoint(path, {"charset_train": capitals, "img_size": [32, 128]})
    assert warned(caplog) == {"enc_num_heads", "dec_num_heads", "normalize"}
    load(path, **{name: value for name, value in hparams.items() if name in every})
    assert warned(caplog) == set()


@pytest.mark.parametrize("experiment", ["vitstr", "crnn", "trba", "abinet", "svtr-tiny"])
def test_every_architecture_says_what_it_assumes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, experiment: str
) -> None:
    from tiny_models import SIZES

    model = create_model(experiment, **SIZES[experiment])
    torch.save(model.model.state_dict(), tmp_path / "x.pt")
    checkpoint = read_checkpoint(tmp_path / "x.pt")
    expected = {"charset_train", "normalize", *type(model.model).not_in_weights}
    assert warned(caplog) == expected == {*checkpoint.card["assumed"]}
    assert "img_size" in expected


def test_the_reference_s_own_files_are_known_by_their_hash(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "anything.pt"
    saved(path)
    digest = bare.sha256(path)
    monkeypatch.setitem(bare.RELEASED_FILES, "parseq", f"parseq-{digest[:8]}.pt")
    assert load(path).hparams.charset_test == "0123456789abcdefghijklmnopqrstuvwxyz"
    assert warned(caplog) == set()


def test_what_tensors_contradict_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    saved(path, img_size=[48, 56])  # 84 patches: neither 32 high nor square
    with pytest.raises(
        CheckpointError, match=r"pos_embed[\s\S]*it was assumed: img_size=\[36, 72\]"
    ):
        load(path)
    assert load(path, img_size=[48, 56]).hparams.img_size == [48, 56]
    with pytest.raises(
        CheckpointError, match="charset_train has 3 characters, but the weights are of 94"
    ):
        load(path, charset_train="abc")
    with pytest.raises(CheckpointError, match="no parseq can be made"):
        load(path, img_size=[48, 56], enc_num_heads=5)


def weights() -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(
        FOLDER / "reference-lightning.pt", weights_only=True
    )
    return found


def renamed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in weights().items()}


WRAPPED = {
    "model.": lambda: renamed("model."),
    "DataParallel": lambda: renamed("module."),
    "compiled": lambda: renamed("_orig_mod."),
    "compiled, DataParallel": lambda: renamed("module._orig_mod."),
    "Lightning, compiled": lambda: renamed("model._orig_mod."),
    "a part compiled": lambda: {
        k.replace("encoder.", "encoder._orig_mod.", 1): v for k, v in weights().items()
    },
    "model": lambda: {"model": weights(), "epoch": 3},
    "model_state_dict": lambda: {"model_state_dict": renamed("module."), "optimizer": {"lr": 1e-3}},
    "weights": lambda: {"weights": weights()},
    "state_dict": lambda: {"state_dict": weights(), "epoch": 3},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrappers_are_taken_off(tmp_path: Path, kind: str) -> None:
    torch.save(WRAPPED[kind](), tmp_path / "x.pt")
    found = read_checkpoint(tmp_path / "x.pt").weights
    assert {*found} == {*weights()}
    assert torch.equal(found["head.weight"], weights()["head.weight"])


def run_of(**changed: Any) -> dict[str, Any]:
    """A run's checkpoint by the reference, changed."""
    content: dict[str, Any] = torch.load(FOLDER / "reference-lightning.ckpt", weights_only=True)
    return {**content, **changed}


def hyper_parameters(**changed: Any) -> dict[str, Any]:
    return {**run_of()["hyper_parameters"], **changed}


OTHERS = {
    "OmegaConf's list": lambda: run_of(
        hyper_parameters=hyper_parameters(img_size=OmegaConf.create([32, 128]))
    ),
    "OmegaConf's mapping": lambda: run_of(hyper_parameters=OmegaConf.create(hyper_parameters())),
    "NumPy's scalars": lambda: run_of(
        hyper_parameters=hyper_parameters(
            lr=np.float64(7e-4), enc_depth=np.int64(2), decode_ar=np.bool_(True)
        )
    ),
    "Path": lambda: run_of(callbacks={"ModelCheckpoint": {"dirpath": pathlib.PurePosixPath("/x")}}),
    "Path among the options": lambda: run_of(
        hyper_parameters=hyper_parameters(root=pathlib.PurePosixPath("/x"))
    ),
    "Namespace": lambda: run_of(hyper_parameters=argparse.Namespace(**hyper_parameters())),
    "sets, OrderedDict": lambda: run_of(
        extra=collections.OrderedDict(a=1),
        hyper_parameters=collections.OrderedDict(hyper_parameters(s={1, 2})),
    ),
    "no charset_test": lambda: run_of(
        hyper_parameters={
            name: value for name, value in hyper_parameters().items() if name != "charset_test"
        }
    ),
    "unknown option": lambda: run_of(hyper_parameters=hyper_parameters(unknown_thing=3)),
    "odd state of callbacks": lambda: run_of(
        callbacks={"x": {"y": np.ones(3), "z": torch.float32, "o": object}}
    ),
    "a tuple": lambda: run_of(hyper_parameters=hyper_parameters(img_size=(32, 128))),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_makers_checkpoints_are_read(tmp_path: Path, kind: str) -> None:
    torch.save(OTHERS[kind](), tmp_path / "x.ckpt")
    hparams = load(tmp_path / "x.ckpt").hparams
    assert hparams.img_size == [32, 128]
    assert type(hparams.enc_depth) is int
    assert hparams.charset_test == "0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (lambda: run_of(hyper_parameters=hyper_parameters(x=np.ones(3))), "numpy"),
        (lambda: run_of(hyper_parameters=hyper_parameters(x=torch.device("cpu"))), "torch.device"),
        (lambda: torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (lambda: {"model": torch.nn.Linear(2, 2)}, "torch.nn.modules.linear.Linear"),
        (
            lambda: run_of(callbacks={"x": logging.WARNING, "y": logging.getLogger}),
            "logging.getLogger",
        ),
    ],
)
def test_objects_are_refused_by_their_class(tmp_path: Path, content: Any, named: str) -> None:
    torch.save(content(), tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=named) as caught:
        load(tmp_path / "x.ckpt")
    assert str(caught.value).isprintable(), "no escape codes, one line"
    assert "strhub.save" in str(caught.value), "what to do"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_read(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.save({name: tensor.to(dtype) for name, tensor in weights().items()}, tmp_path / "x.pt")
    assert load(tmp_path / "x.pt").model.head.weight.dtype == torch.float32


@pytest.mark.parametrize(
    "code", ["", "Network = 3", "raise RuntimeError('half written')", "def (", "import not_there"]
)
def test_half_written_models_break_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """A folder in strhub/models that cannot be imported, or lacks what a network has."""
    folder = tmp_path / "a_half_written"
    folder.mkdir()
    (folder / "__init__.py").write_text(code)
    monkeypatch.setattr(strhub.models, "__path__", [*strhub.models.__path__, str(tmp_path)])
    assert "a_half_written" in architectures()
    assert load("strhub-tiny").hparams.architecture == "parseq"
    assert load(FOLDER / "reference-lightning.ckpt").hparams.architecture == "parseq"
    assert read_checkpoint(FOLDER / "reference-lightning.pt").hparams["architecture"] == "parseq"
    assert strhub.list_models()
