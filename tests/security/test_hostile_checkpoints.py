"""Files of models that would run code, name what is not theirs, or take memory and time without
end.
"""

import io
import json
import math
import pickle
import sys
import threading
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from attack_support import run_limited, run_python
from hostile import CALL, VALUES, changed_json, damaged, deep, is_plain
from omegaconf import OmegaConf
from safetensors import safe_open
from safetensors.torch import save_file
from small_runs import Compose

from strhub.checkpoint import download, formats
from strhub.checkpoint.experiments import experiment_hyper_parameters
from strhub.checkpoint.formats import read_checkpoint, read_metadata
from strhub.checkpoint.schema import checked_card, checked_hyper_parameters
from strhub.checkpoint.torch_files import check_archive
from strhub.checkpoint.zoo import create_model, load, save
from strhub.errors import CheckpointError
from strhub.inference.onnx_engine import Recognizer
from strhub.training.adopting import adopt_pretrained
from strhub.weights import embedded_graph, embedded_weights

EXPERIMENTS = ("parseq", "abinet", "crnn", "svtr-base", "trba", "vitstr")
TINY = {
    "embed_dim": 16,
    "enc_num_heads": 1,
    "dec_num_heads": 1,
    "enc_depth": 1,
    "patch_size": [16, 32],
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A whole file of each format, all of one small model."""
    model = create_model("parseq-tiny", **TINY)
    folder = tmp_path_factory.mktemp("files")
    save(model, folder / "m.safetensors", metrics={"a": 0.5})
    state = {f"model.{name}": tensor for name, tensor in model.model.state_dict().items()}
    run = {
        "state_dict": state,
        "hyper_parameters": dict(model.hparams),
        "epoch": 1,
        "callbacks": {"a": {"b": 1}},
    }
    torch.save(run, folder / "m.ckpt")
    torch.save(model.model.state_dict(), folder / "m.pt")
    torch.save(model.model.state_dict(), folder / "old.pt", _use_new_zipfile_serialization=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def with_hyper_parameters(files: dict[str, bytes], path: Path, **changed: Any) -> Path:
    """Write the model with other hyper-parameters, as safetensors or as a run's checkpoint."""
    path.write_bytes(files[f"m{path.suffix}"])
    if path.suffix == ".ckpt":
        content = torch.load(path, weights_only=True)
        content["hyper_parameters"] |= changed
        torch.save(content, path)
        return path
    with safe_open(path, "pt") as file:
        metadata, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    metadata["hyper_parameters"] = json.dumps(
        {**json.loads(metadata["hyper_parameters"]), **changed}
    )
    save_file(weights, path, metadata)
    return path


def test_every_hyper_parameter_of_every_architecture_is_checked() -> None:
    refused: list[str] = []
    adopted: list[Any] = []
    for experiment in EXPERIMENTS:
        hparams = {**experiment_hyper_parameters(experiment), "normalize": "default"}
        kinds = formats._kinds(hparams["architecture"])
        for name in (
            *hparams,
            "temperature",
            "keep_aspect",
            "seed",
            "optimizer",
            "contrastive",
            "of_another_version",
        ):
            for value in VALUES:
                try:
                    adopted.append(
                        checked_hyper_parameters({**hparams, name: value}, kinds, experiment)
                    )
                except CheckpointError as error:
                    refused.append(str(error))
    assert len(refused) > 1000
    assert len(adopted) > 1000
    assert all(map(is_plain, adopted))
    assert all(map(str.isprintable, refused)), "one line each"


HOSTILE = {
    "normalize": CALL,
    "img_size": [32, 128, CALL],
    "name": "${oc.env:HOME}",
    "charset_test": CALL,
    "enc_stem": [CALL],
    "patch_size": CALL,
    "encoder": "${oc.env:HOME}",
    "charset_train": "a${",
    "decode_ar": "${model.name}",
    "enc_activation": CALL,
}


@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_nothing_hostile_enters_a_configuration(
    tmp_path: Path, files: dict[str, bytes], compose_main: Compose, suffix: str
) -> None:
    config = compose_main(small=())
    before = OmegaConf.to_yaml(config)
    for name, value in HOSTILE.items():
        config.pretrained = str(
            with_hyper_parameters(files, tmp_path / f"m{suffix}", **{name: value})
        )
        with pytest.raises(CheckpointError, match=name):
            adopt_pretrained(config, [])
    config.pretrained = None
    assert OmegaConf.to_yaml(config) == before


def test_what_a_run_was_trained_with_is_not_adopted(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    """Neither a part of training, which names classes, nor what no network has."""
    for suffix in (".safetensors", ".ckpt"):
        changed = {
            "optimizer": CALL,
            "schedule": CALL,
            "_target_": "os.system",
            "other": {"a": {"b": CALL}},
        }
        path = tmp_path / f"m{suffix}"
        with_hyper_parameters(files, path, contrastive={"weight": 0.5, "x": [1, 2]}, **changed)
        hparams = read_checkpoint(path).hparams
        assert is_plain(dict(hparams))
        assert not {"optimizer", "schedule", "_target_", "other"} & {*hparams}
        assert hparams["contrastive"] == {"weight": 0.5, "x": [1, 2]}


def test_cards_are_checked() -> None:
    card = {
        "measured": {"a": 0.5, "b": "x", "c": math.nan, "d": 10**9, "e": True},
        "licence": "MIT",
    }
    assert checked_card(card, "x") == {"measured": {"a": 0.5}, "licence": "MIT"}
    for hostile in (
        [],
        None,
        {"a": [{"b": {}}] * 30_000},
        json.loads(deep(500).join(['{"a": ', "}"])),
    ):
        with pytest.raises(CheckpointError):
            checked_card(hostile, "x")


@pytest.mark.parametrize("name", ["hyper_parameters", "card"])
def test_json_without_end_is_one_line(tmp_path: Path, name: str) -> None:
    metadata = {"format": "strhub-1", "hyper_parameters": "{}", "card": "{}", name: deep()}
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", metadata)
    with pytest.raises(CheckpointError, match="metadata cannot be read"):
        read_metadata(tmp_path / "x.safetensors")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"enc_depth": 10**5}, "from 0 to 100"),
        ({"refine_iters": 10**9}, "from 0 to 50"),
        ({"embed_dim": 10**9}, "from"),
        ({"img_size": [30000, 30000]}, "8192"),
        ({"img_size": [4096, 4096]}, "pixels"),
        ({"temperature": 0}, "from 0.01"),
        ({"temperature": math.nan}, "finite"),
        ({"enc_depth": 90, "embed_dim": 60000}, "do not fit"),
        ({"max_label_length": 2000}, "do not fit"),
        ({"dec_depth": 60, "dec_mlp_ratio": 64}, "do not fit"),
        ({"enc_num_heads": 3}, "can be made of its hyper-parameters"),
        ({"patch_size": [1, 1]}, "do not fit"),
    ],
)
def test_sizes_that_are_not_in_the_file_cost_nothing(
    tmp_path: Path, files: dict[str, bytes], changed: dict[str, Any], message: str
) -> None:
    path = with_hyper_parameters(files, tmp_path / "m.safetensors", **changed)
    before = time.process_time()
    with pytest.raises(CheckpointError, match=message):
        load(path)
    assert time.process_time() - before < 10


