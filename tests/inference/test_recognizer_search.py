"""Searching with real networks: step by step along beams, or among the steps of one pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from strhub import Recognizer, create_model
from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.cli.arguments import SEARCH, read_options
from strhub.cli.read import run
from strhub.cli.read_parser import build_parser
from strhub.inference.beam_search import beam_search
from strhub.text.tokenizer import CTCTokenizer
from strhub.weights import embedded_graph

pytestmark = pytest.mark.numeric

DEMO = sorted((Path(__file__).parents[2] / "demo_images").glob("*.png"))
SMALL: dict[str, dict[str, Any]] = {
    "parseq-tiny": {
        "embed_dim": 32,
        "enc_num_heads": 2,
        "dec_num_heads": 4,
        "enc_depth": 1,
        "patch_size": [16, 16],
    },
    "trba": {"hidden_size": 16, "output_channel": 32, "localization_channel": 32},
    "crnn": {"hidden_size": 16, "output_channel": 32},
    "vitstr": {"embed_dim": 32, "num_heads": 2, "depth": 1},
}


def small(name: str, **options: Any) -> SceneTextModel:
    """A network with fresh weights, some of them greater than usual, so that it is neither sure nor
    always alike.
    """
    torch.manual_seed(1)
    model = create_model(
        name, **SMALL[name], charset_train="abcde", max_label_length=4, **options
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2 if parameter.ndim > 1 else 1)
    return model


def inputs(count: int) -> list[np.ndarray[Any, Any]]:
    return list(np.random.default_rng(0).integers(0, 255, (count, 32, 128, 3), np.uint8))


def probability(model: SceneTextModel, images: torch.Tensor, text: str) -> float:
    """Of one text in one image, by the pass that training makes."""
    network: Any = model.model
    # (1, [B], characters, [E]), without [E] where the characters have used up all steps.
    tokens = torch.tensor(model.tokenizer.encode_array([text]))[:, : network.max_label_length + 2]
    with torch.no_grad():
        if model.hparams.architecture == "parseq":
            order = torch.arange(tokens.shape[1])[None]
            logits = network.permuted_logits(network.encoder(images), tokens[:, :-1], order)[0]
        else:
            logits = network.logits_after(images, tokens[:, :-1])
    return float(logits.log_softmax(-1)[0].gather(-1, tokens[0, 1:, None])[:, 0].sum().exp())


@pytest.mark.parametrize(
    ("name", "options"), [("parseq-tiny", {}), ("parseq-tiny", {"dec_depth": 2}), ("trba", {})]
)
def test_beams_know_what_they_have_read(name: str, options: dict[str, Any]) -> None:
    model = small(name, **options)
    recognizer = Recognizer(model, top_k=5, beam_width=12, device="cpu", batch_size=2)
    for image, reading in zip(inputs(3), recognizer(inputs(3)), strict=True):
        images = torch.from_numpy(recognizer.prepare([image])[0][0])[None]
        assert len({text for text, _ in reading.alternatives}) == 5
        for text, sure in reading.alternatives:
            assert sure == pytest.approx(probability(model, images, text) if text else 0, rel=1e-3)
        fractions = [sure for text, sure in reading.alternatives if text]
        assert fractions == sorted(fractions, reverse=True)


@pytest.mark.parametrize("name", SMALL)
def test_constraints_hold_in_every_kind_of_model(name: str) -> None:
    model = small(name)
    chosen = Recognizer(model, whitelist="ad", device="cpu")(inputs(6))
    assert all(set(reading.text) <= set("ad") for reading in chosen)
    words = ["ab", "cade", "e", "bee"]
    found = Recognizer(model, lexicon=words, device="cpu", top_k=3)(inputs(6))
    assert all({text for text, _ in reading.alternatives} <= set(words) for reading in found)
    assert all(reading.text in words for reading in found)


def test_one_beam_is_the_usual_way() -> None:
    model = small("parseq-tiny", refine_iters=0)
    usual, searched = (
        Recognizer(model, device="cpu", **options)(inputs(5)) for options in ({}, {"beam_width": 1})
    )
    assert [reading.text for reading in usual] == [reading.text for reading in searched]
    for one, other in zip(usual, searched, strict=True):
        assert one.confidence == pytest.approx(other.confidence, rel=1e-3)


def test_the_embedded_model_without_torch_searches_too() -> None:
    readings = Recognizer("strhub-tiny", top_k=3)(DEMO)
    assert all(len(reading.alternatives) == 3 for reading in readings)
    assert [reading.text for reading in readings] == [
        reading.alternatives[0][0] for reading in readings
    ]
    assert [reading.text for reading in readings][3] == "CHOICE"
    words = ["choice", "CASE", "market"]
    assert {r.text for r in Recognizer(embedded_graph("strhub-tiny"), lexicon=words)(DEMO)} <= set(
        words
    )


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "words.txt").write_text("market\nCASE\nchoice\n", encoding="utf-8")
    lexicon = ["--lexicon", str(tmp_path / "words.txt")]
    assert run(["--images", str(DEMO[7]), *lexicon, "--top_k", "2", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["text"] == record["alternatives"][0][0] == "CASE"
    assert (
        run(
            [
                "strhub-tiny",
                "decode_ar:bool=false",
                "--whitelist",
                "0123456789",
                "--images",
                str(DEMO[7]),
            ]
        )
        == 0
    )
    assert set(capsys.readouterr().out.split(": ")[1].split("  ")[0]) <= set("0123456789")
    for arguments, message in (
        (["--lexicon", str(tmp_path / "none.txt")], "cannot be read"),
        (["--whitelist", "é"], "'é'"),
        (["--top_k", "0"], "top_k is 0"),
        (["--length_normalization", "nan"], "length_normalization is nan"),
    ):
        with pytest.raises(ValueError, match=message):
            run(["--images", str(DEMO[7]), *arguments])


def test_an_option_by_its_old_name_warns() -> None:
    old = {"length_normalisation": 0.5}
    with pytest.warns(
        FutureWarning, match="length_normalisation is now called length_normalization"
    ):
        reader = Recognizer("strhub-tiny", **old)
    assert reader.engine.search.search.length_normalization == 0.5
    with pytest.warns(FutureWarning, match="now called"):
        assert beam_search(CTCTokenizer("ab"), old).search.length_normalization == 0.5
    with (
        pytest.raises(ValueError, match="names of the same option"),
        pytest.warns(FutureWarning),
    ):
        beam_search(CTCTokenizer("ab"), {**old, "length_normalization": 1})
    with pytest.warns(FutureWarning, match="now called --length_normalization"):
        found = build_parser().parse_args(["--images", "a.png", "--length_normalisation", "0.5"])
    assert read_options(found, *SEARCH).length_normalization == 0.5
    found = build_parser().parse_args(["--images", "a.png"])
    assert read_options(found, *SEARCH).length_normalization == 0


def test_a_lexicon_has_a_word_a_line_whatever_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_bytes(b"\xef\xbb\xbfNew York\r\n\r\n market\n")  # as editors on Windows do
    found = build_parser().parse_args(["--images", "a.png", "--lexicon", str(path)])
    assert read_options(found, *SEARCH).lexicon == ["New York", "market"]
