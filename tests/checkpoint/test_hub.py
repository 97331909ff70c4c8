"""Hugging Face's hub: models fetched and pushed, by the real huggingface_hub and a hub on this
machine.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fake_hub import TOKEN, FakeHub, serving
from golden_numbers import images
from safetensors.torch import load_file, save_file

import strhub
from strhub.checkpoint import download, hub
from strhub.checkpoint.zoo import model_card
from strhub.errors import CheckpointError, MissingExtra
from strhub.models.parseq.model import PARSeq

huggingface_hub = pytest.importorskip("huggingface_hub")
SIZES: dict[str, Any] = {
    "enc_depth": 1,
    "embed_dim": 32,
    "enc_num_heads": 1,
    "dec_num_heads": 2,
}
PROXIES = [name + "_proxy" for name in ("http", "https", "all")]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    for name in [*PROXIES, *map(str.upper, PROXIES), "HF_TOKEN", "HF_HUB_OFFLINE"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    with serving() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    return strhub.create_model("parseq-tiny", **SIZES).eval()


@pytest.fixture(scope="module")
def content(model: Any, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("words") / "model.safetensors"
    strhub.save(model, path, metrics={"rendered": 0.5}, provenance={"data": "none"})
    return path.read_bytes()


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        result: torch.Tensor = model.eval()(images(2, 32, 128))
    return result


def test_what_is_pushed_is_what_is_loaded(fake: FakeHub, model: Any) -> None:
    address = strhub.push(
        model, "someone/words", token=TOKEN, licence="CC0-1.0", metrics={"IIIT5k": 0.912}
    )
    commit = fake.branches["someone/words"]["main"]
    assert address == f"hf://someone/words@{commit}"
    files = fake.files("someone/words")
    assert set(files) == {".gitattributes", "model.safetensors", "config.json", "README.md"}
    for source in ("hf://someone/words", address, "hf://someone/words/model.safetensors@main"):
        assert torch.equal(logits(strhub.load(source)), logits(model))
    card = model_card(address)
    assert card["measured"] == {"IIIT5k": 0.912}
    assert card["licence"] == "CC0-1.0"
    config = json.loads(files["config.json"])
    assert config["charset_size"] == len(model.hparams.charset_train)
    assert {name: config[name] for name in model.hparams} == dict(model.hparams)
    _, front, text = files["README.md"].decode().split("---\n", 2)
    matter = yaml.safe_load(front)
    assert matter["license"] == "cc0-1.0"
    assert matter["model-index"][0]["results"][0]["metrics"][0]["value"] == 91.2
    assert "| IIIT5k | 91.2 |" in text
    assert 'Recognizer("hf://someone/words")' in text
    assert any("strhub/" in agent for agent in fake.agents)


def test_a_second_push_keeps_the_card_of_people_and_goes_to_a_branch(
    fake: FakeHub, content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(content)
    fake.commit("someone/words", {"README.md": b"My own words about it."})
    address = strhub.push(
        file, "someone/words", token=TOKEN, revision="second", metrics={"SVT": 0.25}
    )
    assert set(fake.files("someone/words")) == {"README.md"}, "main stays as it was"
    assert fake.files("someone/words", "second")["README.md"] == b"My own words about it."
    assert model_card("hf://someone/words@second")["measured"] == {"rendered": 0.5, "SVT": 0.25}
    assert model_card(address)["provenance"]["data"] == "none"


def test_the_cache_offline_mode_and_token(
    fake: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fake.commit("someone/secret", {"model.safetensors": content})
    fake.private.add("someone/secret")
    with pytest.raises(CheckpointError, match="or it is private: log in with"):
        strhub.load("hf://someone/secret")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    strhub.load("hf://someone/secret")
    fetched = [line for line in fake.asked if line.startswith("GET")]
    assert len(fetched) == 1
    strhub.load("hf://someone/secret")
    assert [line for line in fake.asked if line.startswith("GET")] == fetched, "it is in the cache"
    fake.asked.clear()
    strhub.load(f"hf://someone/secret@{first}")
    assert not [line for line in fake.asked if "model.safetensors" in line], "a commit stays"
    fake.asked.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    strhub.load("hf://someone/secret")
    with pytest.raises(CheckpointError, match=r"not in (the hub's|its) cache"):
        strhub.load("hf://someone/other")
    assert fake.asked == []


def test_a_hash_pins_what_main_may_not_change(
    fake: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(content).hexdigest()
    fake.commit("someone/words", {"model.safetensors": content})
    pinned = f"hf://someone/words#sha256={digest}"
    strhub.load(pinned)
    fake.commit("someone/words", {"model.safetensors": content[:-4] + b"\0\0\0\1"})
    strhub.load("hf://someone/words")
    with pytest.raises(CheckpointError, match="not the expected file: its SHA-256 is"):
        strhub.load(pinned)
    monkeypatch.setattr(hub, "find_spec", lambda _: None)  # without the package, by torch's cache
    with pytest.raises(CheckpointError, match="not the expected file"):
        strhub.load(pinned)
    fake.commit("someone/words", {"model.safetensors": content})
    strhub.load(pinned)
    monkeypatch.setattr(download, "open_address", None)
    strhub.load(pinned)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf://nobody/words", "there is no such repository"),
        ("hf://someone/words@v9", "no such branch, tag or commit"),
        ("hf://someone/words/other.safetensors", "the repository has no such file: name one"),
        ("hf://someone/gated", "its owner grants access on its page"),
        ("hf://some--one/words", "that is not the name of a repository"),
        ("hf://words", "write hf://owner/name"),
        ("hf://someone/words/run.py", "must end in a file name"),
        ("hf://someone/words/..", "must end in a file name"),
        ("hf://someone/words#sha256=12", "64 digits"),
    ],
)
def test_what_cannot_be_had_is_explained(
    fake: FakeHub, content: bytes, source: str, message: str
) -> None:
    fake.commit("someone/words", {"model.safetensors": content})
    fake.commit("someone/gated", {"model.safetensors": content})
    fake.gated.add("someone/gated")
    with pytest.raises(CheckpointError, match=message) as error:
        strhub.load(source)
    assert "\n" not in str(error.value)


def test_too_large_a_file_is_not_fetched(
    fake: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.commit("someone/words", {"model.safetensors": content})
    monkeypatch.setattr(hub, "LARGEST", 1000)
    with pytest.raises(CheckpointError, match="more than the 0 that are fetched"):
        strhub.load("hf://someone/words")
    assert not [line for line in fake.asked if line.startswith("GET")]


def test_pushing_without_leave_is_explained(fake: FakeHub, model: Any) -> None:
    with pytest.raises(CheckpointError, match=r"hf://someone/words: .*401"):
        strhub.push(model, "someone/words", token="hf_wrong")
    assert not fake.commits


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"\[hub\]"):
        strhub.load("hf://someone/words")
    with pytest.raises(MissingExtra, match=r"strhub.push needs: .*\[hub\]"):
        strhub.push(model, "someone/words")


def test_nothing_is_asked_of_the_hub_unless_it_is_named(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(hub, "import_hub", refuse)
    (tmp_path / "model.safetensors").write_bytes(content)
    assert strhub.load(tmp_path).hparams.embed_dim == 32
    assert strhub.list_models()


class Words(PARSeq, huggingface_hub.PyTorchModelHubMixin):  # type: ignore[misc, name-defined]
    """A network as people of the hub make theirs."""


def test_the_mixin_reads_ours_and_we_read_the_mixins(
    fake: FakeHub, model: Any, tmp_path: Path
) -> None:
    strhub.push(model, "someone/words", token=TOKEN)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name, written in fake.files("someone/words").items():
        (theirs / name).write_bytes(written)
    network = Words.from_pretrained(theirs)
    assert torch.equal(logits(network), logits(model))
    network.save_pretrained(tmp_path / "again")
    written = json.loads((tmp_path / "again" / "config.json").read_text("utf-8"))
    assert written["charset_size"] == len(model.hparams.charset_train)
    loaded = strhub.load(tmp_path / "again")
    assert torch.equal(logits(loaded), logits(model))
    # With only what the network itself was called with, as a class of one's own has it.
    own = {
        name: written[name]
        for name in ("charset_size", "img_size", "enc_num_heads", "dec_num_heads", "refine_iters")
    }
    (tmp_path / "again" / "config.json").write_text(json.dumps(own), "utf-8")
    assert torch.equal(logits(strhub.load(tmp_path / "again")), logits(model))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("[1]", "one mapping"),
        ("{", "cannot be read"),
        ('{"charset_train": 7}', "charset_train"),
        ('{"charset_train": "ab", "img_size": [1e9, 2]}', "img_size"),
        ('{"charset_train": "ab${oc.env:HOME}"}', "interpreted as a reference"),
        ('{"enc_num_heads": "many"}', "enc_num_heads"),
        ('{"charset_train": "ab", "embed_dim": 1e8}', "embed_dim"),
        ("[" * 100_000, "cannot be read"),
        (" " * (5 << 20), "cannot be read"),
    ],
)
def test_a_config_that_lies_is_refused(
    tmp_path: Path, content: bytes, config: str, message: str
) -> None:
    whole = tmp_path / "whole.safetensors"
    whole.write_bytes(content)
    save_file(load_file(whole), tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "config.json").write_text(config, "utf-8")
    with pytest.raises(CheckpointError, match=message):
        strhub.load(tmp_path / "model.safetensors")


def test_bare_weights_have_no_card(tmp_path: Path, content: bytes) -> None:
    whole = tmp_path / "whole.safetensors"
    whole.write_bytes(content)
    save_file(load_file(whole), tmp_path / "bare.safetensors")
    assert model_card(tmp_path / "bare.safetensors") == {}
    assert model_card(whole)["measured"] == {"rendered": 0.5}
