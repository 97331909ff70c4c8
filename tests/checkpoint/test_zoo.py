"""Models by name or file."""

import hashlib
import runpy
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from golden_numbers import FOLDER, images
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from strhub.checkpoint import download, hub
from strhub.checkpoint.download import RemoteFile, fetch, parse_remote
from strhub.checkpoint.experiments import experiment_hyper_parameters, experiment_names
from strhub.checkpoint.formats import CheckpointError
from strhub.checkpoint.sizes import load_weights
from strhub.checkpoint.zoo import (
    EMBEDDED,
    RELEASED_FILES,
    create_model,
    list_models,
    load,
    load_from_checkpoint,
    locate,
    model_card,
    save,
    save_model,
)
from strhub.configs import CONFIG_DIR
from strhub.weights import EMBEDDED_MODELS


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
    assert read.pop("normalize") == config.data.normalize
    assert read == composed


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    model = create_model(
        "parseq-tiny", enc_depth=1, embed_dim=32, enc_num_heads=1, dec_num_heads=2
    ).eval()
    save_model(model, tmp_path / "m.safetensors", {"data": "none"})
    loaded = load_from_checkpoint(tmp_path / "m.safetensors").eval()
    assert loaded.hparams == model.hparams
    inputs = images(2, 32, 128)
    with torch.inference_mode():
        assert torch.equal(model(inputs), loaded(inputs))
    assert [path.name for path in tmp_path.iterdir()] == ["m.safetensors"]


def test_the_architecture_is_in_the_file_not_in_its_path(tmp_path: Path) -> None:
    misleading = tmp_path / "trba" / "abinet" / "last.ckpt"
    misleading.parent.mkdir(parents=True)
    misleading.write_bytes((FOLDER / "reference-lightning.ckpt").read_bytes())
    assert load_from_checkpoint(misleading).hparams.architecture == "parseq"


def test_bare_weights_tell_their_sizes() -> None:
    hparams = load_from_checkpoint(
        FOLDER / "reference-lightning.pt", enc_num_heads=3, dec_num_heads=6
    ).hparams
    reference = load_from_checkpoint(FOLDER / "reference-lightning.ckpt").hparams
    for name in (
        "img_size",
        "patch_size",
        "embed_dim",
        "enc_depth",
        "dec_depth",
        "max_label_length",
        "charset_train",
    ):
        assert hparams[name] == reference[name], name


@pytest.mark.parametrize("source", ["parsec", "pretrained=trbc", "strhub-tinny"])
def test_unknown_ids_are_named_with_the_known_ones(source: str) -> None:
    with pytest.raises(ValueError, match="strhub-tiny"):
        load_from_checkpoint(source)


def test_missing_file() -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_from_checkpoint("no/such/file.ckpt")


def test_misspelled_hyper_parameters() -> None:
    with pytest.raises(ValueError, match="Did you mean 'refine_iters'"):
        create_model("parseq", refine_iter=2)
    with pytest.raises(ValueError, match="Did you mean 'parseq-tiny'"):
        create_model("parseq_tiny")


def test_released_files_come_from_the_cache_with_a_hash_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = tmp_path / "checkpoints" / RELEASED_FILES["parseq"]
    file.parent.mkdir()
    file.write_bytes(b"not the released file")
    with pytest.raises(CheckpointError, match="damaged: its SHA-256 begins with"):
        locate("parseq")
    monkeypatch.setitem(
        RELEASED_FILES, "parseq", f"x-{hashlib.sha256(b'right').hexdigest()[:8]}.pt"
    )
    right = tmp_path / "checkpoints" / RELEASED_FILES["parseq"]
    right.write_bytes(b"right")
    assert locate("pretrained=parseq") == right


def test_offline_says_which_file_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(download, "open_address", no_network)
    with pytest.raises(
        CheckpointError,
        match=r"put the file at .*parseq-bb5792a6.pt; its SHA-256 must begin with bb5792a6",
    ):
        load("pretrained=parseq")


def test_models_are_listed() -> None:
    listed = {model.id: model for model in list_models()}
    assert list(listed)[:2] == ["strhub-small", "strhub-tiny"]
    assert {"parseq-tiny", "parseq", "parseq-patch16-224"} <= set(listed)
    embedded = listed["strhub-tiny"]
    model = load("strhub-tiny")
    assert embedded.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert embedded.charset == model.hparams.charset_train
    assert embedded.licence == "Apache-2.0"
    assert embedded.accuracy
    assert all(1 < percent < 100 for percent in embedded.accuracy.values())
    assert listed["parseq"].accuracy["all 7,672 words"] == 96.0
    for name, info in listed.items():
        assert name in EMBEDDED_MODELS or info.source.startswith("https://")


