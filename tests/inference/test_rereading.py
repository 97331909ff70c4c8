"""What several looks at a word conclude: the text, and a confidence that no cut-off view makes too
sure.
"""

import itertools
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

import strhub
from strhub import Recognizer, load
from strhub.inference.onnx_engine import OnnxEngine
from strhub.inference.rereading import DOUBT, Decoded, ViewReading, conclude, evidence
from strhub.inference.torch_engine import TorchEngine
from strhub.text.correction import CORRECTION, Correction, log_odds
from strhub.weights import EMBEDDED_MODELS, embedded_graph

AS_SEEN = Correction(best=1.0, first=0.0, offset=0.0)
FONT = f"{strhub.__path__[0]}/data/synth/fonts/OpenSans-Bold.ttf"


def view_reading(text: str, confidence: float, *, cut: bool = False) -> ViewReading:
    return ViewReading(
        0, Decoded(text, confidence, np.full(len(text), confidence, np.float32)), cut
    )


LOOKS = st.lists(
    st.tuples(st.sampled_from(["ab", "abc", ""]), st.floats(0.01, 0.999), st.booleans()), max_size=6
)
NUMBERS = st.floats(-3, 3)


@given(st.floats(0.01, DOUBT), LOOKS, st.tuples(NUMBERS, NUMBERS, NUMBERS))
def test_no_view_that_cuts_the_image_makes_a_text_surer_than_the_whole_allows(
    first: float, others: list[tuple[str, float, bool]], numbers: tuple[float, float, float]
) -> None:
    view_readings = [
        view_reading("ab", first),
        *(view_reading(text, sure if text else 0.0, cut=cut) for text, sure, cut in others),
    ]
    found = conclude(view_readings, Correction(*numbers)).decoded
    whole = [
        one.decoded.confidence
        for one in view_readings
        if one.decoded.text == found.text and not one.cut
    ]
    if len(view_readings) > 1:
        assert 0 <= found.confidence <= max([DOUBT, *whole])


def test_a_correction_by_hand() -> None:
    view_readings = [
        view_reading("SALF", 0.5),
        view_reading("SALE", 0.9, cut=True),
        view_reading("SALE", 0.6),
    ]
    assert evidence(view_readings, "SALE") == (DOUBT, 0.5)
    assert evidence(view_readings, "SALF") == (0.5, 0.5)
    found = conclude(view_readings, Correction(best=1.0, first=2.0, offset=-0.5)).decoded
    assert found.text == "SALE"
    assert log_odds(found.confidence) == pytest.approx(log(0.7 / 0.3) - 0.5)
    assert 0 < Correction(100, 100, -100)(0.001, 0.001) < 1e-6
    assert conclude([view_reading("a", 0.3)], Correction()).decoded.confidence == 0.3, (
        "what is looked at once stays"
    )
    assert (
        conclude(
            [view_reading("a", 0.9), view_reading("a", 0.9)], Correction(3, 3, 3)
        ).decoded.confidence
        == 0.9
    )


def test_characters_and_further_readings_follow_the_confidence() -> None:
    decoded = Decoded("ab", 0.72, np.array([0.9, 0.8], np.float32), (("ab", 0.72), ("ac", 0.2)))
    called = decoded.called(0.36)
    assert called.confidence == 0.36
    assert float(np.prod(called.characters)) == pytest.approx(0.36, rel=1e-5)
    assert called.alternatives == (("ab", pytest.approx(0.36)), ("ac", pytest.approx(0.1)))
    assert decoded.called(1.0).characters is decoded.characters


def test_a_model_says_its_own_correction() -> None:
    assert Correction.of({}) == Correction()
    assert Correction.of({CORRECTION: [1, 2, 3]}) == Correction(1.0, 2.0, 3.0)
    for wrong in ([1, 2], "abc", 3):
        with pytest.raises(ValueError, match="it must be three numbers"):
            Correction.of({CORRECTION: wrong})
    for name in EMBEDDED_MODELS:
        model, engine = load(name), OnnxEngine(embedded_graph(name))
        assert engine.correction == Correction.of(model.hparams) == TorchEngine(model).correction


def lines(*words: str) -> Image.Image:
    """Words below each other: a crop of several lines, which cannot be read as one word."""
    font = ImageFont.truetype(FONT, 40)
    boxes = [font.getbbox(word) for word in words]
    image = Image.new(
        "RGB", (round(max(box[2] for box in boxes)) + 16, 62 * len(words)), (230, 230, 225)
    )
    for number, word in enumerate(words):
        ImageDraw.Draw(image).text((8, 62 * number + 6), word, (20, 30, 90), font=font)
    return image


def test_crops_of_several_lines_are_not_surer_for_looking_again() -> None:
    words = ["GRAND", "HOTEL", "Market", "Open", "Pizza"]
    images = [lines(*some) for some in itertools.permutations(words, 3)][::2]
    once, again = (
        Recognizer("strhub-tiny", reread_below=0)(images),
        Recognizer("strhub-tiny")(images),
    )
    assert any(one.text != other.text for one, other in zip(once, again, strict=True)), (
        "they are looked at again"
    )
    reader = Recognizer("strhub-tiny")
    cut = [reader.correction(DOUBT, first) for first in (1e-4, 0.01, 0.3, DOUBT)]
    limit = max(reader.calibration(sure, "market") for sure in cut)
    assert limit < 0.85, "what a part of the image may make a known word"
    for sure in (limit + 1e-6, 0.9):
        assert sum(one.confidence > sure for one in again) <= sum(
            one.confidence > sure for one in once
        )
