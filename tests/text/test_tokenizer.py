"""Text to ids and probabilities to text."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from strhub.text import CHARSET_94, AttentionTokenizer, CTCTokenizer

TEXTS = st.lists(st.text(alphabet=CHARSET_94, min_size=1, max_size=12), min_size=1, max_size=5)
ATTENTION = AttentionTokenizer(CHARSET_94)
CTC = CTCTokenizer(CHARSET_94)


def one_hot(ids: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[ids]


def test_token_order_is_the_published_one() -> None:
    assert (ATTENTION.eos_id, ATTENTION.bos_id, ATTENTION.pad_id, len(ATTENTION)) == (0, 95, 96, 97)
    assert ATTENTION.encode(["0~", "a"]).tolist() == [[95, 1, 94, 0], [95, 11, 0, 96]]
    assert CTC.encode(["0~", "a"]).tolist() == [[1, 94], [11, 0]]


@given(TEXTS)
def test_attention_round_trip(texts: list[str]) -> None:
    ids = ATTENTION.encode_array(texts)[:, 1:]
    ids[ids == ATTENTION.pad_id] = 0
    assert ATTENTION.decode(one_hot(ids, 95))[0] == texts


@given(TEXTS)
def test_ctc_round_trip_with_blanks_and_repeats(texts: list[str]) -> None:
    rows = [
        [number for c in text for number in (0, CTC.ids_of(c)[0], CTC.ids_of(c)[0])]
        for text in texts
    ]
    ids = np.zeros((len(rows), max(map(len, rows)) + 1), dtype=np.int64)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = row
    assert CTC.decode(one_hot(ids, 95))[0] == texts


def test_confidence_counts_the_end_and_character_confidence_does_not() -> None:
    probabilities = np.full((1, 4, 95), 0.001, dtype=np.float32)
    for step, (token, probability) in enumerate([(11, 0.9), (12, 0.8), (0, 0.5), (13, 0.1)]):
        probabilities[0, step, token] = probability
    texts, confidences = ATTENTION.decode(probabilities)
    assert texts == ["ab"]
    np.testing.assert_allclose(confidences[0], [0.9, 0.8, 0.5], rtol=1e-6)
    text, confidence, characters = ATTENTION.decode_characters(probabilities)[0]
    assert text == "ab"
    assert confidence == pytest.approx(0.9 * 0.8 * 0.5)
    np.testing.assert_allclose(characters, [0.9, 0.8], rtol=1e-6)


def test_a_text_without_end_uses_all_steps() -> None:
    text, confidence, characters = ATTENTION.decode_characters(one_hot(np.array([[11, 12]]), 95))[0]
    assert (text, confidence, len(characters)) == ("ab", 1.0, 2)


def test_tensors_and_arrays_decode_alike() -> None:
    logits = torch.randn(3, 7, 95, generator=torch.Generator().manual_seed(0))
    probabilities = logits.softmax(-1)
    assert ATTENTION.decode(probabilities)[0] == ATTENTION.decode(probabilities.numpy())[0]
    assert CTC.decode(probabilities)[0] == CTC.decode(probabilities.numpy())[0]


def test_raw_decoding_spells_special_tokens_out() -> None:
    assert ATTENTION.decode(one_hot(np.array([[11, 0, 0]]), 95), raw=True)[0] == [
        ["a", "[E]", "[E]"]
    ]


def test_heads_that_predict_begin_and_padding_are_read_without_them() -> None:
    assert ATTENTION.decode(one_hot(np.array([[95, 11, 96, 12, 0]]), 97))[0] == ["ab"]


def test_an_unknown_character_is_named() -> None:
    with pytest.raises(ValueError, match="'é'"):
        ATTENTION.encode(["café"])


def test_empty_batches() -> None:
    assert ATTENTION.encode([]).shape == (0, 2)
    assert ATTENTION.decode(np.zeros((0, 26, 95))) == ([], [])
