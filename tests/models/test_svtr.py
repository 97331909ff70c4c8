"""SVTRv2: any width, padding that changes nothing, both losses, memorizing a few words."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests_support import PowerCut
from torch import Tensor

from strhub.checkpoint.formats import read_checkpoint
from strhub.checkpoint.zoo import load_from_checkpoint, save_model
from strhub.images.padding import pad
from strhub.models.svtr.guidance import SemanticGuidance, contexts
from strhub.models.svtr.model import SVTRv2 as Network
from strhub.models.svtr.model import similar_widths
from strhub.text import CHARSET_36, CTCTokenizer
from strhub.training.run import train
from strhub.training.systems.svtr import SVTRv2, columns_needed, ctc_losses

pytestmark = pytest.mark.numeric

SIZES: dict[str, Any] = {
    "max_label_length": 40,
    "img_size": [32, 512],
    "embed_dims": [32, 32, 64],
    "depths": [1, 2, 1],
    "num_heads": [1, 1, 2],
    "local_depth": 2,
    "height_strides": [1, 2],
    "mlp_ratio": 2,
}
TRAINING: dict[str, Any] = {
    "charset_train": CHARSET_36,
    "charset_test": CHARSET_36,
    "normalize": "default",
    "name": "svtr-test",
    "batch_size": 8,
    "lr": 1e-3,
    "warmup_pct": 0.1,
    "weight_decay": 0.0,
    "guidance_context": 3,
    "ctc_weight": 1.0,
    "guidance_weight": 1.0,
    "keep_aspect": True,
}


def network(**changes: Any) -> Network:
    torch.manual_seed(0)
    model = Network(charset_size=12, **{**SIZES, **changes}).eval()
    with torch.no_grad():  # lively weights: at the usual ones, attention sees all places alike
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
    return model


def system(**changes: Any) -> SVTRv2:
    torch.manual_seed(0)
    return SVTRv2(**{**SIZES, **TRAINING, **changes})


def inputs(*widths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, 32, width, generator=generator) for width in widths]


@pytest.mark.parametrize("height_strides", [[1, 1], [1, 2], [2, 1], [2, 2]])
@pytest.mark.parametrize("width", [4, 36, 128, 700])
def test_any_width_that_is_a_multiple_of_four(width: int, height_strides: list[int]) -> None:
    model = network(height_strides=height_strides)
    with torch.inference_mode():
        images = torch.stack(inputs(width, width))
        features, padding = model.encode(images)
        assert features.shape == (2, 8 // height_strides[0] // height_strides[1], width // 4, 64)
        assert padding is None
        assert model(images).shape == (2, width // 4, 13)


@pytest.mark.parametrize("shape", [(1, 3, 32, 30), (1, 3, 16, 32), (1, 1, 32, 32), (1, 3, 32, 0)])
def test_other_shapes_are_refused_with_the_right_one(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, 32, W\), W a multiple of 4, not"):
        network()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dims": [32, 32]}, "three numbers each"),
        ({"num_heads": [1, 1, 3]}, "64 channels cannot be split into 3 heads"),
        ({"height_strides": [4, 1]}, "1 or 2 each"),
        ({"img_size": [24, 512]}, "multiple of 16"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**{"height_strides": [2, 2], **changes})


@pytest.mark.parametrize("training", [False, True])
def test_a_word_reads_the_same_alone_and_padded(training: bool) -> None:
    """In training the padding is masked; in use, words of like widths are also read apart."""
    model = network().train(training)
    widths = (32, 44, 200, 100, 108, 36)
    words = inputs(*widths)
    batch = pad(words)
    assert batch.shape == (6, 3, 32, 208)
    with torch.inference_mode():
        together = model(batch)
        assert together.shape == (6, 52, 13)
        assert len(together.argmax(-1).unique()) >= 3, (
            "a reading that is all the same shows nothing"
        )
        for word, logits in zip(words, together, strict=True):
            own = word.shape[-1] // 4
            torch.testing.assert_close(logits[:own], model(word[None])[0], rtol=1e-4, atol=1e-4)
            assert torch.equal(logits[own:].softmax(-1)[:, 0], torch.ones(52 - own))


def test_without_the_mask_padding_would_change_the_reading() -> None:
    model = network()
    (word,) = inputs(64)
    gray = torch.cat([word, torch.zeros(3, 32, 64)], dim=-1)
    with torch.inference_mode():
        assert not torch.allclose(
            model(gray[None])[0, :16], model(word[None])[0], rtol=1e-2, atol=1e-2
        )


def test_words_of_like_widths_are_grouped() -> None:
    assert similar_widths([8, 100, 9, 110, 10, 300]) == [[0, 2, 4], [1, 3], [5]]
    assert similar_widths([]) == []


def test_every_parameter_has_a_gradient() -> None:
    model = system()
    model.training_loss(pad(inputs(64, 96, 40)), ["hello", "wide0word", "a"]).backward()
    without = [
        name
        for name, value in model.named_parameters()
        if value.grad is None or not value.grad.any()
    ]
    # A bias of keys adds the same to all scores of a query, which changes none of the weights.
    assert [name for name in without if not name.endswith("key.bias")] == []


def test_padding_changes_neither_loss_nor_gradients() -> None:
    """Each word alone against all in one padded batch. Labels of one length: so each weighs the
    same.
    """
    model, words, labels = system(), inputs(64, 96, 40), ["hello", "words", "again"]

    def gradients(loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, list(model.parameters())))

    together = model.training_loss(pad(words), labels)
    alone = torch.stack(
        [
            model.training_loss(word[None], [label])
            for word, label in zip(words, labels, strict=True)
        ]
    )
    torch.testing.assert_close(together, alone.mean(), rtol=1e-4, atol=1e-5)
    for one, other in zip(gradients(together), gradients(alone.mean()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_one_step_lowers_the_loss() -> None:
    model, images, labels = system(), pad(inputs(64, 96, 40)), ["hello", "wide0word", "a"]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    before = model.training_loss(images, labels)
    before.backward()
    optimizer.step()
    assert model.training_loss(images, labels) < before


def test_half_precision_steps_are_finite() -> None:
    model = system()
    with torch.autocast("cpu", torch.bfloat16):
        loss = model.training_loss(pad(inputs(64, 96, 40)), ["hello", "wide0word", "a"])
    loss.backward()
    assert loss.isfinite()
    assert all(value.grad is None or value.grad.isfinite().all() for value in model.parameters())


def test_labels_of_blank_images_have_a_loss_too() -> None:
    model = system()
    assert model.training_loss(pad(inputs(64, 96)), ["", ""]).isfinite()


def test_columns_that_ctc_needs() -> None:
    assert [columns_needed(label) for label in ("", "a", "ab", "aa", "aabb", "aaa")] == [
        0,
        1,
        2,
        3,
        6,
        5,
    ]


def test_labels_that_have_too_few_columns_are_counted_and_teach_nothing() -> None:
    model = system()
    images = pad(inputs(32, 32, 64))
    labels = ["abcdefgh", "abcdefghi", "aabbccdd"]  # of 8, 8 and 16 columns: 8, 9 and 12 are needed
    losses, dropped = ctc_losses(
        model.model(images), model.model.columns_of(images), model.tokenizer.encode(labels), labels
    )
    assert dropped == 1
    assert (losses > 0).tolist() == [True, False, True]
    model.training_loss(images, labels)
    model.training_loss(images[1:2, ..., :32], ["aabbccdd"])
    assert model.dropped_labels == 2


def test_the_loss_is_that_of_its_definition() -> None:
    """All paths of three columns that spell "ab", summed one by one."""
    logits = torch.randn(1, 4, 4, generator=torch.Generator().manual_seed(0))
    probabilities = logits[0, :3].softmax(-1)
    paths = [(a, b, c) for a in range(4) for b in range(4) for c in range(4)]
    tokenizer = CTCTokenizer("abc")
    spelled = [
        path
        for path in paths
        if tokenizer.text_of(np.array(path)[tokenizer.select(np.array(path))[0]]) == "ab"
    ]
    assert len(spelled) == 5
    likelihood = sum(
        float(torch.stack([probabilities[i, token] for i, token in enumerate(path)]).prod())
        for path in spelled
    )
    losses, _ = ctc_losses(logits, torch.tensor([3]), tokenizer.encode(["ab"]), ["ab"])
    assert losses.item() == pytest.approx(-np.log(likelihood) / 2, rel=1e-5)


def test_contexts_are_the_neighbors_nearest_first() -> None:
    left, right = contexts(torch.tensor([[1, 2, 3, 4]]), 2)[0].tolist()
    assert left == [[0, 0], [1, 0], [2, 1], [3, 2]]
    assert right == [[2, 3], [3, 4], [4, 0], [0, 0]]


def test_guidance_does_not_see_the_character_it_predicts() -> None:
    torch.manual_seed(0)
    guidance = SemanticGuidance(charset_size=9, embed_dim=8, context=2)
    features = torch.randn(1, 2, 5, 8)
    before, after = (
        guidance(features, None, torch.tensor([[1, 2, third, 4, 5]])) for third in (3, 7)
    )
    unchanged = torch.isclose(before, after).all(-1)[0].tolist()
    assert unchanged == [[True, True, True, False, False], [False, False, True, True, True]]


def test_guidance_does_not_see_padding() -> None:
    torch.manual_seed(0)
    guidance = SemanticGuidance(charset_size=9, embed_dim=8, context=2)
    features, tokens = torch.randn(1, 2, 5, 8), torch.tensor([[1, 2, 3]])
    padding = torch.tensor([[False, False, False, True, True]])
    torch.testing.assert_close(
        guidance(features, padding, tokens), guidance(features[:, :, :3], None, tokens)
    )


def test_guidance_is_not_in_what_is_saved(tmp_path: Path) -> None:
    trained = system()
    path = tmp_path / "last.ckpt"
    state = {"state_dict": trained.state_dict(), "hyper_parameters": dict(trained.hparams)}
    assert any(name.startswith("guidance.") for name in state["state_dict"])
    torch.save(state, path)
    loaded = load_from_checkpoint(path).eval()
    save_model(loaded, tmp_path / "model.safetensors", {})
    assert not any(
        "guidance" in name for name in read_checkpoint(tmp_path / "model.safetensors").weights
    )
    again = load_from_checkpoint(tmp_path / "model.safetensors").eval()
    images = pad(inputs(64, 96, 40))
    with torch.inference_mode():
        expected = trained.eval()(images)
        assert torch.equal(loaded(images), expected)
        assert torch.equal(again(images), expected)


@pytest.mark.parametrize(
    "changes", [{}, {"height_strides": [2, 1], "depths": [2, 1, 2], "local_depth": 1}]
)
def test_sizes_are_told_from_weights(changes: dict[str, Any]) -> None:
    sizes = {**SIZES, **changes}
    reported = Network.sizes_of(network(**changes).state_dict())
    expected = {
        **sizes,
        "max_label_length": 100,
        "img_size": [32, 1024],
        "charset_size": 12,
        "keep_aspect": True,
    }
    assert reported == expected


def test_exported_network_gives_the_same() -> None:
    model = network()
    images = torch.stack(inputs(64, 64))
    exported = torch.export.export(model, (images,)).module()
    torch.testing.assert_close(exported(images), model(images), rtol=1e-4, atol=1e-5)


SMALL = (
    "+experiment=svtr-tiny", "model.img_size=[32,256]", "model.embed_dims=[16,16,32]",
        "model.depths=[1,1,1]",
    "model.num_heads=[1,1,1]", "model.local_depth=2", "model.batch_size=8",
    "model.max_label_length=12", "dataset=rendered", "data.render.words=48", "data.num_workers=0",
    "data.render.difficulty=0", "averaging=none", "logger=csv", "trainer.log_every_n_steps=1",
    "trainer.max_epochs=2", "+trainer.enable_progress_bar=false", "trainer.accelerator=cpu",
    "trainer.devices=1", "callbacks.summary=null", "callbacks.best=null",
    "+trainer.num_sanity_val_steps=0",
)  # fmt: skip


def losses(run: Path) -> list[str]:
    with (run / "metrics.csv").open() as file:
        return [row["loss"] for row in csv.DictReader(file) if row.get("loss")]


@pytest.mark.slow
def test_trains_on_words_of_all_widths_and_goes_on_where_it_stopped(
    compose_main: Any, word_tree: Path, tmp_path: Path
) -> None:
    def run(name: str, *overrides: str) -> dict[str, float]:
        options = (f"output_dir={tmp_path / name}", f"data.root_dir={word_tree}", *overrides)
        return train(compose_main(*options, small=SMALL))

    metrics = run("whole")
    assert {"val_accuracy", "dropped_labels"} <= set(metrics)
    every = "+callbacks.stop={_target_: tests_support.StopAfter, step: 9}"
    with pytest.raises(PowerCut):
        run("part", every, "callbacks.last.every_n_steps=5")
    checkpoint = tmp_path / "part" / "checkpoints" / "last.ckpt"
    run("rest", f"ckpt_path={checkpoint}")
    done = torch.load(checkpoint, weights_only=True)["global_step"]
    assert 0 < done < 12
    assert losses(tmp_path / "rest") == losses(tmp_path / "whole")[done:]
    assert load_from_checkpoint(checkpoint).hparams.keep_aspect is True
