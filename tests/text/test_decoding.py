"""From logits to text, confidence and alternatives: one place, whatever computed the logits."""

import numpy as np
import pytest
import torch

from strhub.errors import CheckpointError
from strhub.inference.beam_search import beam_search
from strhub.text.decoding import Decoding, as_array, log_softmax, softmax
from strhub.text.tokenizer import AttentionTokenizer, CTCTokenizer, Tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENIZERS = {"attention": AttentionTokenizer(LETTERS), "ctc": CTCTokenizer(LETTERS)}


def logits_of(seed: int, batch: int = 3) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(batch, 7, len(LETTERS) + 1)) * 3
    return logits.astype(np.float32)


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"whitelist": "abc"}], ids=str)
def test_arrays_and_tensors_read_alike(tokenizer: Tokenizer, options: dict[str, object]) -> None:
    decoding = Decoding(
        tokenizer, temperature=1.3, search=beam_search(tokenizer, options), word_prior=2
    )
    for seed in range(5):
        logits = logits_of(seed)
        for array, tensor in zip(decoding(logits), decoding(torch.from_numpy(logits)), strict=True):
            assert array.text == tensor.text
            assert array.confidence == pytest.approx(tensor.confidence, rel=1e-5)
            assert [text for text, _ in array.alternatives] == [
                text for text, _ in tensor.alternatives
            ]
            np.testing.assert_allclose(array.characters, tensor.characters, rtol=1e-5)


def test_confidence_is_the_product_of_what_was_read_at_that_temperature() -> None:
    logits = logits_of(1)
    decoding = Decoding(TOKENIZERS["ctc"], temperature=2.0)
    for row, decoded in zip(logits, decoding(logits), strict=True):
        assert decoded.confidence == pytest.approx(float(softmax(row / 2).max(-1).prod()))
    probabilities = as_array(decoding.probabilities(logits))
    np.testing.assert_allclose(np.log(probabilities), log_softmax(logits / 2), atol=1e-5)
    np.testing.assert_array_equal(decoding.log_probabilities(logits), log_softmax(logits / 2))


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("options", [{}, {"top_k": 2}], ids=str)
def test_no_text_is_no_confidence(tokenizer: Tokenizer, options: dict[str, object]) -> None:
    logits = np.full((1, 4, len(LETTERS) + 1), -9, dtype=np.float32)
    logits[..., 0] = 9  # [E], or the blank
    (decoded,) = Decoding(tokenizer, search=beam_search(tokenizer, options))(logits)
    assert (decoded.text, decoded.confidence) == ("", 0.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_an_error_that_names_the_model(value: float) -> None:
    logits = logits_of(2)
    logits[1, 2, 3] = value
    for options in ({}, {"top_k": 2}):
        search = beam_search(TOKENIZERS["ctc"], options)
        decoding = Decoding(TOKENIZERS["ctc"], search=search, source="words.onnx")
        for values in (logits, torch.from_numpy(logits)):
            with pytest.raises(CheckpointError, match=r"^words.onnx returns numbers that are"):
                decoding(values)


def test_where_each_character_was_read() -> None:
    ids = [0, 1, 1, 0, 1, 2, 0]
    probabilities = np.full((7, 4), 0.1, dtype=np.float32)
    probabilities[np.arange(7), ids] = 0.7
    found = CTCTokenizer("abc").located(probabilities)
    assert [(text, step) for text, step, _ in found] == [("a", 1), ("a", 4), ("b", 5)]
    assert [round(sure, 3) for *_, sure in found] == [0.7] * 3
