"""Rendered texts: they stay in charset and length, the mix holds its shares, and no character is
rare.
"""

from __future__ import annotations

import pickle
import string
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from strhub.data.synth import patterns
from strhub.data.synth.mixture import MIXTURE, checked_mixture, drawable_mixture
from strhub.data.synth.randoms import RandomStrings
from strhub.data.synth.text import TextSampler

ASCII_94 = string.digits + string.ascii_letters + string.punctuation
CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
CHARSETS = [
    ASCII_94,
    string.digits + string.ascii_lowercase,
    string.digits + string.ascii_letters,
    string.digits,
    "äöüß",
    string.ascii_letters + "äöüÄÖÜß",
    CYRILLIC + string.digits + ".-",
    "कखगतिनी",
    "漢字東京",
    "x",
    " -",
]


def texts(sampler: TextSampler, count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [sampler(rng) for _ in range(count)]


@pytest.fixture(scope="module")
def sampled() -> list[str]:
    return texts(TextSampler(charset=ASCII_94, max_length=25), 60000)


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("max_length", [1, 3, 25])
def test_texts_fit_charset_and_length(charset: str, max_length: int) -> None:
    for text in texts(TextSampler(charset=charset, max_length=max_length), 300):
        assert 1 <= len(text) <= max_length
        assert set(text) <= set(charset)
        assert text.split(" ") == text.split()


@pytest.mark.parametrize("charset", [charset for charset in CHARSETS if " " not in charset])
def test_every_character_occurs(charset: str) -> None:
    assert set("".join(texts(TextSampler(charset=charset, max_length=25), 6000))) == set(charset)


def test_lines_are_drawn_if_the_charset_has_a_space() -> None:
    sampler = TextSampler(charset=ASCII_94 + " ", max_length=25)
    lines = texts(pickle.loads(pickle.dumps(sampler)), 2000)
    assert lines == texts(sampler, 2000)
    spaced = [line for line in lines if " " in line]
    assert 0.3 < len(spaced) / len(lines) < 0.6
    assert {len(line.split(" ")) for line in lines} >= {1, 2, 3, 4}
    assert all(line.split(" ") == line.split() for line in lines)
    assert not any(
        " " in text for text in texts(TextSampler(charset=ASCII_94 + "\t\n", max_length=25), 500)
    )


def test_lines_of_wished_lengths_have_them() -> None:
    sampler = TextSampler(charset=string.ascii_lowercase + " ", max_length=40, lengths=[1, 40])
    lines = texts(sampler, 1000)
    assert set(map(len, lines)) == set(range(1, 41))
    assert all(line.split(" ") == line.split() for line in lines)
    assert sum(" " in line for line in lines) > 700


def test_no_character_is_rare(sampled: list[str]) -> None:
    counts = Counter("".join(sampled))
    least = min(ASCII_94, key=lambda char: counts[char])
    assert counts[least] / counts.total() >= 0.003, least


def test_lengths_are_those_of_scene_words(sampled: list[str]) -> None:
    lengths = np.array([len(text) for text in sampled])
    assert 5.0 <= lengths.mean() <= 6.2
    assert (lengths >= 12).mean() < 0.1
    assert lengths.max() == 25


def test_cases_are_those_of_signs(sampled: list[str]) -> None:
    words = [text for text in sampled if text.isalpha() and len(text) > 1]
    assert len(words) / len(sampled) > 0.5
    for test, fraction in ((str.isupper, 0.45), (str.istitle, 0.25), (str.islower, 0.30)):
        assert sum(map(test, words)) / len(words) == pytest.approx(fraction, abs=0.04), test


def test_every_kind_shows(sampled: list[str]) -> None:
    every = set(sampled)
    for sample in ("OPEN", "Hotel", "london", "IT'S", "24/7"):
        assert sample in every or sample.lower() in {text.lower() for text in every}
    for start in ("www.", "$", "€".replace("€", "£") if "£" in ASCII_94 else "(", "+", "http"):
        assert sum(text.startswith(start) for text in sampled) > 20, start
    assert len(every) > 30000


def test_sampler_survives_pickling() -> None:
    sampler = TextSampler(charset=ASCII_94, max_length=9, mixture={"word": 1, "random": 2})
    twin = pickle.loads(pickle.dumps(sampler))
    assert texts(sampler, 50, 3) == texts(twin, 50, 3)


def test_accents_are_drawn_or_taken_off() -> None:
    only = {"european": 1.0}
    plain = texts(TextSampler(charset=string.ascii_letters, max_length=25, mixture=only), 4000)
    assert {"boulangerie", "patisserie", "strasse"} <= {text.lower() for text in plain}
    german = texts(
        TextSampler(charset=string.ascii_letters + "äöüÄÖÜß", max_length=25, mixture=only), 4000
    )
    assert "bäckerei" in {text.lower() for text in german}


def test_one_case_takes_the_words_of_both() -> None:
    capitals = texts(
        TextSampler(charset=string.ascii_uppercase, max_length=25, mixture={"name": 1}), 200
    )
    assert all(text.isupper() and len(text) > 1 for text in capitals)


def test_mixture_replaces_the_shares() -> None:
    sampler = TextSampler(charset=ASCII_94, max_length=25, mixture={"number": 3.0, "mail": 1.0})
    mails = sum("@" in text for text in texts(sampler, 2000))
    assert mails == pytest.approx(500, abs=80)
    with pytest.raises(ValueError, match="did you mean 'number'"):
        TextSampler(charset=ASCII_94, max_length=25, mixture={"numbers": 1.0})
    for bad in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"mixture\['word'\]"):
            TextSampler(charset=ASCII_94, max_length=25, mixture={"word": bad})
    with pytest.raises(ValueError, match="no kind that charset 'abc' can show"):
        TextSampler(charset="abc", max_length=25, mixture={"number": 1.0})
    with pytest.raises(ValueError, match="no kind"):
        TextSampler(charset="abc", max_length=25, mixture={})
    with pytest.raises(ValueError, match="pass corpus="):
        TextSampler(charset="abc", max_length=25, mixture={"corpus": 1.0})


