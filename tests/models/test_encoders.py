"""PARSeq that reads with encoders that others made: the network of strhub-small, and backbones of
timm's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_timm import NAMES, FakeTimm
from PIL import Image
from safetensors.torch import save_file
from small_runs import Compose

from strhub import CheckpointError, Recognizer, create_model, load, save
from strhub.checkpoint.zoo import read_model
from strhub.clip.sources import ClipSource
from strhub.clip.weights import read_clip
from strhub.inference.pipeline import Reading
from strhub.models.layers.backbones import ColumnEncoder, TimmEncoder, look_at, usual_input
from strhub.models.parseq.encoders import complete
from strhub.training.adopting import adopt_pretrained
from strhub.training.fine_tuning import encoder_layers
from strhub.training.run import model_from_config, start_from, train

pytestmark = pytest.mark.numeric

COLUMNS = "ppocrv6_small"
SMALL = {
    "embed_dim": 32,
    "enc_num_heads": 2,
    "enc_depth": 1,
    "dec_num_heads": 2,
    "max_label_length": 8,
}
QUICK = (
    "model.embed_dim=32", "model.dec_num_heads=2", "model.batch_size=4", "model.max_label_length=8",
    "model.perm_num=2",
    "dataset=rendered", "data.num_workers=0", "data.render.words=8", "data.augment=false",
    "trainer.max_epochs=1",
    "trainer.limit_val_batches=0", "trainer.accelerator=cpu", "trainer.devices=1", "logger=csv",
    "+trainer.enable_progress_bar=false", "callbacks.summary=null", "callbacks.best=null",
    "callbacks.rate=null",
    "averaging=none", "trainer.log_every_n_steps=1",
)  # fmt: skip


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTimm]:
    fake = FakeTimm()
    monkeypatch.setitem(sys.modules, "timm", fake)
    look_at.cache_clear()
    usual_input.cache_clear()
    yield fake
    look_at.cache_clear()
    usual_input.cache_clear()


def small(encoder: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return create_model("parseq", encoder=encoder, **{**SMALL, **options}).eval()


def words(count: int = 4) -> list[Image.Image]:
    """Images of several widths."""
    noise = [
        np.random.default_rng(index).integers(0, 255, (30, 40 + 90 * index, 3))
        for index in range(count)
    ]
    return [Image.fromarray(pixels.astype(np.uint8)) for pixels in noise]


def texts(readings: list[Reading]) -> list[str]:
    return [reading.text for reading in readings]


def test_the_encoder_says_how_it_takes_images(timm: FakeTimm) -> None:
    taken = {
        encoder: [small(encoder).hparams[name] for name in ("img_size", "normalize", "keep_aspect")]
        for encoder in ("vit", COLUMNS, *(f"timm/{name}" for name in NAMES))
    }
    assert taken == {
        "vit": [[32, 128], "default", False],
        COLUMNS: [[48, 1600], "default", True],
        "timm/mapnet": [[32, 128], "imagenet", False],
        "timm/lastnet": [[32, 128], "default", False],
        "timm/tokenet": [[32, 128], "clip", False],
    }
    other = small("timm/mapnet", img_size=[16, 64], normalize="default").hparams
    assert (other["img_size"], other["normalize"]) == ([16, 64], "default")
    assert small("timm/mapnet.unit").hparams["normalize"] == "unit"
    assert timm.asked
    assert not any(timm.asked), "nothing is fetched unless asked for"


@pytest.mark.parametrize("name", NAMES)
def test_any_backbone_reads_and_its_checkpoint_loads(
    timm: FakeTimm, name: str, tmp_path: Path
) -> None:
    model = small(f"timm/{name}.tag")
    assert all(
        not parameter.startswith("encoder.backbone.conv_head")
        for parameter in model.model.state_dict()
    )
    tokens = model.model.encoder(torch.zeros(2, 3, 32, 128))
    assert tokens.shape == (2, 64 + (name == "tokenet"), 32)
    assert model.model.encoder.grid_size(torch.zeros(2, 3, 32, 128)) == (4, 16)
    save(model, tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    assert texts(Recognizer(again, device="cpu")(words())) == texts(
        Recognizer(model, device="cpu")(words())
    )
    assert not any(timm.asked)


@pytest.mark.slow
@pytest.mark.parametrize("name", [NAMES[0], NAMES[2]])
def test_an_exported_backbone_gives_the_same_logits(
    timm: FakeTimm, name: str, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")
    from strhub.export.checking import largest_difference
    from strhub.export.writing import export

    model = small(f"timm/{name}")
    export(model, tmp_path / "model.onnx")
    assert largest_difference(model, tmp_path / "model.onnx") < 1e-4


def test_an_exported_model_with_columns_reads_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")
    from strhub.export.checking import largest_difference
    from strhub.export.writing import export, export_beside

    model = small(COLUMNS)
    expected = texts(Recognizer(model, device="cpu")(words()))
    export(model, tmp_path / "model.onnx")
    assert largest_difference(model, tmp_path / "model.onnx") < 1e-4
    assert texts(Recognizer(tmp_path / "model.onnx")(words())) == expected
    save(model, tmp_path / "beside.safetensors")
    assert texts(Recognizer(export_beside(tmp_path / "beside.safetensors"))(words())) == expected


@pytest.mark.parametrize(
    "options", [{}, {"decode_ar": False, "refine_iters": 2}, {"beam_width": 3}]
)
def test_what_is_read_depends_on_the_image_alone(options: dict[str, Any]) -> None:
    reader = Recognizer(small(COLUMNS), device="cpu", **options)
    assert texts(reader(words(3))) == [reader(word)[0].text for word in words(3)]


def test_a_run_with_columns_goes_on_where_it_stopped(compose_main: Compose, tmp_path: Path) -> None:
    """Train with the encoder frozen, resume for another epoch, load."""
    options = (
        *QUICK,
        "data.render.words=4",
        f"model.encoder={COLUMNS}",
        "finetune.freeze_encoder=true",
        "model.ctc_weight=0.1",
    )
    train(compose_main(*options, small=()))
    resumed = train(compose_main(*options, "trainer.max_epochs=2", "ckpt_path=last", small=()))
    assert np.isfinite(resumed["loss"])
    weights = load(tmp_path / "run" / "checkpoints" / "last.ckpt").model.state_dict()
    begun = read_model("strhub-small").weights
    name = "encoder.neck.blocks.0.qkv.weight"
    assert torch.equal(weights[name.replace("encoder.", "encoder.backbone.")], begun[name].float())
    fresh = model_from_config(compose_main(*options, small=())).model.state_dict()
    assert not torch.equal(weights["encoder.projection.weight"], fresh["encoder.projection.weight"])


def test_a_decoder_goes_to_another_encoder(compose_main: Compose) -> None:
    overrides = [f"model.encoder={COLUMNS}", "pretrained=strhub-tiny"]
    config = compose_main(*overrides, small=())
    adopt_pretrained(config, overrides)
    assert config.model.img_size is None
    system = model_from_config(config)
    start_from(system, "strhub-tiny")
    weights, tiny = system.model.state_dict(), read_model("strhub-tiny").weights
    assert torch.equal(weights["pos_queries"], tiny["pos_queries"].float())
    begun = read_model("strhub-small").weights["encoder.stem.conv1.weight"].float()
    assert torch.equal(weights["encoder.backbone.stem.conv1.weight"], begun)


def test_what_fits_a_backbone_to_the_decoder_is_no_part_of_the_encoder() -> None:
    network = small(COLUMNS).model
    frozen = {
        id(p) for layer in encoder_layers(network, ["head.weight"]) for p in layer.parameters()
    }
    free = [name for name, parameter in network.named_parameters() if id(parameter) not in frozen]
    assert "encoder.projection.weight" in free
    assert not any(name.startswith("encoder.backbone.") for name in free)


def test_timms_weights_are_loaded_only_when_asked_for(
    timm: FakeTimm, compose_main: Compose, tmp_path: Path
) -> None:
    options = (*QUICK, "model.encoder=timm/mapnet")
    for source, value in (("auto", None), ("null", None), ("timm", 0.5)):
        timm.asked.clear()
        system = model_from_config(compose_main(*options, f"pretrained_encoder={source}", small=()))
        system.load_initial_weights()
        weight = system.model.encoder.backbone.stem.weight
        assert bool((weight == 0.5).all()) == (value is not None)
        assert any(timm.asked) == (value is not None)
    backbone = TimmEncoder(name="mapnet", img_size=[32, 128], output_dim=32).backbone
    save_file(
        {**backbone.state_dict(), "fc.weight": torch.zeros(3, 3)}, tmp_path / "timm.safetensors"
    )
    system = model_from_config(
        compose_main(*options, f"pretrained_encoder={tmp_path / 'timm.safetensors'}", small=())
    )
    system.load_initial_weights()
    assert torch.equal(system.model.encoder.backbone.stem.weight, backbone.stem.weight)


def test_image_towers_of_open_clips_models_on_timm(
    timm: FakeTimm, compose_main: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SigLIP, MobileCLIP and EVA: the tower is a timm backbone within a CLIP's file, by its path or
    by open_clip's name; positions of a square are interpolated.
    """
    backbone = TimmEncoder(name="tokenet", img_size=[32, 32], output_dim=32).backbone
    backbone.pos_embed.data += torch.arange(16.0)  # of each channel, the same everywhere
    state = {f"visual.trunk.{name}": value for name, value in backbone.state_dict().items()}
    path = tmp_path / "siglip.safetensors"
    save_file({**state, "text.transformer.weight": torch.zeros(3)}, path)
    asked: list[str] = []

    def find(source: str, encoder: str) -> ClipSource:
        asked.append(source)
        return ClipSource(path, "gelu")

    monkeypatch.setattr("strhub.training.systems.parseq.find_clip", find)
    options = (*QUICK, "model.encoder=timm/tokenet", "model.img_size=[32,64]")
    for source in (path, "ViT-B-16-SigLIP:webli"):
        system = model_from_config(
            compose_main(*options, f"pretrained_encoder='{source}'", small=())
        )
        system.load_initial_weights()
        tower = system.model.encoder.backbone
        assert torch.equal(tower.stem.weight, backbone.stem.weight)
        assert tower.pos_embed.shape == (1, 32, 16)
        assert torch.allclose(tower.pos_embed, torch.arange(16.0).expand(1, 32, 16), atol=1e-5)
    assert asked == ["ViT-B-16-SigLIP:webli"]
    with pytest.raises(CheckpointError, match=r"model\.encoder=timm/"):
        read_clip(path)


