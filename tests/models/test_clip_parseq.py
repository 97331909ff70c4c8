"""PARSeq that reads with CLIP's image tower: sizes by name, weights, every command, and what a
checkpoint says.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_support import small_clip, small_state
from golden_numbers import images, recorded_arrays
from safetensors.torch import save_file
from small_runs import Compose
from tiny_models import CLIP_PARSEQ

from strhub import Recognizer, create_model, load, save
from strhub.checkpoint.scene_text_model import build_network, complete_options
from strhub.training.fine_tuning import encoder_layers
from strhub.training.run import model_from_config, train
from strhub.training.systems.parseq import PARSeq

CLIP = ("model.encoder=clip_vit_b32", "data.normalize=clip", "model.img_size=[224,224]")
QUICK = (
    "dataset=rendered", "data.num_workers=0", "data.render.difficulty=0", "data.render.words=16",
        "data.augment=false",
    "model.batch_size=8", "model.max_label_length=12", "trainer.max_epochs=1",
    "trainer.limit_val_batches=0", "trainer.accelerator=cpu", "trainer.devices=1", "logger=csv",
    "+trainer.enable_progress_bar=false", "callbacks.summary=null", "callbacks.best=null",
    "callbacks.rate=null", "averaging=none", "trainer.log_every_n_steps=1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "millions", "patches"), [("b32", 87.85, 49), ("b16", 86.19, 196), ("l14", 303.97, 256)]
)
def test_the_named_encoders_have_the_published_sizes(
    name: str, millions: float, patches: int
) -> None:
    hparams = complete_options(
        dict(create_small("parseq-tiny").hparams) | experiment(f"parseq-clip-{name}")
    )
    with torch.device("meta"):
        network = build_network(hparams)
    assert sum(p.numel() for p in network.encoder.parameters()) / 1e6 == pytest.approx(
        millions, abs=0.01
    )
    assert network.encoder.pos_embed.shape[1] == patches + 1
    assert (
        network.encoder.projection.out_features
        == network.pos_queries.shape[-1]
        == hparams["embed_dim"]
    )
    assert hparams["normalize"] == "clip"


def experiment(name: str) -> dict[str, Any]:
    from strhub.checkpoint.experiments import experiment_hyper_parameters

    return experiment_hyper_parameters(name)


def create_small(name: str = "parseq", **options: Any) -> Any:
    return create_model(
        name, **({**CLIP_PARSEQ, **options} if name == "parseq" else options)
    ).eval()


def test_the_decoder_attends_to_the_projected_tokens_of_the_recorded_clip(tmp_path: Path) -> None:
    save_file(small_state(), tmp_path / "clip.safetensors")
    system = PARSeq(
        **{**create_small().hparams, "encoder": "clip", "enc_embed_dim": None},
        pretrained_encoder=str(tmp_path / "clip.safetensors"),
    ).eval()
    system.load_initial_weights()
    golden = recorded_arrays("clip-tiny.npz")
    with torch.inference_mode():
        encoded = system.model.encoder(images(2, 32, 32))
    assert encoded.shape == (2, 17, 32)
    np.testing.assert_allclose(encoded[:, 0].numpy(), golden["image_features"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "command",
    [
        ["+experiment=parseq-clip-b32", "trainer.precision=16", "model.img_size=[64,64]"],
        pytest.param(
            ["+experiment=parseq-clip-b32", "trainer.precision=16"], marks=pytest.mark.slow
        ),
        pytest.param([*CLIP, "trainer.precision=16"], marks=pytest.mark.slow),
        pytest.param(["+experiment=parseq-clip-b16"], marks=pytest.mark.slow),
        pytest.param(
            ["+experiment=parseq-clip-l14", "model.img_size=[64,256]"], marks=pytest.mark.slow
        ),
    ],
)
def test_training_commands_with_a_small_clip(
    compose_main: Compose, tmp_path: Path, caplog: Any, command: list[str]
) -> None:
    path = small_clip(tmp_path)
    # Half precision in 16 bits needs a GPU; the summary warns that it does not know the other kind.
    precision = (
        []
        if "trainer.precision=16" not in command
        else ["trainer.precision=bf16-mixed", "+trainer.enable_model_summary=false"]
    )
    config = compose_main(*command, *QUICK, *precision, f"pretrained_encoder={path}", small=())
    metrics = train(config)
    assert np.isfinite(metrics["loss"])
    assert "its own sizes are used" in caplog.text
    (checkpoint,) = (tmp_path / "run").rglob("last.ckpt")
    model = load(checkpoint)
    assert model.hparams["encoder"] == "clip"
    assert model.hparams["patch_size"] == [8, 8]
    assert model.hparams["normalize"] == "clip"


@pytest.mark.slow
def test_the_whole_course_of_a_checkpoint(compose_main: Compose, tmp_path: Path) -> None:
    """Train, read, evaluate, save, export, read again, fine-tune, as with any other."""
    from strhub.cli import export as export_command
    from strhub.cli import read as read_command

    path = small_clip(tmp_path)
    train(
        compose_main(
            *CLIP, *QUICK, f"pretrained_encoder={path}", "model.img_size=[32,64]", small=()
        )
    )
    (checkpoint,) = (tmp_path / "run").rglob("last.ckpt")
    path.unlink()  # what is trained needs it no more
    inputs = sorted(Path("demo_images").glob("*.png"))[:3]
    options = {"refine_iters": 2, "decode_ar": False}
    expected = [reading.text for reading in Recognizer(load(checkpoint, **options))(inputs)]
    read_command.run(
        [
            str(checkpoint),
            "--images",
            *map(str, inputs),
            "refine_iters:int=2",
            "decode_ar:bool=false",
        ]
    )
    save(load(checkpoint, **options), tmp_path / "model.safetensors")
    again = Recognizer(tmp_path / "model.safetensors")(inputs)
    assert [reading.text for reading in again] == expected
    line = export_command.run([str(checkpoint), str(tmp_path / "words.onnx")])
    assert "logits within" in line
    from strhub.inference.onnx_engine import Recognizer as OnnxRecognizer

    assert OnnxRecognizer(tmp_path / "words.onnx").description["normalize"] == "clip"
    system = PARSeq.load_from_checkpoint(checkpoint, weights_only=True)
    assert system.hparams["pretrained_encoder"] == str(path)


def test_fine_tuning_from_a_checkpoint_to_another_image_size(
    compose_main: Compose, tmp_path: Path
) -> None:
    from strhub.training.adopting import adopt_pretrained

    save(create_small(charset_train="abc"), tmp_path / "model.safetensors")
    overrides = [f"pretrained={tmp_path / 'model.safetensors'}", "model.img_size=[32,64]", *QUICK]
    config = compose_main(*overrides, small=())
    adopt_pretrained(config, overrides)
    assert config.data.normalize == "clip"
    assert np.isfinite(train(config)["loss"]), (
        "no CLIP is fetched for a model that has learned already"
    )


def test_without_weights_the_error_says_how_to_get_them(
    compose_main: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*arguments: Any, **options: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    small_encoder = {
        "patch_size": [8, 8],
        "embed_dim": 32,
        "enc_embed_dim": 64,
        "enc_depth": 1,
        "enc_num_heads": 1,
        "dec_num_heads": 1,
    }
    monkeypatch.setitem(
        __import__("strhub.models.parseq.encoders").models.parseq.encoders.CLIP_SIZES,
        "clip_vit_b32",
        small_encoder,
    )
    with pytest.raises(ValueError, match="pretrained_encoder=null"):
        train(compose_main(*CLIP, *QUICK, small=()))
    random = compose_main(
        *CLIP, *QUICK, "pretrained_encoder=null", "model.img_size=[32,64]", small=()
    )
    assert np.isfinite(train(random)["loss"])


def test_the_wrong_mean_is_refused(compose_main: Compose) -> None:
    with pytest.raises(ValueError, match=r"data\.normalize=clip"):
        model_from_config(
            compose_main(
                "model.encoder=clip_vit_b32",
                "data.normalize=default",
                "pretrained_encoder=null",
                small=(),
            )
        )
    with pytest.raises(ValueError, match="not 'default'"):
        create_small(normalize="default")
    assert create_small(normalize=None).hparams["normalize"] == "clip"


def test_mistakes_are_named(compose_main: Compose, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Did you mean 'clip_vit_b32'"):
        create_small(encoder="clip_vit_b23")
    with pytest.raises(ValueError, match="enc_embed_dim"):
        create_small(enc_embed_dim=None)
    with pytest.raises(ValueError, match="no stem"):
        create_small(encoder="clip_vit_b32", enc_stem=[8])
    with pytest.raises(ValueError, match="multiples of the patch's"):
        create_small(img_size=[32, 100])
    path = small_clip(tmp_path)
    system = model_from_config(compose_main(*CLIP, f"pretrained_encoder={path}", small=()))
    save_file({**small_state(), "visual.conv1.weight": torch.zeros(128, 3, 8, 8)}, path)
    with pytest.raises(ValueError, match="is not a clip"):
        system.load_initial_weights()


def test_the_layers_of_the_encoder_from_the_image_on() -> None:
    layers = encoder_layers(create_small().model, ())
    first = {id(parameter) for parameter in layers[0].parameters()}
    encoder = create_small().model.encoder
    assert len(layers) == 1 + len(encoder.blocks) + 1, "patches, blocks, projection"
    assert len(first) == 2 + 1 + 2, "class token and positions, patches, the norm before the blocks"
    assert [p.shape for p in layers[-1].parameters()] == [encoder.projection.weight.shape]