def test_table_of_shares_is_what_is_documented() -> None:
    from strhub.data.synth import mixture

    assert sum(MIXTURE.values()) == pytest.approx(1.0)
    rows = {
        line.split()[0]: line.split()[1]
        for line in (mixture.__doc__ or "").splitlines()
        if len(line.split()) > 1
    }
    assert {kind: float(rows[kind]) for kind in MIXTURE} == dict(MIXTURE)
    assert checked_mixture(None, has_corpus=True)["corpus"] == pytest.approx(0.49)
    kinds = drawable_mixture(MIXTURE, charset=CYRILLIC + "0123", has_corpus=False)
    assert "number" in kinds
    assert not {"word", "web", "marked"} & set(kinds)
    assert sum(kinds.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["number", "price", "date", "time", "phone", "code", "unit"])
def test_patterns_hold_digits(name: str) -> None:
    rng = np.random.default_rng(5)
    made = [getattr(patterns, name)(rng) for _ in range(500)]
    assert all(0 < len(text) <= 25 and not any(map(str.isspace, text)) for text in made)
    assert sum(any(map(str.isdigit, text)) for text in made) >= 400
    assert len(set(made)) > 100


def test_random_strings_favor_what_is_rare() -> None:
    strings, rng = RandomStrings(charset="abc", max_length=10), np.random.default_rng(0)
    strings.balance(["aaaa", "bbbb"] * 100, fraction=0.01)
    counts = Counter("".join(strings(rng) for _ in range(3000)))
    assert counts["c"] > 2 * counts["a"] > 0
    assert counts["b"] > 0


def test_random_marks_sit_on_letters_of_their_script() -> None:
    strings, rng = RandomStrings(charset="कa-िָ", max_length=10), np.random.default_rng(0)
    seen = set()
    for _ in range(500):
        text = strings(rng)
        seen |= set(text)
        for index, char in enumerate(text):
            if char == "ि":
                assert index
                assert text[index - 1] == "क"
            assert char != "ָ", "no letter of the charset is Hebrew"
    assert seen == set("कa-ि")


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    for charset in ("", " \n", "\u200d"):
        with pytest.raises(ValueError, match="charset"):
            TextSampler(charset=charset, max_length=5)
    with pytest.raises(ValueError, match="max_length"):
        TextSampler(charset="a", max_length=0)
    with pytest.raises(ValueError, match="corpus_case"):
        TextSampler(charset="a", max_length=5, corpus_case="upper")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not exist"):
        TextSampler(charset="a", max_length=5, corpus=tmp_path / "none.txt")


def test_texts_of_wished_lengths() -> None:
    """Each length as likely, whatever the kinds are; pickled samplers draw the same."""
    sampler = TextSampler(charset=string.ascii_lowercase, max_length=60, lengths=[5, 60])
    sampled = texts(sampler, 5600)
    counts = Counter(map(len, sampled))
    assert set(counts) == set(range(5, 61))
    assert max(counts.values()) < 160
    assert min(counts.values()) > 50
    assert set("".join(sampled)) == set(string.ascii_lowercase)
    assert texts(pickle.loads(pickle.dumps(sampler)), 50) == sampled[:50]
    assert set(
        map(len, texts(TextSampler(charset=ASCII_94, max_length=9, lengths=(9, 9)), 50))
    ) == {9}


def test_no_letter_is_parted_from_its_marks_by_a_wished_length() -> None:
    for text in texts(TextSampler(charset="कखगतिनी", max_length=9, lengths=[1, 9]), 500):
        assert 1 <= len(text) <= 9
        assert not unicodedata.category(text[0]).startswith("M")


@pytest.mark.parametrize("lengths", [[5], [5, 61], [0, 5], [6, 5], [5, 5.5], [True, 3], [1, 2, 3]])
def test_impossible_lengths(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="lengths are two whole numbers between 1 and max_length"):
        TextSampler(charset="abc", max_length=60, lengths=lengths)