def test_weights_that_are_no_numbers_are_named(tmp_path: Path, files: dict[str, bytes]) -> None:
    weights = torch.load(io.BytesIO(files["m.pt"]), weights_only=True)
    for value in (math.nan, math.inf):
        torch.save({**weights, "head.bias": weights["head.bias"] + value}, tmp_path / "x.pt")
        with pytest.raises(
            CheckpointError, match=r"'head.bias' has numbers that are infinite or NaN"
        ):
            load(tmp_path / "x.pt")


def packed_checkpoint(files: dict[str, bytes], path: Path) -> Path:
    """Write a checkpoint with compressed records, one of them of 128 MiB."""
    source = zipfile.ZipFile(io.BytesIO(files["m.ckpt"]))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, bytes(1 << 27) if name.endswith("/data/1") else source.read(name))
    return path


def test_compressed_records_are_refused_unread(tmp_path: Path, files: dict[str, bytes]) -> None:
    """Such a file of some kilobytes may hold gigabytes."""
    packed = packed_checkpoint(files, tmp_path / "m.ckpt")
    assert packed.stat().st_size < 1 << 20
    for read in (read_checkpoint, check_archive):
        with pytest.raises(CheckpointError, match="compressed"):
            read(packed)


class Made:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> Any:
        return self.made


