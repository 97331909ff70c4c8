"""Beam search against looking at every text there is."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from strhub.inference.beam_search import BeamSearch, Search, log_softmax
from strhub.text import AttentionTokenizer, CTCTokenizer
from strhub.text.constraint import constraint

pytestmark = pytest.mark.numeric

ALPHABET = "abc"
ATTENTION, CTC = AttentionTokenizer(ALPHABET), CTCTokenizer(ALPHABET)


def some_logits(batch: int, steps: int, classes: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (batch, steps, classes)).astype(np.float32)


def ctc_texts(logs: np.ndarray) -> dict[str, float]:
    """The probability of every text: the sum over all ways (T, C) to write it."""
    texts: dict[str, float] = {}
    for path in product(range(logs.shape[1]), repeat=len(logs)):
        steps = CTC.select(np.array(path))[0]
        text = CTC.text_of(np.array(path)[steps])
        texts[text] = texts.get(text, 0.0) + float(
            np.exp(sum(logs[step, number] for step, number in enumerate(path)))
        )
    return texts


def attention_texts(logs: np.ndarray) -> dict[str, float]:
    """The same of an attention model: characters, then [E], or as many characters as there are
    steps.
    """
    texts = {}
    for length in range(len(logs) + 1):
        for path in product(range(1, logs.shape[1]), repeat=length):
            spelled = [*path, *([0] if length < len(logs) else [])]
            texts[ATTENTION.text_of(path)] = float(
                np.exp(sum(logs[step, number] for step, number in enumerate(spelled)))
            )
    return texts


def ranked(texts: dict[str, float], count: int) -> list[tuple[str, float]]:
    return sorted(texts.items(), key=lambda item: -item[1])[:count]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["ctc", "attention"])
def test_many_beams_find_the_best_texts(kind: str, seed: int) -> None:
    tokenizer, texts_of = (CTC, ctc_texts) if kind == "ctc" else (ATTENTION, attention_texts)
    logits = some_logits(3, 5, seed=seed)
    found = BeamSearch(tokenizer, Search(beam_width=400, top_k=6)).decode(logits)
    for reading, logs in zip(found, log_softmax(logits), strict=True):
        expected = ranked(texts_of(logs), 6)
        assert [text for text, _ in reading.alternatives] == [text for text, _ in expected]
        for (text, sure), (_, probability) in zip(reading.alternatives, expected, strict=True):
            assert sure == pytest.approx(probability if text else 0.0, rel=1e-4)
        assert (reading.text, reading.confidence) == reading.alternatives[0]
        assert len(reading.characters) == len(reading.text)


@pytest.mark.parametrize("kind", ["ctc", "attention"])
def test_lexicon_and_whitelist(kind: str) -> None:
    tokenizer, texts_of = (CTC, ctc_texts) if kind == "ctc" else (ATTENTION, attention_texts)
    logits = some_logits(8, 5, seed=9)
    lexicon = ["abc", "aab", "b", "cab", "ca", "bbbb"]
    for search, allowed in (
        (Search(beam_width=60, top_k=3, lexicon=lexicon), lambda text: text in lexicon),
        (Search(beam_width=200, top_k=3, whitelist="ac"), lambda text: "b" not in text),
        (
            Search(beam_width=60, top_k=2, lexicon=lexicon, whitelist="bac"),
            lambda text: text in lexicon,
        ),
        (
            Search(beam_width=60, lexicon=lexicon, whitelist="bc"),
            lambda text: text in ("b", "bbbb"),
        ),
    ):
        for reading, logs in zip(
            BeamSearch(tokenizer, search).decode(logits), log_softmax(logits), strict=True
        ):
            texts = {text: value for text, value in texts_of(logs).items() if allowed(text)}
            assert reading.text == ranked(texts, 1)[0][0]
            assert all(allowed(text) for text, _ in reading.alternatives)


def test_one_beam_reads_what_the_tokenizer_reads() -> None:
    logits = some_logits(50, 7)
    search = BeamSearch(ATTENTION, Search(beam_width=1)).decode(logits)
    for reading, (text, sure, characters) in zip(
        search, ATTENTION.decode_characters(np.exp(log_softmax(logits))), strict=True
    ):
        assert reading.text == text
        assert reading.confidence == pytest.approx(sure if text else 0, rel=1e-4)
        np.testing.assert_allclose(reading.characters, characters, rtol=1e-4)


def test_characters_are_as_sure_as_where_they_are_surest() -> None:
    """A prefix search begins a character where it may begin at the earliest, hardly likely yet."""
    probabilities = np.full((1, 8, 4), 0.001)
    for step, (index, sure) in enumerate(
        [(0, 0.99), (1, 0.3), (1, 0.95), (0, 0.99), (2, 0.2), (2, 0.9), (0, 0.99), (0, 0.99)]
    ):
        probabilities[0, step, 0] = 1 - sure
        probabilities[0, step, index] = sure
    probabilities /= probabilities.sum(-1, keepdims=True)
    (found,) = BeamSearch(CTC, Search(beam_width=5, top_k=2)).decode(np.log(probabilities))
    assert found.text == ALPHABET[:2]
    np.testing.assert_allclose(found.characters, [0.95, 0.9], atol=0.01)


def test_steps_are_told_what_the_beams_took() -> None:
    """A model that repeats: each step's distribution depends on the token before, so order and
    parents matter.
    """
    table = log_softmax(some_logits(4, 1, seed=3)[:, 0] * 2)  # (token before, C)
    first = log_softmax(some_logits(1, 1, seed=4)[0, 0])

    def steps(step: int, tokens: np.ndarray, parents: np.ndarray) -> np.ndarray:
        assert parents.shape == tokens.shape == (2, 90)
        return np.broadcast_to(first, (*tokens.shape, 4)) if step == 0 else table[tokens]

    texts = {}
    for length in range(5):
        for path in product(range(1, 4), repeat=length):
            spelled = [*path, *([0] if length < 4 else [])]
            logs = [first[spelled[0]], *(table[one, other] for one, other in pairwise(spelled))]
            texts[ATTENTION.text_of(path)] = float(np.exp(sum(logs)))
    for reading in BeamSearch(ATTENTION, Search(beam_width=90, top_k=5)).decode_steps(steps, 2, 4):
        assert [text for text, _ in reading.alternatives] == [text for text, _ in ranked(texts, 5)]


def test_longer_texts_win_with_length_normalization() -> None:
    logits = some_logits(40, 6, seed=5)
    lengths = []
    for value in (0.0, 1.0, 4.0):
        search = BeamSearch(CTC, Search(beam_width=50, length_normalization=value))
        lengths.append(sum(len(reading.text) for reading in search.decode(logits)))
    assert lengths[0] < lengths[1] < lengths[2]


@pytest.mark.parametrize(("tokenizer", "classes"), [(CTC, 4), (ATTENTION, 6)])
def test_what_no_beam_may_read_is_nothing(
    tokenizer: CTCTokenizer | AttentionTokenizer, classes: int
) -> None:
    """A word longer than there are steps; the classes after the charset are never read."""
    logits = some_logits(2, 3, classes)
    logits[..., 4:] += 50
    for reading in BeamSearch(tokenizer, Search(lexicon=["abcabc"])).decode(logits):
        assert (reading.text, reading.confidence, len(reading.characters)) == ("", 0.0, 0)
    assert all(
        set(reading.text) <= set("abc")
        for reading in BeamSearch(tokenizer, Search(top_k=2)).decode(logits)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"beam_width": 2, "top_k": 3}, "beam_width is 2"),
        ({"beam_width": 0}, "beam_width is 0"),
        ({"length_normalization": -1}, "a number of at least 0"),
        ({"lexicon": "word"}, "list of words"),
        ({"lexicon": []}, "no word"),
        ({"lexicon": ["xyz"]}, "'xyz' has 'x'"),
        ({"whitelist": ""}, "empty"),
        ({"whitelist": "ax"}, "'x'"),
    ],
)
def test_mistakes(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BeamSearch(CTC, Search(**options))


def test_a_lexicon_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strhub.text.constraint.MOST_STATES", 10)
    with pytest.raises(ValueError, match="too large"):
        constraint(ALPHABET, lexicon=map("".join, product(ALPHABET, repeat=4)))
