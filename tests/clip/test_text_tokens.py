"""CLIP's text tokens, against recorded ids."""

import gzip
from pathlib import Path

import pytest
from golden_numbers import recorded, recorded_arrays

from strhub.clip.tokenizer import MERGES, ClipTokenizer, load_tokenizer, split_words

# What the recorded texts need of CLIP's table: the place of each merge in it.
NEEDED = {
    "o r": 11, "o n</w>": 13, "t o</w>": 19, "o f</w>": 27, "c h": 28, "e l": 32, "a c": 34,
        "v e</w>": 51,
    "h o": 94, "w or": 129, "p ho": 304, "el l": 314, "d a": 413, "ch e": 471, "pho to</w>": 613,
    "c a</w>": 1172, "ell o</w>": 2000, "wor d</w>": 2141, "b ac": 2279, "h ello</w>": 2794,
    "da ve</w>": 4565, "che w": 32133, "bac ca</w>": 40196, "chew bacca</w>": 48843,
}  # fmt: skip


def table() -> str:
    """A table with those merges in their places and, elsewhere, some that no text has."""
    lines = [f"\x00{number} \x00" for number in range(MERGES)]
    for pair, index in NEEDED.items():
        lines[index] = pair
    return "\n".join(["a first line", *lines, "left over", ""])


@pytest.mark.parametrize("packed", [False, True])
def test_the_recorded_token_ids(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "merges.txt"
    path.write_bytes(gzip.compress(table().encode()) if packed else table().encode())
    tokenizer = load_tokenizer(path, vocab_size=49408)
    assert len(tokenizer) == 49408
    golden = recorded_arrays("clip-tiny.npz")["text_tokens"]
    ids, lengths = tokenizer(recorded("clip-tiny.json")["texts"], 77)
    assert ids.tolist() == golden[:, : ids.shape[1]].tolist()
    assert not golden[:, ids.shape[1] :].any()
    assert lengths.tolist() == (golden.argmax(-1) + 1).tolist()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hello", ["hello"]),
        ("3rdAve", ["3", "rdave"]),
        ("CHEWBACCA!", ["chewbacca", "!"]),
        ("", []),
        ("don't", ["don", "'t"]),
        ("2024", ["2", "0", "2", "4"]),
        ("a-b?!", ["a", "-", "b", "?!"]),
        ("  two  words ", ["two", "words"]),
        ("Straße", ["straße"]),
        ("中文", ["中文"]),
        ("²½", ["²", "½"]),
    ],
)
def test_words_and_signs(text: str, parts: list[str]) -> None:
    assert list(split_words(text)) == parts


def test_bytes_alone() -> None:
    tokenizer = ClipTokenizer(())
    ids, lengths = tokenizer(["Ab", "a", "é" * 100], 8)
    assert len(tokenizer) == 514
    assert ids[0, :4].tolist() == [512, ord("a") - 33, 256 + ord("b") - 33, 513]
    assert lengths.tolist() == [4, 3, 8]
    assert ids[2, -1] == 513, "a long text is cut, but it has an end"


def test_tables_that_do_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strhub.clip.tokenizer.bundled_merges", lambda: None)
    with pytest.raises(ValueError, match=r"open_clip_torch[\s\S]*contrastive\.merges"):
        load_tokenizer(None, vocab_size=49408)
    assert len(load_tokenizer(None, vocab_size=514)) == 514
    (tmp_path / "short.txt").write_text("first\na b\n")
    with pytest.raises(ValueError, match="has 1 merges where the text tower knows 48894"):
        load_tokenizer(tmp_path / "short.txt", vocab_size=49408)
    with pytest.raises(ValueError, match="cannot be read"):
        load_tokenizer(tmp_path / "none.txt", vocab_size=49408)
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 10_000)[:30])
    with pytest.raises(ValueError, match="cannot be read"):
        load_tokenizer(tmp_path / "cut.gz", vocab_size=49408)