def test_pickles_cannot_ask_for_memory(tmp_path: Path, files: dict[str, bytes]) -> None:
    weights = torch.load(io.BytesIO(files["m.pt"]), weights_only=True)
    huge = torch.zeros(1).expand(1 << 40)
    shared = {f"encoder.blocks.{n}.mlp.fc1.weight": torch.zeros(1 << 16) for n in range(1)}
    many = {f"w{n}": shared["encoder.blocks.0.mlp.fc1.weight"] for n in range(1000)}
    memo = (
        pickle.PROTO
        + b"\x02"
        + pickle.NONE
        + pickle.LONG_BINPUT
        + b"\xff\xff\xff\x7f"
        + pickle.STOP
    )
    text = pickle.PROTO + b"\x04" + pickle.BINBYTES8 + (1 << 36).to_bytes(8, "little") + pickle.STOP
    for content, message in (
        ({**weights, "head.bias": huge}, "larger than the file"),
        ({**weights, **many}, "larger than the file"),
        ({"state_dict": weights, "hyper_parameters": {"x": Made(bytearray, 1 << 36)}}, "bytearray"),
        ({"state_dict": weights, "hyper_parameters": True}, "not a mapping"),
        (
            {"state_dict": weights, "hyper_parameters": {"x": torch.zeros(2)}},
            "tensor where a plain value",
        ),
    ):
        torch.save(content, tmp_path / "x.pt")
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(tmp_path / "x.pt")
    for raw in (memo, text):
        (tmp_path / "x.pt").write_bytes(raw)
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / "x.pt")
    lists: list[Any] = []
    for _ in range(40):
        lists = [lists] * 10  # 10^40 values, if one walks them all
    torch.save({"state_dict": weights, "hyper_parameters": {"x": lists}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"too many values|too deeply"):
        read_checkpoint(tmp_path / "x.pt")


# ---- exported files


def graph(folder: Path, change: Callable[[Any], None]) -> Path:
    """The embedded model's graph beside its weights, changed."""
    import onnx

    proto = onnx.load(str(embedded_graph("strhub-tiny")), load_external_data=False)
    change(proto)
    (folder / embedded_weights("strhub-tiny").name).write_bytes(
        embedded_weights("strhub-tiny").read_bytes()
    )
    path = folder / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def describe(proto: Any, **changed: Any) -> None:
    entry = next(item for item in proto.metadata_props if item.key == "strhub")
    entry.value = json.dumps({**json.loads(entry.value), **changed})


def point_at(proto: Any, target: str) -> None:
    """Let a graph's first tensor be in a file."""
    for entry in proto.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = target


@pytest.mark.parametrize(
    "changed",
    [
        {"img_size": [30000, 30000]}, {"img_size": "32x128"}, {"img_size": [64, 128]},
            {"charset": 5},
        {"charset": "ab"}, {"temperature": 0}, {"temperature": "x"},
        {"temperature": math.nan}, {"normalize": CALL}, {"tokenizer": ["a"]},
        {"keep_aspect": "no"}, {"decoding": [1]}, {"decoding": {"refine_iters": CALL}},
            {"weights": "x"},
        {"weights": {"file": "../strhub-tiny.safetensors", "header": "x"}},
            {"weights": {"file": "/etc/passwd"}},
        {"format": "1"}, {"format": 99}, {"card": [1]}, {"architecture": None},
    ],
    ids=str,
)  # fmt: skip
def test_descriptions_of_exported_files_are_checked(
    tmp_path: Path, changed: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError) as caught:
        Recognizer(graph(tmp_path, lambda proto: describe(proto, **changed)))(
            ["demo_images/01.png"]
        )
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../x.safetensors", "folder/x", "gone", ".", "", "a\\b"]
)
def test_weights_of_exported_files_lie_beside_them(tmp_path: Path, target: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "x.safetensors").write_bytes(embedded_weights("strhub-tiny").read_bytes())

    with pytest.raises(CheckpointError, match="not a file beside it"):
        Recognizer(graph(tmp_path / "model", lambda proto: point_at(proto, target)))


def test_exported_files_point_at_their_own_weights_alone(tmp_path: Path) -> None:
    (tmp_path / "private.txt").write_bytes(bytes(100_000))
    with pytest.raises(CheckpointError, match=r"do not belong to it: 'private.txt'"):
        Recognizer(graph(tmp_path, lambda proto: point_at(proto, "private.txt")))


def test_exported_files_with_more_numbers_than_bytes_are_refused(tmp_path: Path) -> None:
    def grow(proto: Any) -> None:
        proto.graph.initializer[0].dims[:] = [1 << 20, 1 << 30]

    with pytest.raises(CheckpointError, match="more numbers than there are"):
        Recognizer(graph(tmp_path, grow))