@pytest.mark.parametrize("name", [name for name in RELEASED_FILES if name in experiment_names()])
def test_released_models_have_the_published_number_of_parameters(name: str) -> None:
    info = next(model for model in list_models() if model.id == name)
    hparams = experiment_hyper_parameters(name)
    with torch.device("meta") if hparams["architecture"] in ("parseq", "vitstr") else nullcontext():
        count = sum(parameter.numel() for parameter in create_model(name).parameters())
    assert abs(count - info.parameters) <= 6_000


def no_network(*arguments: object, **options: object) -> None:
    raise OSError("no network")


class Web(NamedTuple):
    """A server on this machine: address, what it serves by path, the paths asked for."""

    address: str
    files: dict[str, bytes]
    asked: list[str]


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    files: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            path, _, cut = self.path.partition("?")
            content = files.get(path)
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if cut else content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "cache"))
    for name in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Web(f"http://127.0.0.1:{server.server_port}", files, asked)
        server.shutdown()
        thread.join()


def small_file(folder: Path) -> bytes:
    model = create_model("parseq-tiny", enc_depth=1, embed_dim=32, enc_num_heads=1, dec_num_heads=2)
    save(
        model,
        folder / "model.safetensors",
        metrics={"drawn": 0.5},
        provenance={"data": "none"},
        licence="CC0-1.0",
    )
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    return content


