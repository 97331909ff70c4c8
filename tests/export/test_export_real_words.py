"""Exported files against PyTorch on photographs: the same text for every one of 500 words, in every
mode and number.

The words lie outside the repository, in ../shared/words/val; without them these tests say so and
are skipped.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="exporting is an extra: pip install strhub[export]")

from strhub import load
from strhub.data.sources.lmdb import LmdbWords, find_lmdbs
from strhub.export import export
from strhub.images.preprocess import image_to_resized_array, normalization
from strhub.inference.onnx_description import IMAGES, LOGITS
from strhub.inference.onnx_session import open_session
from strhub.text import CHARSET_36, CharsetAdapter

FOLDER = Path(__file__).parents[3] / "shared" / "words"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER.is_dir(), reason=f"needs word images in {FOLDER}, which are not redistributed"
    ),
]
Words = tuple[np.ndarray[Any, Any], list[str]]


def some_words(part: str, count: int) -> tuple[list[Any], list[str]]:
    """Images and labels, evenly from all sets of a part."""
    sets = [LmdbWords(path, prepare_label=str) for path in find_lmdbs(FOLDER / part)]
    records = [(words, index) for words in sets for index in range(len(words))]
    chosen = np.linspace(0, len(records) - 1, count).astype(int)
    inputs, labels = zip(
        *(records[record][0].read(records[record][1]) for record in chosen), strict=True
    )
    return list(inputs), list(labels)


@pytest.fixture(scope="module")
def words() -> Words:
    inputs, labels = some_words("val", 500)
    arrays = [
        image_to_resized_array(image, (32, 128), normalization("default")) for image in inputs
    ]
    return np.stack(arrays), labels


def texts_of(run: Any, tokenizer: Any, images: np.ndarray[Any, Any], batch: int) -> list[str]:
    return [
        text
        for at in range(0, len(images), batch)
        for text in tokenizer.decode(run(images[at : at + batch]))[0]
    ]


@pytest.mark.parametrize(("decode_ar", "refine_iters"), list(product([True, False], [0, 1, 2])))
def test_all_words_read_the_same(
    tmp_path: Path, words: Words, decode_ar: bool, refine_iters: int
) -> None:
    model = load("strhub-tiny", decode_ar=decode_ar, refine_iters=refine_iters).eval()
    export(model, tmp_path / "model.onnx")
    session = open_session(tmp_path / "model.onnx")
    usual = (decode_ar, refine_iters) == (True, 1)

    def theirs(images: np.ndarray[Any, Any]) -> Any:
        with torch.inference_mode():
            return model(torch.from_numpy(images)).numpy()

    def ours(images: np.ndarray[Any, Any]) -> Any:
        return session.run([LOGITS], {IMAGES: images})[0]

    for batch in (1, 3, 64) if usual else (64,):
        expected = texts_of(theirs, model.tokenizer, words[0], batch)
        assert texts_of(ours, model.tokenizer, words[0], batch) == expected
        assert len(set(expected)) > 300
    np.testing.assert_allclose(ours(words[0][:64]), theirs(words[0][:64]), atol=1e-3)


@pytest.mark.parametrize(
    ("precision", "points"),
    [("float16", 0.2), ("int8-weights", 1), ("int8", 1), ("int8-static", 1)],
)
def test_accuracy_with_smaller_numbers(
    tmp_path: Path, words: Words, precision: str, points: float
) -> None:
    model = load("strhub-tiny")
    inputs = some_words("train/real", 256)[0] if precision == "int8-static" else []
    export(model, tmp_path / "full.onnx")
    export(model, tmp_path / "small.onnx", precision=precision, calibration_images=inputs)
    adapt, accuracies = CharsetAdapter(CHARSET_36), []
    for name in ("full.onnx", "small.onnx"):
        session = open_session(tmp_path / name)
        texts = texts_of(
            lambda images, s=session: s.run([LOGITS], {IMAGES: images})[0],
            model.tokenizer,
            words[0],
            50,
        )
        right = [adapt(text) == adapt(label) for text, label in zip(texts, words[1], strict=True)]
        accuracies.append(100 * np.mean(right))
    assert accuracies[1] >= accuracies[0] - points
