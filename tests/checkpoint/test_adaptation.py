"""Weights of one model into another of other sizes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from strhub.checkpoint.adaptation import adapt, matching_characters
from strhub.checkpoint.formats import Checkpoint, CheckpointError, read_checkpoint
from strhub.checkpoint.resizing import growing_axes, resize_grid, resize_patch_kernel
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.checkpoint.zoo import create_model, load, locate, save
from strhub.text import CHARSET_36
from strhub.training.adopting import adopt_pretrained, experiment_keys
from strhub.training.run import start_from, train
from strhub.training.systems.vitstr import ViTSTR

TINY: dict[str, Any] = {
    "embed_dim": 16,
    "enc_num_heads": 1,
    "dec_num_heads": 1,
    "enc_depth": 2,
    "patch_size": [8, 16],
    "max_label_length": 10,
    "decode_ar": False,
    "refine_iters": 0,
    "dropout": 0.0,
}
SMALL: dict[str, dict[str, Any]] = {
    "parseq-tiny": TINY,
    "vitstr": {"embed_dim": 32, "num_heads": 1, "depth": 1},
    "crnn": {},
}
OTHER = "".join(reversed(CHARSET_36)) + "äöÜ"


def small(name: str = "parseq-tiny", **options: Any) -> SceneTextModel:
    return create_model(name, **{"charset_train": CHARSET_36, **SMALL[name], **options}).eval()


def checkpoint_of(model: SceneTextModel) -> Checkpoint:
    """As a trained one: with weights that no fresh model has."""
    torch.manual_seed(1)
    weights = {
        name: tensor + 0.05 * torch.randn_like(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in model.model.state_dict().items()
        if "running_var" not in name
    }
    model.model.load_state_dict(weights, strict=False)
    return Checkpoint(
        {k: v.clone() for k, v in model.model.state_dict().items()}, dict(model.hparams), {}
    )


def inputs(height: int = 32, width: int = 128) -> Tensor:
    return torch.rand(3, 3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1


@torch.inference_mode()
def logits(model: SceneTextModel, images: Tensor | None = None) -> Tensor:
    return model(inputs() if images is None else images, model.hparams.max_label_length)


def columns(model: SceneTextModel, characters: str) -> list[int]:
    return model.tokenizer.ids_of(characters)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_model_is_the_same(name: str) -> None:
    old, new = small(name), small(name)
    checkpoint = checkpoint_of(old)
    result = adapt(new.model, new.hparams, checkpoint)
    assert set(result.counts) == {"kept"}
    assert torch.equal(logits(old), logits(new))
    assert "new characters" not in result.table()


@pytest.mark.parametrize("name", SMALL)
def test_characters_are_carried_by_what_they_are(name: str) -> None:
    old, new = small(name), small(name, charset_train=OTHER)
    result = adapt(new.model, new.hparams, checkpoint_of(old))
    before, after = logits(old), logits(new)
    assert after.shape[-1] == before.shape[-1] + 3
    shared = before[..., columns(old, CHARSET_36)], after[..., columns(new, CHARSET_36)]
    torch.testing.assert_close(shared[1], shared[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(
        after[..., 0], before[..., 0], rtol=0, atol=1e-5
    )  # [E], or the blank
    average = before[..., columns(old, CHARSET_36)].mean(-1, keepdim=True)
    strange = after[..., columns(new, "äöÜ")]
    assert (strange - average).abs().max() < 0.5 * (before.max() - before.min())
    assert result.new_characters == "äöÜ"
    assert "new characters: äöÜ" in result.table()


def test_special_tokens_are_carried_by_their_role() -> None:
    old, new = small(), small(charset_train=OTHER)
    checkpoint = checkpoint_of(old)
    adapt(new.model, new.hparams, checkpoint)
    before, after = (
        checkpoint.weights["text_embed.embedding.weight"],
        new.model.text_embed.embedding.weight,
    )
    for role in ("eos_id", "bos_id", "pad_id"):
        assert torch.equal(
            after[getattr(new.tokenizer, role)], before[getattr(old.tokenizer, role)]
        ), role


def test_a_smaller_alphabet_drops_the_rest() -> None:
    old, new = small(), small(charset_train="0123456789")
    result = adapt(new.model, new.hparams, checkpoint_of(old))
    digits = columns(old, "0123456789")
    torch.testing.assert_close(logits(new)[..., 1:], logits(old)[..., digits], rtol=0, atol=1e-5)
    assert result.dropped == CHARSET_36[10:]
    assert result.new_characters == ""


@pytest.mark.parametrize(
    ("new", "known", "expected"),
    [
        ("a", "abc", "a"),
        ("A", "abc", ""),
        ("ä", "a", ""),
    ],
)
def test_characters_match_by_identity(new: str, known: str, expected: str) -> None:
    assert matching_characters(new, known, variants=False) == {new: expected}


@pytest.mark.parametrize(
    ("new", "known", "expected"),
    [
        ("a", "Aa", "a"),
        ("A", "abc", "a"),
        ("a", "ABC", "A"),
        ("Ä", "aAä", "ä"),
        ("Ä", "aA", "A"),
        ("Ä", "a", "a"),
        ("ß", "sS", ""),
        ("ø", "o", "o"),
        ("Ł", "Ll", "L"),
        ("5", "abc", ""),
        ("世", "abc", ""),
        ("æ", "ae", ""),
    ],
)
def test_characters_match_by_variants_if_asked(new: str, known: str, expected: str) -> None:
    assert matching_characters(new, known, variants=True) == {new: expected}


@pytest.mark.numeric
def test_variants_share_their_weights() -> None:
    old, new = small(), small(charset_train=CHARSET_36 + "AÄß")
    result = adapt(new.model, new.hparams, checkpoint_of(old), variants=True)
    after, weights = logits(new), new.model.state_dict()
    for character in "AÄ":
        own, other = columns(new, character), columns(new, "a")
        for name in ("head.weight", "head.bias"):
            assert torch.equal(weights[name][own], weights[name][other])
        # Processors may sum the last columns of a product in another order than the first ones:
        # sums of 16 products are then apart by their last bits, 3e-8.
        torch.testing.assert_close(after[..., own], after[..., other], rtol=0, atol=1e-6)
    assert result.new_characters == "ß"
    assert "A from a, Ä from a" in result.table()


@pytest.mark.parametrize("length", [4, 9, 11, 30])
def test_positions_are_kept_as_far_as_they_reach(length: int) -> None:
    old, new = small(), small(max_label_length=length)
    checkpoint = checkpoint_of(old)
    adapt(new.model, new.hparams, checkpoint)
    both = min(length, 10) + 1
    torch.testing.assert_close(logits(new)[:, :both], logits(old)[:, :both], rtol=0, atol=1e-5)
    more, last = new.model.pos_queries[:, 11:], checkpoint.weights["pos_queries"][:, -1:]
    if length > 10:
        assert more.shape[1] == length - 10
        assert (more - last).abs().max() <= 0.1, "they begin at the last one"
        assert len(torch.unique(more, dim=1)[0]) == length - 10, "but no two are the same"


def test_equal_grids_are_interpolated_to_themselves() -> None:
    positions = torch.randn(24, 5)
    assert resize_grid(positions, (4, 6), (4, 6)) is positions


def test_interpolation_is_smooth() -> None:
    """A table that changes evenly still does, between the same values; a constant one stays
    constant.
    """
    down, across = torch.meshgrid(torch.arange(8.0) + 0.5, torch.arange(16.0) + 0.5, indexing="ij")
    table = torch.stack([down / 8, across / 16, torch.full_like(down, 3.0)], dim=-1).flatten(0, 1)
    finer = resize_grid(table, (8, 16), (16, 32)).unflatten(0, (16, 32))
    inside = finer[4:-4, 4:-4]  # the border has neighbors on one side only
    torch.testing.assert_close(
        inside[..., 0], ((torch.arange(16.0) + 0.5) / 16)[4:-4, None].expand(8, 24)
    )
    torch.testing.assert_close(
        inside[..., 1], ((torch.arange(32.0) + 0.5) / 32)[None, 4:-4].expand(8, 24)
    )
    torch.testing.assert_close(finer[..., 2], torch.full((16, 32), 3.0))
    assert (finer[1:, :, 0] - finer[:-1, :, 0]).min() > 0
    back = resize_grid(finer.flatten(0, 1), (16, 32), (8, 16))
    assert (back - table).abs().max() < 0.06


def test_other_image_sizes() -> None:
    old, new = small(), small(img_size=[32, 256])
    checkpoint = checkpoint_of(old)
    result = adapt(new.model, new.hparams, checkpoint)
    resized = [change for change in result.changes if change.action == "resized"]
    assert [(change.name, change.note) for change in resized] == [
        ("encoder.pos_embed", "4 x 8 -> 4 x 16 patches")
    ]
    expected = resize_grid(checkpoint.weights["encoder.pos_embed"][0], (4, 8), (4, 16))
    assert torch.equal(new.model.encoder.pos_embed[0], expected)
    assert logits(new, inputs(32, 256)).isfinite().all()


def test_a_grid_of_another_shape_with_as_many_patches_is_resized_too() -> None:
    old, new = small(), small(img_size=[64, 64])
    checkpoint = checkpoint_of(old)
    result = adapt(new.model, new.hparams, checkpoint)
    assert result.counts["resized"] == 1
    assert new.model.encoder.pos_embed.shape == checkpoint.weights["encoder.pos_embed"].shape
    assert not torch.equal(new.model.encoder.pos_embed, checkpoint.weights["encoder.pos_embed"])


def test_a_class_token_keeps_its_position() -> None:
    old, new = small("vitstr"), small("vitstr", img_size=[32, 256])
    checkpoint = checkpoint_of(old)
    adapt(new.model, new.hparams, checkpoint)
    before, after = checkpoint.weights["pos_embed"], new.model.pos_embed
    assert torch.equal(after[:, 0], before[:, 0])
    rows, wide = 32 // old.hparams.patch_size[0], 128 // old.hparams.patch_size[1]
    assert torch.equal(after[0, 1:], resize_grid(before[0, 1:], (rows, wide), (rows, 2 * wide)))


@pytest.mark.parametrize("size", [(8, 16), (12, 8), (4, 8), (4, 9), (2, 4), (3, 3)])
def test_kernels_for_other_patches_see_what_the_old_one_sees_of_the_resized_patch(
    size: tuple[int, int],
) -> None:
    kernel, patch = torch.randn(6, 3, 4, 8), torch.randn(1, 3, *size)
    as_before = torch.nn.functional.interpolate(
        patch, size=(4, 8), mode="bicubic", align_corners=False, antialias=True
    )
    resized = resize_patch_kernel(kernel, size)
    assert resized.shape == (6, 3, *size)
    torch.testing.assert_close(
        (resized * patch).sum((1, 2, 3)), (kernel * as_before).sum((1, 2, 3))
    )
    torch.testing.assert_close(
        resized.sum((2, 3)), kernel.sum((2, 3)), msg="an even ground is seen as before"
    )


@pytest.mark.parametrize("patch", [[4, 16], [16, 16], [8, 8]])
def test_other_patches(patch: list[int]) -> None:
    old, new = small(), small(patch_size=patch)
    result = adapt(new.model, new.hparams, checkpoint_of(old))
    assert {change.name for change in result.changes if change.action == "resized"} == {
        "encoder.pos_embed",
        "encoder.patch_embed.proj.weight",
    }
    assert logits(new).isfinite().all()


def test_everything_at_once_from_stored_halves(tmp_path: Path) -> None:
    old = small(enc_stem=[8, 8])
    save(old, tmp_path / "m.safetensors", dtype=torch.float16)
    options = {
        "charset_train": OTHER,
        "img_size": [64, 96],
        "patch_size": [16, 8],
        "max_label_length": 20,
    }
    new = small(enc_stem=[8, 8], **options)
    result = adapt(
        new.model, new.hparams, read_checkpoint(tmp_path / "m.safetensors"), variants=True
    )
    assert result.counts["new"] == result.counts["dropped"] == 0
    assert {tensor.dtype for tensor in new.model.parameters()} == {torch.float32}
    assert logits(new, inputs(64, 96)).shape == (3, 21, len(OTHER) + 1)


def test_deeper_and_shallower_models_go_by_name() -> None:
    old = small()
    deeper, shallower = small(enc_depth=3), small(enc_depth=1)
    result = adapt(deeper.model, deeper.hparams, checkpoint_of(old))
    assert {change.name.split(".")[2] for change in result.changes if change.action == "new"} == {
        "2"
    }
    result = adapt(shallower.model, shallower.hparams, checkpoint_of(old))
    assert {
        change.name.split(".")[2] for change in result.changes if change.action == "dropped"
    } == {"1"}


def test_other_widths_are_an_error_with_a_table() -> None:
    old, new = (
        small(),
        small(embed_dim=32, charset_train=OTHER, max_label_length=14, img_size=[32, 256]),
    )
    with pytest.raises(CheckpointError, match="other sizes may not") as caught:
        adapt(new.model, new.hparams, checkpoint_of(old))
    assert "encoder.pos_embed: the file has (1, 32, 16)" in str(caught.value)


def test_another_architecture_altogether_is_an_error() -> None:
    old, new = small("crnn"), small()
    with pytest.raises(CheckpointError, match="no parameter has a name that the model knows"):
        adapt(new.model, new.hparams, checkpoint_of(old))


def test_chance_is_left_alone() -> None:
    hparams = small().hparams
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert growing_axes(hparams, max_label_length=11) == {"pos_queries": [1]}
    assert torch.equal(torch.rand(1), expected)


def adopted(compose_main: Any, *overrides: str) -> Any:
    config = compose_main(*overrides, small=())
    adopt_pretrained(config, list(overrides))
    return config


def test_what_is_set_stays_and_the_rest_is_the_models(compose_main: Any) -> None:
    hparams = load("strhub-tiny").hparams
    config = adopted(
        compose_main,
        "pretrained=strhub-tiny",
        'model.charset_train="abcß"',
        "model.max_label_length=30",
    )
    assert config.model.charset_train == "abcß"
    assert config.model.charset_test == "abcß", "what is trained is scored"
    assert config.model.max_label_length == 30
    assert config.model.embed_dim == hparams.embed_dim
    config = adopted(compose_main, "pretrained=strhub-tiny", "charset=36_lowercase")
    assert config.model.charset_train == CHARSET_36


def test_the_architecture_is_the_models(compose_main: Any, tmp_path: Path) -> None:
    save(small("vitstr"), tmp_path / "m.safetensors")
    config = adopted(
        compose_main,
        f"pretrained={tmp_path / 'm.safetensors'}",
        "model.lr=0.5",
        "model.batch_size=7",
    )
    assert config.model.architecture == "vitstr"
    assert type(instantiate(config.model, _recursive_=False)) is ViTSTR
    assert (config.model.embed_dim, config.model.depth) == (32, 1)
    assert (config.model.lr, config.model.batch_size) == (0.5, 7)
    assert "refine_iters" not in config.model


def test_an_experiment_decides_its_sizes_unless_it_is_for_fine_tuning(compose_main: Any) -> None:
    config = adopted(compose_main, "+experiment=parseq-tiny", "pretrained=strhub-tiny")
    assert config.model.embed_dim == 192
    assert "pretrained" not in experiment_keys("parseq-tiny")
    assert experiment_keys("from-elsewhere") == set()
    hparams = load("strhub-tiny").hparams
    for name in ("german", "meter"):
        assert "pretrained" in experiment_keys(name)
        config = adopted(compose_main, f"+experiment={name}")
        assert config.model.embed_dim == hparams.embed_dim
        assert config.model.name == name
        assert config.model.charset_train != hparams.charset_train
        assert set(config.model.charset_test) <= set(config.model.charset_train) | set(
            config.model.charset_test.lower()
        )


def test_training_starts_from_another_alphabet_and_size(
    compose_main: Any, tmp_path: Path, word_tree: Path
) -> None:
    save(small(max_label_length=12), tmp_path / "m.safetensors")
    overrides = [
        f"pretrained={tmp_path}",
        "charset=94_full",
        "model.max_label_length=16",
        "model.img_size=[32,64]",
        "adapt.variants=true",
    ]
    quick = [
        f"data.root_dir={word_tree}",
        "data.num_workers=0",
        "logger=csv",
        "+trainer.enable_progress_bar=false",
        "trainer.accelerator=cpu",
        "trainer.devices=1",
        "callbacks.summary=null",
        "trainer.max_steps=2",
        "model.batch_size=8",
        "averaging=none",
        "trainer.log_every_n_steps=1",
        "trainer.check_val_every_n_epoch=null",
        "trainer.val_check_interval=2",
    ]
    config = adopted(compose_main, *overrides, *quick)
    assert OmegaConf.to_container(config.model.patch_size) == [8, 16]
    assert "val_accuracy" in train(config)
    hparams = load(tmp_path / "run").hparams
    assert (hparams.embed_dim, hparams.max_label_length, list(hparams.img_size)) == (
        16,
        16,
        [32, 64],
    )


def test_what_became_of_the_weights_is_returned(
    compose_main: Any, caplog: pytest.LogCaptureFixture
) -> None:
    from strhub.training.run import model_from_config

    config = adopted(compose_main, "pretrained=strhub-tiny", 'model.charset_train="abcdeéß"')
    with caplog.at_level("INFO"):
        result = start_from(model_from_config(config), "strhub-tiny", variants=True)
    weights: Mapping[str, Tensor] = read_checkpoint(locate("strhub-tiny")).weights
    assert sum(result.counts.values()) == len(weights)
    assert result.characters["é"] == "e"
    assert result.new_characters == "ß"
    assert "dropped characters: 0123456789fghij" in caplog.text
