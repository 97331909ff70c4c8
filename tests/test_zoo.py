"""Models by name or file."""

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_numbers import FOLDER, images
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from strhub.checkpoints import CheckpointError
from strhub.configs import CONFIG_DIR
from strhub.experiments import experiment_hyper_parameters, experiment_names
from strhub.zoo import RELEASED_FILES, create_model, list_models, load_from_checkpoint, locate, save_model


@pytest.mark.parametrize("name", experiment_names())
def test_experiments_read_without_hydra_are_those_hydra_composes(name: str) -> None:
    with initialize_config_dir(str(CONFIG_DIR.absolute()), version_base="1.3"):
        config = compose("main", overrides=[f"+experiment={name}"])
    composed = {
        key: value
        for key, value in OmegaConf.to_container(config.model, resolve=False).items()  # type: ignore[union-attr]
        if not (str(key).startswith("_") or (isinstance(value, str) and value.startswith("${")))
    }
    read = experiment_hyper_parameters(name)
    assert read.pop("architecture") == config.model["_target_"].split(".")[-3]
    assert read == composed


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    model = create_model("parseq-tiny", enc_depth=1, embed_dim=32, enc_num_heads=1, dec_num_heads=2).eval()
    save_model(model, tmp_path / "m.safetensors", {"data": "none"})
    loaded = load_from_checkpoint(tmp_path / "m.safetensors").eval()
    assert loaded.hparams == model.hparams
    pictures = images(2, 32, 128)
    with torch.inference_mode():
        assert torch.equal(model(pictures), loaded(pictures))
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_the_architecture_is_in_the_file_not_in_its_path(tmp_path: Path) -> None:
    misleading = tmp_path / "trba" / "abinet" / "last.ckpt"
    misleading.parent.mkdir(parents=True)
    misleading.write_bytes((FOLDER / "reference-lightning.ckpt").read_bytes())
    assert load_from_checkpoint(misleading).hparams.architecture == "parseq"


def test_bare_weights_tell_their_sizes() -> None:
    hparams = load_from_checkpoint(FOLDER / "reference-lightning.pt", enc_num_heads=3, dec_num_heads=6).hparams
    reference = load_from_checkpoint(FOLDER / "reference-lightning.ckpt").hparams
    for name in ("img_size", "patch_size", "embed_dim", "enc_depth", "dec_depth", "max_label_length", "charset_train"):
        assert hparams[name] == reference[name], name


class Attack:
    """What a malicious pickle holds."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('the file ran code')",))


def malicious(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "raw":
        pickle.dump(Attack(), buffer)
    else:
        torch.save({"state_dict": {}, "hyper_parameters": Attack()}, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("raw.ckpt", malicious("raw"), "refused|not a whole"),
        ("lightning.ckpt", malicious("lightning"), "refused: it holds more than tensors"),
        ("empty.ckpt", b"", "not a whole|refused"),
        ("short.ckpt", (FOLDER / "reference-lightning.ckpt").read_bytes()[:50_000], "not a whole"),
        ("text.pt", b"hello", "refused|not a whole"),
        ("short.safetensors", b"\x10", "not a whole safetensors"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_from_checkpoint(tmp_path / name)


def test_other_content_is_refused(tmp_path: Path) -> None:
    for content, message in (
        ([1, 2], "holds a list"),
        ({"a": torch.zeros(1)}, "none of the known architectures"),
        ({"a": 1}, "neither bare weights"),
        ({"state_dict": {"model.pos_queries": torch.zeros(1)}}, "without hyper-parameters"),
    ):
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(CheckpointError, match=message):
            load_from_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("source", ["parsec", "pretrained=trba", "strhub-tinny"])
def test_unknown_ids_are_named_with_the_known_ones(source: str) -> None:
    with pytest.raises(ValueError, match="strhub-tiny"):
        load_from_checkpoint(source)


def test_missing_file() -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_from_checkpoint("no/such/file.ckpt")


def test_misspelt_hyper_parameters() -> None:
    with pytest.raises(ValueError, match="Did you mean 'refine_iters'"):
        create_model("parseq", refine_iter=2)
    with pytest.raises(ValueError, match="Did you mean 'parseq-tiny'"):
        create_model("parseq_tiny")


def test_released_files_come_from_the_cache_with_a_hash_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / RELEASED_FILES["parseq"]
    file.parent.mkdir()
    file.write_bytes(b"not the released file")
    with pytest.raises(CheckpointError, match="damaged: its SHA-256 begins with"):
        locate("parseq")
    import hashlib

    monkeypatch.setitem(RELEASED_FILES, "parseq", f"x-{hashlib.sha256(b'right').hexdigest()[:8]}.pt")
    right = tmp_path / "checkpoints" / RELEASED_FILES["parseq"]
    right.write_bytes(b"right")
    assert locate("pretrained=parseq") == right


def test_offline_says_which_file_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*arguments: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(
        CheckpointError, match=r"put the file at .*parseq-bb5792a6.pt; its SHA-256 must begin with bb5792a6"
    ):
        load_from_checkpoint("pretrained=parseq")


def test_models_are_listed() -> None:
    assert [model.id for model in list_models()] == ["strhub-tiny", "parseq-tiny", "parseq", "parseq-patch16-224"]


def test_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).parent.parent)
    model = torch.hub.load(root, "parseq_tiny", source="local", pretrained=False, refine_iters=2)
    assert model.hparams.img_size == [32, 128]
    assert model.hparams.refine_iters == 2
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_018_143