def cached(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def test_an_address_with_the_right_hash_is_fetched_once(tmp_path: Path, web: Web) -> None:
    content = small_file(tmp_path)
    digest = hashlib.sha256(content).hexdigest()
    web.files["/a/model.safetensors"] = content
    source = f"{web.address}/a/model.safetensors#sha256={digest}"
    for _ in range(2):
        assert load(source).hparams.embed_dim == 32
    assert web.asked == ["/a/model.safetensors"]
    assert cached(tmp_path) == [f"{digest[:16]}-model.safetensors"]
    assert model_card(source)["measured"] == {"drawn": 0.5}
    (tmp_path / "cache" / "checkpoints" / cached(tmp_path)[0]).write_bytes(content[:-1])
    with pytest.raises(CheckpointError, match="damaged"):
        load(source)


def test_a_hash_in_the_name_will_do(tmp_path: Path, web: Web) -> None:
    content = small_file(tmp_path)
    name = f"mine-{hashlib.sha256(content).hexdigest()[:8]}.safetensors"
    web.files[f"/{name}"] = content
    assert load(f"{web.address}/{name}").hparams.embed_dim == 32
    assert cached(tmp_path) == [name]


def test_another_file_half_a_file_and_none_leave_nothing_behind(tmp_path: Path, web: Web) -> None:
    content = small_file(tmp_path)
    digest = hashlib.sha256(content).hexdigest()
    web.files["/model.safetensors"] = content
    web.files["/other.safetensors"] = content + b"x"
    for name, message in (
        (f"other.safetensors#sha256={digest}", "not the expected file: its SHA-256 is"),
        (
            f"model.safetensors#sha256={digest[:-1]}0"
            if digest[-1] != "0"
            else f"model.safetensors#sha256={'1' * 64}",
            "not the expected file",
        ),
        (f"gone.safetensors#sha256={digest}", "could not be fetched from .*404"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load(f"{web.address}/{name}")
        assert cached(tmp_path) == []
    # Half of it, although the length was announced.
    file = RemoteFile(f"{web.address}/model.safetensors?cut", digest, "model.safetensors")
    with pytest.raises(CheckpointError, match=r"broke off after \d+ of \d+ bytes|IncompleteRead"):
        fetch(file, tmp_path / "cache")
    assert cached(tmp_path) == []


def test_hugging_face_addresses_without_its_package(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "find_spec", lambda _: None)
    monkeypatch.setenv("HF_ENDPOINT", web.address)
    content = small_file(tmp_path)
    digest = hashlib.sha256(content).hexdigest()
    web.files["/someone/words/resolve/main/model.safetensors"] = content
    web.files["/someone/words/resolve/v1%2Fx/deep/er/best.safetensors"] = content
    assert load(f"hf://someone/words#sha256={digest}").hparams.embed_dim == 32
    assert (
        load(f"hf://someone/words/deep/er/best.safetensors@v1/x#sha256={digest}").hparams.embed_dim
        == 32
    )
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setattr(download, "open_address", no_network)
    assert load(f"hf://someone/words#sha256={digest}").hparams.embed_dim == 32, (
        "what is in the cache needs no network"
    )
    other = "0" * 64
    with pytest.raises(
        CheckpointError, match=rf"no network.*put the file at .*{other[:16]}-model.safetensors"
    ):
        load(f"hf://someone/words#sha256={other}")
    assert parse_remote(f"hf://someone/words#sha256={other}").url == (
        "https://huggingface.co/someone/words/resolve/main/model.safetensors"
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "https://example.org/model.safetensors",
            "nothing says which file it should be: add #sha256=",
        ),
        ("https://example.org/model.safetensors#sha256=1234", "64 digits"),
        ("https://example.org/model.safetensors#md5=" + "0" * 64, "64 digits"),
        ("https://example.org/model-12.safetensors", "nothing says which file"),
        (
            "ftp://example.org/model.safetensors#sha256=" + "0" * 64,
            "addresses begin with hf://, http://, https://",
        ),
        ("file:///etc/model.pt#sha256=" + "0" * 64, "addresses begin with"),
        ("hf://words#sha256=" + "0" * 64, "write hf://owner/name"),
        ("https://example.org/#sha256=" + "0" * 64, "must end in a file name"),
        ("https://example.org/a.py#sha256=" + "0" * 64, "must end in a file name"),
        ("https://example.org/..%2F..%2Fa.pt#sha256=" + "0" * 64, "must end in a file name"),
    ],
)
def test_addresses_that_cannot_be_verified_are_refused(
    monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.setattr(download, "open_address", no_network)
    with pytest.raises(CheckpointError, match=message):
        load(source)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it holds no checkpoint"):
        load(tmp_path)
    content = small_file(tmp_path)
    (tmp_path / "a.safetensors").write_bytes(content)
    assert load(tmp_path).hparams.embed_dim == 32
    (tmp_path / "b.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"it holds a.safetensors, b.safetensors: name one"):
        load(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").write_bytes(
        (FOLDER / "reference-lightning.ckpt").read_bytes()
    )
    assert locate(tmp_path) == tmp_path / "checkpoints" / "last.ckpt"
    assert load(str(tmp_path)).hparams.architecture == "parseq"
    (tmp_path / "model.safetensors").write_bytes(content)
    assert locate(tmp_path) == tmp_path / "model.safetensors"


def test_what_save_writes_says_where_it_is_from(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(small_file(tmp_path))
    card = model_card(tmp_path / "m.safetensors")
    assert card["licence"] == "CC0-1.0"
    assert card["provenance"]["data"] == "none"
    assert set(card["provenance"]["versions"]) == {"strhub", "torch", "python"}
    assert model_card(FOLDER / "reference-lightning.ckpt") == {}


def test_weights_that_do_not_fit_are_listed_key_by_key() -> None:
    network = create_model(
        "parseq-tiny", enc_depth=1, embed_dim=32, enc_num_heads=1, dec_num_heads=2
    ).model
    other = create_model(
        "parseq-tiny", enc_depth=2, embed_dim=16, enc_num_heads=1, dec_num_heads=2
    ).model
    with pytest.raises(CheckpointError, match="do not fit") as caught:
        load_weights(network, other.state_dict(), "other.pt")
    lines = str(caught.value).splitlines()
    assert sum(" the file has " in line for line in lines) == 20
    assert len({line.index(": the file has") for line in lines[1:21]}) == 1, "the lines are a table"
    assert "encoder.pos_embed: the file has (1, 128, 16)" in str(caught.value)
    assert "more" in lines[21]
    with pytest.raises(
        CheckpointError, match=r"head.bias: the file has nothing +the model has \(95,\)"
    ):
        load_weights(
            network, {k: v for k, v in network.state_dict().items() if k != "head.bias"}, "x"
        )
    with pytest.raises(CheckpointError, match=r"extra: the file has \(1,\) +the model has nothing"):
        load_weights(network, {**network.state_dict(), "extra": torch.zeros(1)}, "x")


def test_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    root = str(Path(__file__).parent.parent.parent)
    model = torch.hub.load(root, "parseq_tiny", source="local", pretrained=False, refine_iters=2)
    assert model.hparams.img_size == [32, 128]
    assert model.hparams.refine_iters == 2
    assert sum(parameter.numel() for parameter in model.parameters()) == 6_018_143
    functions = runpy.run_path(str(Path(root) / "hubconf.py"))
    for name in [EMBEDDED, *RELEASED_FILES]:
        assert callable(functions[name.replace("-", "_")]), name


def test_each_function_of_the_hub_makes_its_model() -> None:
    """Without weights and without the time that making them takes: what `create_model` is asked
    for.
    """
    functions = runpy.run_path(str(Path(__file__).parent.parent.parent / "hubconf.py"))
    asked: list[tuple[str, bool, dict[str, int]]] = []
    functions["crnn"].__globals__["create_model"] = lambda name, pretrained, **options: (
        asked.append((name, pretrained, options))
    )
    for name in RELEASED_FILES:
        functions[name.replace("-", "_")](pretrained=True, refine_iters=2)
        assert asked.pop() == (name, True, {"refine_iters": 2})
        functions[name.replace("-", "_")]()
        assert asked.pop() == (name, False, {})
