"""The second branch: how it spells, that it sees what was read, how both branches take turns, and
training.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_support import small_clip
from small_runs import Compose

from strhub import create_model, load, save
from strhub.clip.tokenizer import ClipTokenizer
from strhub.models.parseq.crossmodal import spell
from strhub.text import CHARSET_94
from strhub.training.run import train

pytestmark = pytest.mark.numeric

SMALL = {
    "encoder": "clip", "enc_embed_dim": 64, "enc_depth": 1, "enc_num_heads": 1, "embed_dim": 32,
        "dec_num_heads": 1,
    "patch_size": [8, 8], "img_size": [32, 32], "normalize": "clip", "max_label_length": 6,
    "cross_modal": True, "text_embed_dim": 64, "text_depth": 1, "text_vocab_size": 514,
}  # fmt: skip


def small(**options: Any) -> Any:
    torch.manual_seed(2)
    model = create_model("parseq", **{**SMALL, **options}).eval()
    with torch.no_grad():
        for head in (model.model.head, model.model.cross.head):
            head.weight.mul_(50)  # so that different characters are read
    return model


def test_texts_are_spelled_with_clips_own_tokens() -> None:
    model = small()
    cross, tokenizer = model.model.cross, ClipTokenizer(())
    words = ["Ab1", "x", "", "$9!~"]
    ids = model.tokenizer.encode(words)[:, 1:].masked_fill(
        model.tokenizer.encode(words)[:, 1:] > 94, 0
    )
    tokens = cross.text_tokens(ids)
    assert tokens.shape == (4, ids.shape[1] + 2)
    for word, row in zip(words, tokens.tolist(), strict=True):
        pieces = [
            tokenizer.encode(letter)[0] - 256 for letter in word
        ]  # each letter is a word of its own there
        expected = [512, *pieces[:-1], *(piece + 256 for piece in pieces[-1:]), 513]
        assert row[: len(expected)] == expected
        assert set(row[len(expected) :]) <= {513}
    assert spell(CHARSET_94) == [
        tokenizer.ids[tokenizer.letters[ord(c.lower())]] for c in CHARSET_94
    ]
    assert spell("é") == spell("?")


def test_the_second_branch_sees_the_first_reading() -> None:
    model = small(refine_iters=0)
    network, images = model.model, torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        encoded = network.encoder(images)
        first = network.first_reading(encoded)
        seen = network.cross.see(encoded, first)
        assert seen.shape == (2, 17 + first.shape[1] + 2, 32)
        assert torch.equal(seen[:, :17], encoded)
        other = first.roll(1, dims=2)
        assert not torch.allclose(network.cross.see(encoded, other)[:, 17:], seen[:, 17:])
        logits = model(images, 6)
    assert logits.shape == (2, 7, 95)


@pytest.mark.parametrize("decode_ar", [True, False])
def test_both_branches_predict_and_refine_in_turn(decode_ar: bool) -> None:
    model = small(decode_ar=decode_ar, refine_iters=1)
    network, images = model.model, torch.rand(2, 3, 32, 32)
    cross = network.cross
    with torch.inference_mode():
        encoded = network.encoder(images)
        memory = network.decoder.project_memory(encoded)
        first = network.read_first(memory, 7, decode_ar=decode_ar, stop_early=False)
        second = cross.read_first(
            cross.decoder.project_memory(cross.see(encoded, first)),
            7,
            decode_ar=decode_ar,
            stop_early=False,
        )
        first = network.refine(memory, second)
        second = cross.refine(cross.decoder.project_memory(cross.see(encoded, first)), second)
        torch.testing.assert_close(model(images, 6), second)


def test_training_moves_both_branches_and_not_the_text_tower(
    compose_main: Compose, tmp_path: Path
) -> None:
    path = small_clip(tmp_path)
    config = compose_main(
        "+experiment=parseq-clip-b16-cross", f"pretrained_encoder={path}", "model.img_size=[32,32]",
            "model.perm_num=2",
        "model.max_label_length=6", "dataset=rendered", "data.num_workers=0",
        "data.render.difficulty=0",
        "data.render.words=16", "model.batch_size=8", "data.augment=false", "trainer.max_epochs=1",
        "trainer.limit_val_batches=0", "logger=csv", "trainer.accelerator=cpu", "trainer.devices=1",
        "+trainer.enable_progress_bar=false", "callbacks.summary=null", "callbacks.best=null",
        "callbacks.rate=null", "averaging=none", "trainer.log_every_n_steps=1", small=(),
    )  # fmt: skip
    assert np.isfinite(train(config)["loss"])
    (checkpoint,) = (tmp_path / "run").rglob("last.ckpt")
    from strhub.clip.weights import read_clip

    tower = read_clip(path).text
    path.unlink()
    model = load(checkpoint).eval()
    trained = model.model.cross.text_tower.state_dict()
    assert all(torch.equal(tensor, trained[name]) for name, tensor in tower.items())
    images = torch.rand(2, 3, 32, 32)
    save(model, tmp_path / "model.safetensors")
    with torch.inference_mode():
        assert torch.equal(load(tmp_path / "model.safetensors").eval()(images), model(images))


def test_gradients_reach_both_branches() -> None:
    from strhub.training.systems.parseq import PARSeq

    system = PARSeq(**{**small().hparams, "dropout": 0.0}).train()
    system.training_loss(torch.rand(2, 3, 32, 32), ["one", "two"]).backward()
    without = {name for name, p in system.model.named_parameters() if p.grad is None}
    assert {name.split(".")[1] for name in without} == {"text_tower"}


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="encoder of CLIP's"):
        create_model("parseq-tiny", cross_modal=True)
    with pytest.raises(ValueError, match="text_embed_dim"):
        small(text_embed_dim=None)


@pytest.mark.parametrize(("decode_ar", "refine_iters"), [(True, 0), (True, 2), (False, 1)])
def test_the_exported_graph_gives_the_same_logits(
    tmp_path: Path, decode_ar: bool, refine_iters: int
) -> None:
    pytest.importorskip("onnxruntime", reason="exporting is an extra")
    from strhub.export import export
    from strhub.inference.onnx_description import IMAGES, LOGITS
    from strhub.inference.onnx_session import open_session

    model = small(decode_ar=decode_ar, refine_iters=refine_iters, text_depth=2)
    with torch.no_grad():
        for parameter in model.model.cross.text_tower.parameters():
            parameter.mul_(3)  # so that the text counts
        for head in (model.model.head, model.model.cross.head):
            head.bias[0] = 8  # and words end
    export(model, tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx", threads=1)
    lengths = set()
    for batch in (1, 2, 5):
        images = 3 * torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(batch))
        with torch.inference_mode():
            expected = model(images).numpy()
        found = session.run([LOGITS], {IMAGES: images.numpy()})[0]
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-3)
        lengths.add(found.shape[1])
    assert len(lengths) > 1 or not decode_ar


def test_one_beam_reads_as_step_by_step_does() -> None:
    model = small(refine_iters=0)
    images = torch.rand(3, 3, 32, 32)
    with torch.inference_mode():
        expected = model(images, 6)
        for beams in (1, 2):
            step = model.begin_steps(images, beams)
            tokens, parents = torch.zeros(2, 3, beams, dtype=torch.long)
            for number in range(7):
                logits = step(number, tokens, parents)
                torch.testing.assert_close(logits[::beams], expected[:, number])
                tokens = logits.argmax(-1).view(3, beams)
                parents = torch.arange(beams).expand(3, -1)


def test_a_clip4str_is_not_exported_but_its_visual_branch_is(tmp_path: Path) -> None:
    from clip4str_support import released_state, write_merges

    from strhub.export.writing import _build

    write_merges(tmp_path)
    torch.save(released_state(), tmp_path / "clip4str.pt")
    with pytest.raises(ValueError, match=r"cross_modal=False"):
        _build(load(tmp_path / "clip4str.pt"), 20)
    assert _build(load(tmp_path / "clip4str.pt", cross_modal=False), 20).graph.node
