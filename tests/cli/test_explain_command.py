"""Attention and retrieval on the command line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clip_support import small_clip
from PIL import Image
from tiny_models import CLIP_PARSEQ

from strhub import create_model, load, save
from strhub.cli.explain import run
from strhub.explain.attention import attend, draw
from strhub.models.parseq.attention import read_with_attention
from strhub.training.systems.parseq import PARSeq

DEMO = sorted(
    str(path) for path in (Path(__file__).parent.parent.parent / "demo_images").glob("*.png")
)
SMALL = {**CLIP_PARSEQ, "img_size": [32, 64]}


def test_attention_follows_the_letters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(
            [
                "attention",
                "strhub-tiny",
                "--images",
                *DEMO[:2],
                "--output",
                str(tmp_path),
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    assert len(capsys.readouterr().out.splitlines()) == 2
    with Image.open(tmp_path / "01.png") as sheet:
        assert np.asarray(sheet).std() > 10, "there is something to see"
    (attended,) = attend(load("strhub-tiny"), DEMO[:1])
    assert attended.text == "clock"
    assert attended.maps.shape[0] == len("clock") + 1
    # From letter to letter the middle of attention moves to the right.
    columns = attended.maps.sum(1) @ np.arange(attended.maps.shape[2]) / attended.maps.sum((1, 2))
    assert (np.diff(columns) > 0).all()


@pytest.mark.parametrize(
    "options", [{}, {"refine_iters": 0}, {"decode_ar": False, "refine_iters": 0}]
)
@pytest.mark.parametrize("dec_depth", [1, 2])
def test_attention_is_that_of_the_pass_it_explains(options: dict[str, Any], dec_depth: int) -> None:
    torch.manual_seed(1)
    model = create_model("parseq", **SMALL, **options, dec_depth=dec_depth).eval()
    network, images = model.model, torch.rand(2, 3, 32, 64)
    with torch.no_grad():
        network.head.weight.mul_(50)  # so that different characters are read
        network.head.bias[0] = -1e3  # and the end never
    logits, maps = read_with_attention(network, images)
    assert maps.shape == (2, logits.shape[1], 4, 8)
    assert len(set(logits.argmax(-1).flatten().tolist())) > 2
    # The same pass by the network itself, with the queries that its last layer has for the image.
    last, seen = network.decoder.stack[-1].cross_attn, []
    attended = last.attend
    last.attend = lambda query, context, mask=None: (
        seen.append(query) or attended(query, context, mask)
    )
    with torch.no_grad():
        encoded = network.encoder(images)
        memory = network.decoder.project_memory(encoded)
        if network.refine_iters:
            network.refine(memory, logits)
        elif network.decode_ar:
            start = torch.full((2, 1), network.bos_id)
            tokens = torch.cat([start, logits[:, :-1].argmax(-1)], dim=1)
            network.permuted_logits(encoded, tokens, torch.arange(tokens.shape[1] + 1).unsqueeze(0))
        else:
            network._read_in_one_pass(memory, logits.shape[1])
    fractions = (
        (seen[-1] @ memory[-1].key.transpose(-1, -2) * seen[-1].shape[-1] ** -0.5)
        .softmax(-1)
        .mean(1)
    )
    torch.testing.assert_close(fractions[:, :, 1:], maps.flatten(2), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(fractions.sum(-1), torch.ones(2, logits.shape[1]))


def test_any_parseq_and_nothing_else(tmp_path: Path) -> None:
    (attended,) = attend(create_model("parseq", **SMALL), DEMO[:1])
    assert draw(attended).size[0] > 100
    with pytest.raises(ValueError, match="this is a crnn"):
        next(attend(create_model("crnn"), DEMO[:1]))


def test_images_that_cannot_be_read_do_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.png").write_text("no image")
    (tmp_path / "b").mkdir()
    for folder in (tmp_path, tmp_path / "b"):
        Image.new("RGB", (1, 300)).save(folder / "c.png")
    patterns = [str(tmp_path / "a.png"), str(tmp_path / "c.png"), str(tmp_path / "b" / "c.png")]
    assert (
        run(["attention", "strhub-tiny", "--images", *patterns, "--output", str(tmp_path / "out")])
        == 1
    )
    printed = capsys.readouterr()
    assert "a.png: unreadable" in printed.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["c-2.png", "c.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attention", "strhub-tiny", "--images", "/none/*.png"], "no images found"),
        (
            ["retrieve", "strhub-tiny", "--images", DEMO[0], "--vocabulary", "/none"],
            "vocabulary /none cannot be read",
        ),
        (
            ["retrieve", "m", "--images", DEMO[0], "--vocabulary", "/none", "--top", "0"],
            "--top is 0",
        ),
        (
            ["retrieve", "m", "--images", DEMO[0], "--vocabulary", "/none", "a:int=1"],
            "have no effect on retrieval",
        ),
    ],
)
def test_mistakes_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(arguments)


def test_retrieval_finds_the_words_that_a_run_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two images are taught their words; the checkpoint finds them, adapter included."""
    path = small_clip(tmp_path)
    contrastive = {"weight": 1.0, "adapter": 8}
    hparams = {**create_model("parseq", **SMALL).hparams, "contrastive": contrastive}
    torch.manual_seed(0)
    system = PARSeq(**hparams, pretrained_encoder=str(path)).train()
    from strhub.clip.text_side import load_text_side
    from strhub.data.transforms import WordTransform
    from strhub.images.open import open_image

    assert system.contrastive is not None
    system.text_side = load_text_side(system.contrastive.options, dict(system.hparams), None)
    transform = WordTransform(system.hparams["img_size"], normalize="clip")
    images = torch.stack([transform(open_image(name)) for name in DEMO[:2]])
    labels = ["clock", "SEPTEMBER"]
    optimizer = torch.optim.AdamW(system.parameters(), lr=1e-3)
    for _ in range(25):
        loss = system.contrastive_loss(system.model.encoder(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    checkpoint = tmp_path / "last.ckpt"
    torch.save(
        {"state_dict": system.state_dict(), "hyper_parameters": dict(system.hparams)}, checkpoint
    )
    (tmp_path / "words.txt").write_text("clock\nSEPTEMBER\n")
    arguments = [
        "--images",
        *DEMO[:2],
        "--vocabulary",
        str(tmp_path / "words.txt"),
        "--device",
        "cpu",
    ]
    assert run(["retrieve", str(checkpoint), *arguments, "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["words"][0]["word"] for record in records] == labels
    assert all(record["words"][0]["cosine"] > record["words"][1]["cosine"] for record in records)
    save(load(checkpoint), tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match="lacks the adapter"):
        run(["retrieve", str(tmp_path / "model.safetensors"), *arguments])
    with pytest.raises(ValueError, match="not trained with the contrastive"):
        run(["retrieve", "strhub-tiny", *arguments])
