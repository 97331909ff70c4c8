"""Temperatures and the error of confidences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strhub.evaluation.calibration import expected_calibration_error, fit_temperature, sequence_confidence

pytestmark = pytest.mark.numeric


def words(count: int, overconfidence: float) -> tuple[list[np.ndarray], list[bool]]:
    """One-step words over two classes: right as often as their true confidence says, the logits blown up."""
    rng = np.random.default_rng(0)
    margins = rng.uniform(0, 4, count)
    right = rng.random(count) < 1 / (1 + np.exp(-margins))
    return [overconfidence * np.array([[margin, 0.0]]) for margin in margins], right.tolist()


@pytest.mark.parametrize("overconfidence", [0.5, 1.0, 3.0])
def test_fitting_finds_how_far_logits_were_blown_up(overconfidence: float) -> None:
    logits, right = words(4000, overconfidence)
    temperature = fit_temperature(logits, right)
    assert temperature == pytest.approx(overconfidence, rel=0.15)
    before, after = (
        expected_calibration_error([sequence_confidence(word, value) for word in logits], right)
        for value in (1.0, temperature)
    )
    assert after < 0.03
    assert after < before or overconfidence == 1.0


def test_confidence_is_the_product_over_steps() -> None:
    logits = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1]]))
    assert sequence_confidence(logits, 1.0) == pytest.approx(0.4)
    assert sequence_confidence(logits + 1000, 1.0) == pytest.approx(0.4)
    assert sequence_confidence(np.zeros((0, 3)), 1.0) == 1.0


def test_error_by_hand() -> None:
    # Bin of 0.9: two words, one right, 0.4 apart; bin of 0.1: one word, wrong, 0.1 apart.
    assert expected_calibration_error([0.9, 0.9, 0.1], [True, False, False]) == pytest.approx((0.8 + 0.1) / 3)
    assert expected_calibration_error([1.0], [True]) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_error_is_a_share(words: list[tuple[float, bool]]) -> None:
    assert 0 <= expected_calibration_error(*map(list, zip(*words, strict=True))) <= 1  # type: ignore[arg-type]


def test_nothing_to_fit() -> None:
    for logits, right in (([], []), ([np.zeros((1, 2))], [True]), ([np.zeros((1, 2))], [])):
        with pytest.raises(ValueError, match=r"cannot be fitted|verdicts"):
            fit_temperature(logits, right)
    with pytest.raises(ValueError, match="need as many"):
        expected_calibration_error([], [])
