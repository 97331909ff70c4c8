"""The prior of known words: likelihoods, which words are near, and what is replaced."""

from itertools import groupby, product

import numpy as np
import pytest

from strhub.text.word_prior import (
    WordPrior,
    ctc_log_likelihoods,
    english_words,
    step_log_likelihoods,
)

CHARSET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-1,'"


def prior(*words: str, weight: float = 3) -> WordPrior:
    return WordPrior(ranked(*words), charset=CHARSET, weight=weight)


def ranked(*words: str) -> dict[str, int]:
    return {word: rank for rank, word in enumerate(words)}


def columns(text: str, *, second: str = "", fraction: float = 0.45) -> np.ndarray:  # type: ignore[type-arg]
    """Probabilities (L, C) of a text, with a blank after each letter; `second` has `share` where
    its letters differ.
    """
    rows = np.full((2 * len(text), len(CHARSET) + 1), 1e-6, dtype=np.float32)
    rows[1::2, 0] = 1
    for index, (first, other) in enumerate(zip(text, second or text, strict=True)):
        rows[2 * index, 1 + CHARSET.index(other)] = fraction
        rows[2 * index, 1 + CHARSET.index(first)] = 1 - fraction if first != other else 1
    return rows


def test_likelihoods_are_the_sums_over_all_alignments() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(3), size=5).astype(np.float32)
    sums: dict[tuple[int, ...], float] = {}
    for path in product(range(3), repeat=5):
        text = tuple(key for key, _ in groupby(path) if key)
        sums[text] = sums.get(text, 0.0) + float(np.prod(probabilities[range(5), path]))
    texts = [text for text in sums if text]
    found = ctc_log_likelihoods(probabilities, texts)
    np.testing.assert_allclose(found, np.log([sums[text] for text in texts]), rtol=1e-4)
    assert ctc_log_likelihoods(probabilities, [(1, 1, 1, 1)])[0] == -np.inf, (
        "that needs seven columns"
    )


@pytest.mark.parametrize(
    ("letters", "near"),
    [
        ("tram", {"tramp", "trim"}),
        ("trqm", {"trim"}),
        ("tramq", {"tramp", "trim"}),
        ("trampp", {"tramp"}),
        ("shudemt", {"student"}),
        ("shucemt", set()),
    ],
)
def test_near_words_differ_in_one_letter_or_in_long_ones_two(letters: str, near: set[str]) -> None:
    assert set(prior("tramp", "trim", "student", "a").near(letters)) == near


def test_near_words_are_those_of_the_plain_definition() -> None:
    generator = np.random.default_rng(1)
    words = {
        "".join(generator.choice(list("abc"), size=size))
        for size in range(1, 10)
        for _ in range(40)
    }

    def is_near(word: str, target: str) -> bool:
        most = 2 if len(target) >= 5 else 1
        longer, shorter = sorted((word, target), key=len, reverse=True)
        if len(longer) == len(shorter):
            return sum(a != b for a, b in zip(word, target, strict=True)) <= most
        left_out = (longer[:index] + longer[index + 1 :] for index in range(len(longer)))
        return any(
            len(one) == len(shorter)
            and sum(a != b for a, b in zip(one, shorter, strict=True)) <= most - 1
            for one in left_out
        )

    several = prior(*words)
    for target in sorted(words)[::7]:
        if len(target) >= 3:
            found = several.near(target)
            assert len(found) == len(set(found))
            assert set(found) == {word for word in words if is_near(word, target)}, target


@pytest.mark.parametrize(
    ("text", "confidence", "expected"),
    [
        ("bramp", 0.5, "tramp"),
        ("bramp", 0.95, "bramp"),  # sure of it
        ("BRAMP", 0.5, "TRAMP"),
        ("Bramp", 0.5, "Tramp"),
    ],
)
def test_a_doubtful_reading_becomes_a_likely_word(
    text: str, confidence: float, expected: str
) -> None:
    second = {"bramp": "tramp", "BRAMP": "TRAMP", "Bramp": "Tramp"}[text]
    [(read, sure, characters)] = prior("tramp")(
        [(text, confidence, None)], columns(text, second=second)[None]
    )
    assert (read, sure) == (expected, confidence)
    if expected != text:
        assert len(characters) == len(read)
        assert float(np.prod(characters)) == pytest.approx(confidence, rel=1e-4)


