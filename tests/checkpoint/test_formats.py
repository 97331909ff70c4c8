"""Checkpoint files: what is read, and everything that is refused."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_numbers import FOLDER
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from strhub.checkpoint.formats import (
    Checkpoint,
    CheckpointError,
    read_checkpoint,
    read_metadata,
    write_checkpoint,
)
from strhub.checkpoint.zoo import create_model, load, save

TINY = {
    "embed_dim": 16,
    "enc_num_heads": 1,
    "dec_num_heads": 1,
    "enc_depth": 1,
    "patch_size": [16, 32],
}


class Attack:
    """What a malicious pickle holds: a call of any function."""

    def __init__(self, *call: Any) -> None:
        self.call = call or (exec, ("raise SystemExit('the file ran code')",))

    def __reduce__(self) -> Any:
        return self.call


def pickled(content: Any, *, zipped: bool) -> bytes:
    buffer = io.BytesIO()
    if zipped:
        torch.save(content, buffer)
    else:
        pickle.dump(content, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A whole file of each format."""
    model = create_model("parseq-tiny", **TINY)
    path = tmp_path_factory.mktemp("files") / "m.safetensors"
    save(model, path)
    old = io.BytesIO()
    torch.save(model.model.state_dict(), old, _use_new_zipfile_serialization=False)
    hparams = {
        **model.hparams,
        "optimizer": {"_target_": "torch.optim.AdamW", "betas": [0.9, 0.999]},
    }
    state = {f"model.{name}": tensor for name, tensor in model.model.state_dict().items()}
    return {
        "m.safetensors": path.read_bytes(),
        "m.ckpt": pickled({"state_dict": state, "hyper_parameters": hparams}, zipped=True),
        "m.pt": pickled(model.model.state_dict(), zipped=True),
        "old.pt": old.getvalue(),
    }


@pytest.mark.parametrize("name", ["m.safetensors", "m.ckpt", "m.pt", "old.pt"])
def test_whole_files_are_read(tmp_path: Path, files: dict[str, bytes], name: str) -> None:
    (tmp_path / name).write_bytes(files[name])
    checkpoint = read_checkpoint(tmp_path / name)
    assert checkpoint.hparams["architecture"] == "parseq"
    assert checkpoint.weights["head.weight"].shape == (95, 16)


@pytest.mark.parametrize("name", ["m.safetensors", "m.ckpt", "m.pt", "old.pt"])
def test_files_cut_at_any_length_are_refused(
    tmp_path: Path, files: dict[str, bytes], name: str
) -> None:
    whole = files[name]
    lengths = {0, 1, 2, 7, 8, 9, 63, 64, 65, len(whole) - 1, len(whole) - 2, len(whole) - 23}
    lengths |= {len(whole) * part // 40 for part in range(40)}
    for length in sorted(lengths):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"not a whole|refused|cannot be read"):
            read_checkpoint(tmp_path / name)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_damaged_bytes_raise_nothing_but_the_error_for_it(
    tmp_path: Path, files: dict[str, bytes], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    # Most of a file is numbers, which may be anything: strike where the structure is, at both ends.
    for _ in range(data.draw(st.integers(1, 8))):
        target = data.draw(st.integers(-3000, 3000))
        content[target] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(bytes(content))
    try:
        checkpoint = read_checkpoint(tmp_path / name)
    except CheckpointError:
        return
    assert isinstance(checkpoint.hparams["charset_train"], str)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "content",
    [
        Attack(),
        {"state_dict": {}, "hyper_parameters": Attack()},
        {"state_dict": {"model.head.weight": Attack()}, "hyper_parameters": {}},
        {"weight": torch.zeros(1), Attack(): 1},
        {"weight": Attack(eval, ("1",))},
        {"weight": Attack(getattr, (str, "upper"))},
        {"weight": Attack(torch.load, ("other.pt",))},
    ],
    ids=["bare", "hparams", "weight", "key", "eval", "getattr", "load"],
)
@pytest.mark.parametrize("name", ["m.ckpt", "m.pt", "m.bin"])
def test_what_would_run_code_is_refused(
    tmp_path: Path, name: str, content: Any, zipped: bool
) -> None:
    (tmp_path / name).write_bytes(pickled(content, zipped=zipped))
    with pytest.raises(CheckpointError, match="refused: it holds more than tensors"):
        read_checkpoint(tmp_path / name)


