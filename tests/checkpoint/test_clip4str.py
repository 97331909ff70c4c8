"""Checkpoints in the layout of CLIP4STR's released ones: their logits, and what is said of
others.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from clip4str_support import LENGTH, MERGES, Restated, released_state, write_merges
from torch import Tensor

from strhub import CheckpointError, Recognizer, list_models, load, save
from strhub.checkpoint import zoo
from strhub.checkpoint.merges import merges_as_ids
from strhub.checkpoint.released import CLIP4STR
from strhub.clip.tokenizer import ClipTokenizer
from strhub.models.layers.byte_pairs import BytePairs
from strhub.models.parseq.crossmodal import spell
from strhub.text import CHARSET_36, CHARSET_94

pytestmark = pytest.mark.numeric


def stored(folder: Path, content: Any, name: str = "clip4str_base.pt") -> Path:
    write_merges(folder)
    torch.save(content, folder / name)
    return folder / name


def some_images(count: int = 4) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("refine_iters", [0, 1, 2])
def test_it_gives_the_logits_of_the_released_layout(tmp_path: Path, refine_iters: int) -> None:
    state, images = released_state(), some_images()
    model = load(stored(tmp_path, state), refine_iters=refine_iters).eval()
    theirs = Restated(state)
    with torch.inference_mode():
        for rows in (slice(0, 4), slice(0, 1), slice(1, 2), slice(3, 4)):
            expected = theirs.read(images[rows], refine_iters)
            torch.testing.assert_close(model(images[rows]), expected, atol=1e-4, rtol=1e-4)
        expected = theirs.read(images, refine_iters, LENGTH)
        torch.testing.assert_close(model(images, LENGTH), expected, atol=1e-4, rtol=1e-4)
    assert len({*theirs.captions}) > 2
    assert min(map(len, theirs.captions)) < LENGTH, "none of them ends"


def test_what_is_told_and_what_is_assumed(tmp_path: Path) -> None:
    hparams = load(stored(tmp_path, released_state())).hparams
    assert (hparams.img_size, hparams.patch_size, hparams.normalize) == ([32, 32], [8, 8], "clip")
    assert (hparams.dec_num_heads, hparams.enc_num_heads) == (8, 1)
    assert (hparams.charset_train, hparams.charset_test) == (CHARSET_94, CHARSET_36)
    assert (hparams.decode_ar, hparams.refine_iters, hparams.text_context) == (True, 1, 16)
    lightning = {
        "state_dict": released_state(),
        "pytorch-lightning_version": "1.6.5",
        "hyper_parameters": {
            "charset_train": CHARSET_94,
            "dec_num_heads": 4,
            "context_length": 20,
            "use_share_dim": True,
            "clip_pretrained": "/somewhere/ViT-B-16.pt",
        },
    }
    hparams = load(stored(tmp_path, lightning, "last.ckpt")).hparams
    assert (hparams.dec_num_heads, hparams.text_context) == (4, 20)
    lightning["hyper_parameters"]["use_share_dim"] = False  # type: ignore[index]
    with pytest.raises(CheckpointError, match="use_share_dim=False"):
        load(stored(tmp_path, lightning, "last.ckpt"))


def test_it_is_saved_with_its_table_and_reads_without_it(tmp_path: Path) -> None:
    path = stored(tmp_path, released_state())
    model, images = load(path).eval(), some_images()
    (tmp_path / "elsewhere").mkdir()
    save(model, tmp_path / "elsewhere" / "model.safetensors")
    again = load(tmp_path / "elsewhere" / "model.safetensors").eval()
    with torch.inference_mode():
        assert torch.equal(again(images), model(images))
    read = Recognizer(tmp_path / "elsewhere" / "model.safetensors", device="cpu")
    assert isinstance(read(["demo_images/01.png"])[0].text, str)


def test_without_the_table_the_visual_branch_is_read(tmp_path: Path) -> None:
    state = released_state()
    path = stored(tmp_path, state)
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").write_bytes(b"\x1f\x8b and no more")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(path)
    (tmp_path / "bpe_simple_vocab_16e6.txt.gz").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("strhub.checkpoint.clip4str.bundled_merges", lambda: None)
        with pytest.raises(CheckpointError, match=r"install.*open_clip_torch.*cross_modal=False"):
            load(path)
        model = load(path, cross_modal=False, refine_iters=1).eval()
    images, theirs = some_images(), Restated(state)
    with torch.inference_mode():
        image = theirs.image_tokens(images)
        first = theirs.step_by_step("visual_decoder", image, LENGTH + 1, stop=False)
        expected = theirs.refined("visual_decoder", image, first, LENGTH + 1)
        torch.testing.assert_close(model(images, LENGTH), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "without",
    [
        "visual_decoder.layers.0.linear1.weight",
        "clip_model.visual.proj",
        "clip_model.token_embedding.weight",
        "cross_decoder.head.bias",
        "clip_model.visual.transformer.resblocks.0.ln_1.weight",
    ],
)
def test_a_part_of_one_is_none(tmp_path: Path, without: str) -> None:
    state = released_state()
    del state[without]
    with pytest.raises(CheckpointError, match=r"is incomplete|do not fit"):
        load(stored(tmp_path, state))


def test_words_in_byte_pairs_are_those_of_clips_tokenizer() -> None:
    ours, theirs = BytePairs(merges_as_ids(MERGES)), ClipTokenizer(MERGES)
    spelling = dict(zip(CHARSET_94, spell(CHARSET_94), strict=True))
    words = ["", "a", "abc", "Abcabc", "zzz", "king12st", "it's", "I'LL'll", "a-b.c!?", "'", "42"]
    for word in words:
        assert ours.encode([spelling[letter] for letter in word]) == theirs.encode(word), word


def test_a_long_word_keeps_its_end(tmp_path: Path) -> None:
    cross: Any = load(stored(tmp_path, released_state())).model.cross
    cross.text_context = 4
    ids = torch.tensor([[11, 12, 14, 15, 0, 3], [0, 1, 1, 1, 1, 1]])  # abde, nothing
    tokens = cross.paired_tokens(ids).tolist()
    assert tokens[0] == [cross.start_token, 512, ord("d") - 33, cross.end_token]
    assert tokens[1] == [cross.start_token, cross.end_token, 0, 0]


def test_they_are_listed_and_read_from_where_they_are_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = {model.id: model for model in list_models()}
    assert {*CLIP4STR} <= {*listed}
    assert listed["clip4str-b"].accuracy["IIIT5k"] == 99.2
    monkeypatch.setattr(zoo, "_cache", lambda: tmp_path)
    with pytest.raises(CheckpointError, match=r"not downloaded automatically.*d70bde1f2d\.ckpt"):
        load("clip4str-b")
    name = CLIP4STR["clip4str-b"].address.rpartition("/")[2]
    stored(tmp_path, released_state(), name)
    assert load("clip4str-b").hparams.clip4str