def test_what_is_a_word_or_far_likelier_stays() -> None:
    reading = ("bramp", 0.5, None)
    assert prior("tramp", "bramp")([reading], columns("bramp", second="tramp")[None]) == [reading]
    assert prior("tramp")([reading], columns("bramp", second="tramp", fraction=1e-3)[None]) == [
        reading
    ]
    assert (
        prior("cat")([("", 0.0, None), ("b", 0.3, None)], np.stack([columns("b"), columns("b")]))[
            1
        ][0]
        == "b"
    )


def test_long_and_frequent_words_are_worth_more_up_to_twice_the_weight() -> None:
    several = prior(
        "the", *(f"filler{index}" for index in range(500)), "cat", "house", "considering"
    )
    assert several.worth("cat") < several.worth("the")
    assert several.worth("cat") < several.worth("house") < several.worth("considering") == 6
    for word in ("the", "house", "considering"):
        assert prior(word, weight=1).worth(word) == pytest.approx(prior(word).worth(word) / 3)


@pytest.mark.parametrize(
    ("text", "expected"), [("'bramp,", "'tramp,"), ("bramp-", "tramp-"), ("'tram,", "'tram,")]
)
def test_signs_before_and_after_a_word_stay(text: str, expected: str) -> None:
    likely = columns(text, second=text.replace("bramp", "tramp"))
    assert prior("tramp", "tram")([(text, 0.5, None)], likely[None])[0][0] == expected


def test_a_text_with_a_digit_stays() -> None:
    likely = columns("tram1", second="tramp")
    assert prior("tram", "tramp")([("tram1", 0.5, None)], likely[None])[0][0] == "tram1"


def test_signs_alone_are_no_word() -> None:
    assert prior("tramp")([("--,", 0.5, None)], columns("--,")[None])[0][0] == "--,"


def test_the_words_of_the_package() -> None:
    words = english_words()
    assert {"student", "hygiene", "london"} <= words.keys()
    assert words["the"] < words["student"] < words["hygiene"] < words["worcester"], (
        "names come last"
    )
    assert len(words) > 30_000


def steps(text: str, *, second: str, fraction: float) -> np.ndarray:  # type: ignore[type-arg]
    """Probabilities (L, C) of a text, a step a letter and one for the end."""
    rows = np.full((len(text) + 1, len(CHARSET) + 1), 1e-6, dtype=np.float32)
    rows[-1, 0] = 1
    for index, (first, other) in enumerate(zip(text, second, strict=True)):
        rows[index, 1 + CHARSET.index(other)] = fraction
        rows[index, 1 + CHARSET.index(first)] = 1 - fraction if first != other else 1
    return rows


def test_steps_of_a_decoder_are_compared_letter_by_letter() -> None:
    """With texts as long as what is read alone: each step has seen the other letters."""
    several = WordPrior(ranked("tramp", "tram", "tramps"), charset=CHARSET, weight=3, columns=False)
    doubtful = steps("Trawp", second="Tramp", fraction=0.2)
    ((text, confidence, each),) = several([("Trawp", 0.8, np.ones(5))], doubtful[None])
    assert (text, confidence) == ("Tramp", 0.8)
    assert np.prod(each) == pytest.approx(0.8)
    fraction = np.exp(-several.worth("tramp"))  # the least that another letter needs
    for factor, expected in ((0.7, "Trawp"), (1.4, "Tramp")):
        likely = steps("Trawp", second="Tramp", fraction=factor * fraction)
        assert several([("Trawp", 0.8, None)], likely[None])[0][0] == expected
    shorter = WordPrior(ranked("tramp"), charset=CHARSET, weight=30, columns=False)
    assert shorter([("tram", 0.8, None)], doubtful[None])[0][0] == "tram"


def test_likelihoods_of_steps() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(4), size=3).astype(np.float32)
    found = step_log_likelihoods(probabilities, [(1, 2), (3, 3)])
    expected = [
        probabilities[0, 1] * probabilities[1, 2],
        probabilities[0, 3] * probabilities[1, 3],
    ]
    np.testing.assert_allclose(found, np.log(expected), rtol=1e-5)