def test_other_weights_are_refused(
    timm: FakeTimm, compose_main: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = model_from_config(
        compose_main(
            *QUICK, "model.encoder=ppocrv6_small", "pretrained_encoder=strhub-tiny", small=()
        )
    )
    with pytest.raises(CheckpointError, match="strhub-tiny has other weights than this encoder"):
        system.load_initial_weights()
    system = model_from_config(
        compose_main(*QUICK, "model.encoder=timm/mapnet", "pretrained_encoder=timm", small=())
    )
    monkeypatch.setattr(
        timm, "create_model", lambda *args, **options: (_ for _ in ()).throw(OSError("no network"))
    )
    with pytest.raises(
        CheckpointError, match=r"could not give the weights of mapnet: no network.*null"
    ):
        system.load_initial_weights()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "timm/mapne"}, "Did you mean timm/mapnet"),
        (
            {"encoder": "timm/hf-hub:somebody/something"},
            "has no backbone 'hf-hub:somebody/something'",
        ),
        ({"encoder": "timm/mapnet.gone"}, "has no backbone 'mapnet.gone'"),
        (
            {"encoder": "timm/mapnet", "img_size": [4, 4]},
            r"no features of images of \[4, 4\].*Set model.img_size",
        ),
        ({"encoder": COLUMNS, "img_size": [32, 128]}, "takes images 48 high, not 32"),
        ({"encoder": COLUMNS, "enc_stem": [8]}, "has no stem"),
        ({"encoder": COLUMNS, "cross_modal": True}, "goes with an encoder of CLIP's"),
        ({"encoder": "ppocr"}, r"Did you mean 'ppocrv6_small'\? Known: .*timm/<name>"),
    ],
)
def test_what_cannot_be_is_said(timm: FakeTimm, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("parseq", **{**SMALL, **options})


def test_the_aspect_is_the_encoders() -> None:
    with pytest.raises(ValueError, match="takes images of one size"):
        complete({"encoder": "vit", "keep_aspect": True})
    with pytest.raises(ValueError, match="keeps the aspect"):
        complete({"encoder": COLUMNS, "keep_aspect": False})


def test_without_timm_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    usual_input.cache_clear()
    with pytest.raises(
        ModuleNotFoundError, match=r"timm is not installed.*pip install 'strhub\[timm\]'"
    ):
        create_model("parseq", encoder="timm/resnet18", **SMALL)


def test_an_image_that_is_too_wide_is_refused() -> None:
    encoder = ColumnEncoder(img_size=(48, 160), output_dim=8)
    with pytest.raises(ValueError, match="up to 160 pixels wide, not 200"):
        encoder(torch.zeros(1, 3, 48, 200))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "mobilenetv4_conv_small"])
def test_backbones_of_timm_itself(name: str, compose_main: Compose, tmp_path: Path) -> None:
    """Train a step, load without asking for weights, read, export."""
    try:
        import timm
    except (ImportError, RuntimeError):
        pytest.skip("timm is not installed, or its torchvision belongs to another torch")
    assert timm.is_model(name)
    from strhub.export.checking import largest_difference
    from strhub.export.writing import export

    metrics = train(
        compose_main(*QUICK, f"model.encoder=timm/{name}", "model.img_size=[64,128]", small=())
    )
    assert np.isfinite(metrics["loss"])
    model = load(tmp_path / "run" / "checkpoints" / "last.ckpt")
    assert len(Recognizer(model, device="cpu")(words())) == 4
    export(model.eval(), tmp_path / "model.onnx")
    assert largest_difference(model, tmp_path / "model.onnx") < 1e-3