def test_a_pickle_named_as_safetensors_is_not_unpickled(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(pickled(Attack(), zipped=False))
    with pytest.raises(CheckpointError, match="not a whole safetensors"):
        read_checkpoint(tmp_path / "m.safetensors")


def test_scripted_modules_are_refused(tmp_path: Path) -> None:
    torch.export.save(
        torch.export.export(torch.nn.Linear(1, 1), (torch.zeros(1, 1),)), tmp_path / "m.pt2"
    )
    (tmp_path / "m.pt2").rename(tmp_path / "m.pt")
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list"),
        (torch.zeros(1), "holds a Tensor"),
        (Path("anything"), "holds a str"),
        ({}, "neither bare weights"),
        ({"a": torch.zeros(1)}, "none of the known architectures"),
        ({"a": 1}, "neither bare weights"),
        ({"pos_queries": torch.zeros(1)}, "sizes of this parseq cannot be told"),
        ({"state_dict": 3}, "does not hold weights by name"),
        ({"state_dict": {"model.pos_queries": torch.zeros(1)}, "pytorch-lightning_version": "2"},
          "without hyper-parameters"),
        ({"state_dict": {"model.pos_queries": torch.zeros(1)}}, "sizes of this parseq cannot be "
                                                                "told"),
        ({"state_dict": {"a": torch.zeros(1)}, "hyper_parameters": {"architecture": "x",
            "charset_train": "a",
          "charset_test": "a"}}, "architecture 'x', which this strhub does not have"),
        ({"state_dict": {"a": torch.zeros(1)}, "hyper_parameters": {"architecture": "parseq"}},
            "do not say charset"),
    ],
)  # fmt: skip
def test_other_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "strhub-9"}, "written as 'strhub-9'"),
        ({"format": "strhub-1"}, "metadata cannot be read"),
        ({"format": "strhub-1", "hyper_parameters": "{", "card": "{}"}, "metadata cannot be read"),
        ({"format": "strhub-1", "hyper_parameters": "[]", "card": "{}"}, "must be two mappings"),
        ({"format": "strhub-1", "hyper_parameters": "{}", "card": "{}"}, "do not say architecture"),
        (None, "none of the known architectures"),
    ],
)
def test_safetensors_with_other_metadata_are_refused(
    tmp_path: Path, metadata: dict[str, str] | None, message: str
) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", metadata)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "x.safetensors")


def test_bare_weights_as_safetensors_are_read(tmp_path: Path) -> None:
    weights = torch.load(FOLDER / "reference-lightning.pt", weights_only=True)
    save_file(weights, tmp_path / "x.safetensors", {"format": "pt"})
    assert read_checkpoint(tmp_path / "x.safetensors").hparams["architecture"] == "parseq"


def test_bare_weights_of_an_unusual_charset_ask_for_it(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    model = create_model("parseq-tiny", charset_train="äöü", **TINY)
    torch.save(model.model.state_dict(), tmp_path / "x.pt")
    with pytest.raises(
        CheckpointError, match="knows 3 characters but does not say which: set charset_train"
    ):
        load(tmp_path / "x.pt")
    sizes = {name: TINY[name] for name in ("enc_num_heads", "dec_num_heads")}
    assert load(tmp_path / "x.pt", charset_train="äöü", **sizes).hparams.charset_train == "äöü"


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path / "m.safetensors", Checkpoint({}, {"not": object()}, {}))
    with pytest.raises(ValueError, match=r"saved as .safetensors"):
        write_checkpoint(tmp_path / "m.pt", Checkpoint({}, {}, {}))
    assert list(tmp_path.iterdir()) == []


def test_metadata_without_weights(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "m.safetensors").write_bytes(files["m.safetensors"])
    hparams, card = read_metadata(tmp_path / "m.safetensors")
    assert hparams["embed_dim"] == 16
    assert set(json.loads(json.dumps(card))) == {"measured", "provenance"}
