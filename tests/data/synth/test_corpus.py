"""Word lists: the bundled ones are clean and weighted, a user's file is read, cut and fitted as
promised.
"""

from __future__ import annotations

import pickle
import string
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from strhub.data.synth.corpus import bundled_words, cut, read_corpus
from strhub.data.synth.shaping import clusters, is_mark
from strhub.data.synth.text import TextSampler

FOLDER = Path(read_corpus.__code__.co_filename).parent


def sampled(path: Path, count: int = 3000, **options: object) -> Counter[str]:
    settings = {
        "charset": string.ascii_letters,
        "max_length": 25,
        "mixture": {"corpus": 1.0},
        **options,
    }
    sampler, rng = TextSampler(corpus=path, **settings), np.random.default_rng(0)  # type: ignore[arg-type]
    return Counter(sampler(rng) for _ in range(count))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus.txt"


@pytest.mark.parametrize(
    ("name", "least"), [("words", 30000), ("names", 9000), ("words-europe", 1000)]
)
def test_bundled_lists_are_clean(name: str, least: int) -> None:
    lines = (FOLDER / f"{name}.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == len(set(lines)) >= least
    for line in lines:
        assert 0 < len(line) <= 25
        assert line.replace("-", "").replace("'", "").isalpha()
        assert unicodedata.normalize("NFC", line) == line
        if name == "words":
            assert line.isascii()
            assert line.islower()


def test_lists_stay_small_and_carry_their_license() -> None:
    assert (
        sum(file.stat().st_size for file in FOLDER.glob("*.txt") if "LICENSE" not in file.name)
        < 400_000
    )
    license = (FOLDER / "words-LICENSE.txt").read_text(encoding="utf-8")
    assert "Copyright 2000-2011 by Kevin Atkinson" in license


def test_common_words_are_drawn_more_often() -> None:
    words = bundled_words("words", longest=25)
    fractions = np.diff(words.ends, prepend=0.0)
    assert words.ends[-1] == pytest.approx(1.0)
    assert fractions[:2000].sum() > 0.35
    assert fractions[2000:].sum() > 0.25
    assert fractions.max() < 0.02
    assert max(map(len, bundled_words("words", longest=4).words)) == 4


def test_counts_raise_the_chance(corpus: Path) -> None:
    corpus.write_text("often\t1000\nrare\t1\nnever mind\n", encoding="utf-8")
    counts = sampled(corpus)
    assert set(counts) == {"often", "rare", "never", "mind"}
    assert counts["often"] > 10 * counts["rare"] > 0


def test_running_text_is_split_and_stripped(corpus: Path) -> None:
    corpus.write_bytes("\ufeffThe café, at the corner:\r\nthe the\tcorner\n".encode())
    counts = sampled(corpus, charset=string.ascii_letters + "é")
    assert set(counts) == {"The", "café", "at", "the", "corner"}
    assert counts["the"] > counts["at"]


def test_decomposed_letters_are_composed(corpus: Path) -> None:
    corpus.write_text("cafe\u0301\n", encoding="utf-8")
    assert set(sampled(corpus, charset="abcdefé")) == {"café"}


def test_case_is_kept_unless_mixed(corpus: Path) -> None:
    corpus.write_text("iPhone\n", encoding="utf-8")
    assert set(sampled(corpus, 50)) == {"iPhone"}
    assert set(sampled(corpus, 50, charset=string.ascii_lowercase)) == {"iphone"}
    assert set(sampled(corpus, 200, corpus_case="mix")) == {"IPHONE", "iphone", "Iphone"}


def test_words_with_letters_outside_the_charset_are_left_out(corpus: Path) -> None:
    corpus.write_text("naïve\nplain\nwell-known\nB52\n", encoding="utf-8")
    assert set(sampled(corpus)) == {"plain", "wellknown"}
    with pytest.raises(ValueError, match="add them to the charset"):
        sampled(corpus, charset="xyz")


def test_corpus_takes_the_place_of_the_words(corpus: Path) -> None:
    corpus.write_text("привет\nмосква\n", encoding="utf-8")
    sampler = TextSampler(
        charset="абвгдежзийклмнопрстуфхцчшщъыьэюя!-0123456789", max_length=25, corpus=corpus
    )
    rng = np.random.default_rng(0)
    counts = Counter(sampler(rng) for _ in range(4000))
    assert counts["привет"] + counts["москва"] > 1500
    assert any("привет" in text and text != "привет" for text in counts), (
        "words with punctuation use the corpus too"
    )
    twin, rng = pickle.loads(pickle.dumps(sampler)), np.random.default_rng(0)
    assert Counter(twin(rng) for _ in range(4000)) == counts


def test_long_words_are_cut_at_letters(corpus: Path) -> None:
    corpus.write_text("विद्यार्थीविद्यार्थी\n", encoding="utf-8")
    counts = sampled(corpus, 200, charset="विद्यार्थी", max_length=7)
    assert max(map(len, counts)) <= 7
    assert not any(is_mark(text[0]) or text.endswith("्") for text in counts)


def test_cut() -> None:
    rng = np.random.default_rng(0)
    assert cut("short", 9, rng) == ["short"]
    assert cut("abcdefgh", 3, rng) == ["abc", "def", "gh"]
    assert cut("aक्षिb", 2, rng) == ["a", "b"], "a cluster over the limit is left out"
    parts = cut("北京欢迎光临" * 20, 25, rng)
    assert "".join(parts) == "北京欢迎光临" * 20
    assert 2 < np.mean([len(part) for part in parts]) < 7


@pytest.mark.parametrize("text", ["", "word", "e\u0301a", "क्षत्रिय", "ที่นี่", "\u0301a", "नहीं\u200dक"])
def test_clusters_join_to_the_text(text: str) -> None:
    parts = clusters(text)
    assert "".join(parts) == text
    assert all(not is_mark(part[0]) for part in parts[1:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no word"),
        (b" \n\n", "holds no word"),
        ("caf\u00e9".encode("latin-1"), "not UTF-8"),
        (b"fine\t2\nbad\t0\n", "row 2"),
        (b"bad\t-3\n", "below 1"),
    ],
)
def test_bad_files_are_refused(corpus: Path, content: bytes, message: str) -> None:
    corpus.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_corpus(corpus)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(ValueError, match="does not exist or is not a file"):
            read_corpus(path)