# ---- downloads


class Answers(BaseHTTPRequestHandler):
    """A server that points elsewhere, or sends more than it should."""

    def do_GET(self) -> None:
        target = {
            "/ftp": "ftp://127.0.0.1/x",
            "/file": "file:///etc/passwd",
            "/other": "/real.pt",
        }.get(self.path)
        self.send_response(302 if target else 200)
        if target:
            self.send_header("Location", target)
        if self.path == "/announced":
            self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        if not target and self.path != "/announced":
            self.wfile.write(bytes(200_000))

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("ftp", "not followed: ftp://"),
        ("file", "not allowed"),
        ("announced", "more than the 0"),
        ("real.pt", "larger than the 0 MiB"),
        ("other", "larger than the 0 MiB"),
    ],
)
def test_downloads_have_limits_and_stay_on_the_web(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch, path: str, message: str
) -> None:
    monkeypatch.setattr(download, "LARGEST", 100_000)
    with pytest.raises(CheckpointError, match=message):
        download.fetch(
            download.RemoteFile(f"{address}/{path}", "0" * 64, "x.pt"), tmp_path / "cache"
        )
    assert [*(tmp_path / "cache").iterdir()] == []


def test_slow_downloads_end(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PATIENCE", 0.0)
    monkeypatch.setattr(download, "_SLOWEST", 1e12)
    with pytest.raises(CheckpointError, match=r"only \d+ bytes arrived"):
        download.fetch(
            download.RemoteFile(f"{address}/real.pt", "0" * 64, "x.pt"), tmp_path / "cache"
        )


def test_a_server_does_not_lead_from_https_to_http() -> None:
    request = urllib.request.Request("https://127.0.0.1/x")
    with pytest.raises(OSError, match="not followed"):
        download._WebRedirects().redirect_request(request, None, 302, "", {}, "http://127.0.0.1/x")


def test_towers_with_blocks_left_out_are_refused(tmp_path: Path) -> None:
    from clip_support import small_state

    from strhub.clip.weights import read_clip

    state = {
        name.replace("resblocks.1.", "resblocks.99999999."): tensor
        for name, tensor in small_state().items()
    }
    save_file(state, tmp_path / "clip.safetensors")
    with pytest.raises(CheckpointError, match="not numbered from 0"):
        read_clip(tmp_path / "clip.safetensors").image_sizes()


# ---- damage


@pytest.mark.parametrize("name", ["m.safetensors", "m.ckpt", "m.pt", "old.pt"])
def test_damaged_files_are_one_line(tmp_path: Path, files: dict[str, bytes], name: str) -> None:
    outcomes = [
        outcome(tmp_path / name, damaged(files[name], np.random.default_rng(seed)), load)
        for seed in range(60)
    ]
    assert 20 < sum(outcomes) <= 60


def test_damaged_hyper_parameters_are_one_line(tmp_path: Path, files: dict[str, bytes]) -> None:
    (tmp_path / "whole.safetensors").write_bytes(files["m.safetensors"])
    with safe_open(tmp_path / "whole.safetensors", "pt") as file:
        metadata, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    for seed in range(30):
        rng = np.random.default_rng(seed)
        name = ("hyper_parameters", "card")[seed % 3 == 0]
        save_file(
            weights,
            tmp_path / "x.safetensors",
            {**metadata, name: changed_json(metadata[name], rng)},
        )
        outcome(tmp_path / "x.safetensors", (tmp_path / "x.safetensors").read_bytes(), load)


def test_damaged_exported_files_are_one_line(tmp_path: Path) -> None:
    (tmp_path / embedded_weights("strhub-tiny").name).write_bytes(
        embedded_weights("strhub-tiny").read_bytes()
    )
    whole = embedded_graph("strhub-tiny").read_bytes()
    outcomes = [
        outcome(tmp_path / "m.onnx", damaged(whole, np.random.default_rng(seed)), read_demo)
        for seed in range(30)
    ]
    assert sum(outcomes) > 10


def read_demo(path: Path) -> None:
    Recognizer(path, threads=1)(["demo_images/01.png"])


def outcome(path: Path, content: bytes, read: Callable[[Path], Any]) -> bool:
    """Whether a file is refused, in one line or with a table of what does not fit; any other error
    is raised.
    """
    path.write_bytes(content)
    message = ""
    try:
        read(path)
    except CheckpointError as error:
        message = str(error)
    first, *more = message.splitlines() or [""]
    assert not more or "do not fit" in first
    assert message.replace("\n", "").isprintable()
    return bool(message)


# ---- all of this in one child with limits, whose start is most of the time

CHILD = """
import sys
from pathlib import Path
from strhub import load
from strhub.checkpoint import download
from strhub.errors import CheckpointError
from strhub.inference.onnx_engine import Recognizer
download.LARGEST = 100_000
address, cache, *paths = sys.argv[1:]
fetched = [f"{address}/{name}" for name in ("ftp", "file", "announced", "real.pt", "other")]
for path in [*fetched, *paths]:
    try:
        if path.startswith("http"):
            download.fetch(download.RemoteFile(path, "0" * 64, "x.pt"), Path(cache))
        elif path.endswith(".onnx"):
            Recognizer(path, threads=1)(["demo_images/01.png"])
        else:
            load(path)
    except CheckpointError as error:
        assert len(str(error).splitlines()) == 1 or "do not fit" in str(error), error
        print("refused")
    else:
        print("used", path)
"""


def hostile_models(files: dict[str, bytes], folder: Path) -> Iterator[Path]:
    """Write models that lie about their sizes, or hold what is no number."""
    for number, changed in enumerate(
        (
            {"enc_depth": 10**5},
            {"refine_iters": 10**9},
            {"embed_dim": 10**9},
            {"img_size": [30000, 30000]},
            {"temperature": 0},
            {"temperature": math.nan},
            {"enc_depth": 90, "embed_dim": 60000},
            {"max_label_length": 2000},
        )
    ):
        yield with_hyper_parameters(files, folder / f"{number}.safetensors", **changed)
    for name in ("hyper_parameters", "card"):
        metadata = {"format": "strhub-1", "hyper_parameters": "{}", "card": "{}", name: deep()}
        save_file({"a": torch.zeros(1)}, folder / f"{name}.safetensors", metadata)
        yield folder / f"{name}.safetensors"
    yield packed_checkpoint(files, folder / "packed.ckpt")
    weights = torch.load(io.BytesIO(files["m.pt"]), weights_only=True)
    for name, content in {
        "expanded": {**weights, "head.bias": torch.zeros(1).expand(1 << 40)},
        "called": {"state_dict": weights, "hyper_parameters": {"x": Made(bytearray, 1 << 36)}},
        "nan": {**weights, "head.bias": weights["head.bias"] * math.nan},
    }.items():
        torch.save(content, folder / f"{name}.pt")
        yield folder / f"{name}.pt"
    for seed, (name, content) in enumerate(files.items()):
        path = folder / f"damaged-{name}"
        path.write_bytes(damaged(content, np.random.default_rng(seed))[:-100])
        yield path
    for number, change in enumerate(
        (
            lambda proto: describe(proto, img_size=[30000, 30000]),
            lambda proto: describe(proto, charset=5),
            lambda proto: proto.graph.initializer[0].dims.__setitem__(slice(None), [1 << 30] * 2),
            lambda proto: point_at(proto, "/etc/passwd"),
        )
    ):
        (folder / f"graph{number}").mkdir()
        yield graph(folder / f"graph{number}", change)


def test_all_of_it_in_a_child_with_limits(
    tmp_path: Path, files: dict[str, bytes], address: str
) -> None:
    paths = list(hostile_models(files, tmp_path))
    outcome = run_python(CHILD, address, tmp_path / "cache", *paths, memory_mib=1200)
    assert outcome.ended_well, outcome
    assert outcome.stdout.splitlines() == ["refused"] * (5 + len(paths)), outcome
    assert list((tmp_path / "cache").iterdir()) == []


# ---- the command line


@pytest.mark.slow
def test_training_from_a_hostile_file_is_one_line(tmp_path: Path, files: dict[str, bytes]) -> None:
    sign = tmp_path / "called"
    path = with_hyper_parameters(
        files, tmp_path / "m.safetensors", normalize={**CALL, "file": str(sign)}
    )
    command = [
        sys.executable,
        "train.py",
        f"pretrained={path}",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    done = run_limited(command, memory_mib=3000, seconds=200)
    assert done.ended_well, done
    assert done.status == 1
    assert "normalize" in done.stderr.splitlines()[-1]
    assert not sign.exists()
