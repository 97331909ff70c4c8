"""Scores in several charsets of one reading, and what is left out of them."""

import logging
from typing import Any, NamedTuple

import pytest
import torch
from tiny_models import LABELS, Training, inputs, tiny_system

from strhub.evaluation.evaluate import score_batches
from strhub.evaluation.metrics import Score
from strhub.evaluation.report import format_own, format_protocols, format_table, left_out
from strhub.text import CHARSET_36, ScoredText

GERMAN = "abcdefghijklmnopqrstuvwxyzäöüß"


class Batch(NamedTuple):
    images: torch.Tensor
    labels: list[str]
    unreadable: int
    lost_labels: tuple[str, ...]


class Reads:
    """A model that reads each image as the text it is given."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def read(self, images: torch.Tensor) -> list[tuple[str, float, Any]]:
        return [(text, 0.5, None) for text in self.texts]


def scores_of(
    readings: list[str], labels: list[str], *charsets: str, lost: tuple[str, ...] = ()
) -> list[Score]:
    batch = Batch(torch.zeros(len(labels), 3, 1, 1), labels, len(lost), lost)
    texts = [ScoredText(charset) for charset in charsets]
    return score_batches(Reads(*readings), [batch], texts, "cpu")  # type: ignore[arg-type]


def test_labels_and_readings_of_other_letters_are_prepared_alike() -> None:
    folded, own = scores_of(["straße", "grün"], ["straße", "grun"], CHARSET_36, GERMAN)
    assert (folded.samples, folded.correct) == (2, 2)
    assert (own.samples, own.correct) == (2, 1)


def test_spaces_are_scored_where_the_charset_has_one() -> None:
    without, with_space = scores_of(
        ["new york", "newyork"], ["new york", "new york"], CHARSET_36, CHARSET_36 + " "
    )
    assert (without.correct, with_space.correct) == (2, 1)


def test_labels_without_a_tested_character_are_not_scored_but_counted() -> None:
    (score,) = scores_of(
        ["", "хлеб", "ab"], ["рынок", "хлеб", "ab"], CHARSET_36, lost=("кафе", "lost", "")
    )
    assert (score.samples, score.correct, score.untested, score.unreadable) == (2, 1, 4, 1)
    assert left_out({"street": score, "other": Score()}) == [
        "4 labels without a character of the tested charset are not scored (street 4)",
        "1 images could not be read and count as wrong (street 1)",
    ]


def test_labels_with_other_letters_are_scored_without_them_and_counted() -> None:
    (score,) = scores_of(["abc", "a"], ["abcд", "a!"], CHARSET_36)
    assert (score.correct, score.shortened) == (2, 1)
    assert "1 labels are scored without their letters" in left_out({"street": score})[0]


def test_nothing_read_where_nothing_is_to_be_read_is_never_right() -> None:
    score = Score()
    assert not score.add("", "", 1.0)
    score.add_batch([("", 0.0, None)], [""], [""], str)
    assert (score.samples, score.correct, score.accuracy) == (0, 0, 0)


def test_combined_says_when_it_is_of_some_sets_only() -> None:
    score = Score(samples=2, correct=1)
    assert "| Combined (1 of 6 sets) |" in format_protocols({"SVT": score}, ["subset"])
    assert "| Combined (1 of 2 sets) |" in format_protocols(
        {"street": score}, [], ["street", "gone"]
    )
    assert "other sets (absent: gone)" in format_protocols(
        {"street": score}, [], ["street", "gone"]
    )
    assert "none of them is there" in format_protocols({"SVT": score}, ["subset"], ["gone"])
    own = format_own({"street": score}, GERMAN, ["street", "gone"])
    assert own.startswith("own charset of 30 characters (absent: gone)")
    assert "| Combined |" in format_table({"a": score}, sets=1).replace("Combined   ", "Combined ")


def test_a_mean_over_no_words_is_no_number() -> None:
    assert "|         0 |        - |       - |          - |            - |" in format_table(
        {"street": Score()}
    )


def test_a_model_of_other_letters_is_validated_in_its_own(caplog: pytest.LogCaptureFixture) -> None:
    cyrillic = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
    words = ("рынок", "вокзал", "хлеб", "банк")
    images = inputs(Training("parseq"), len(LABELS))
    for charset_test, samples in ((None, 4), ("abc", 0)):
        system = tiny_system(
            Training("parseq"), charset_train=cyrillic, charset_test=charset_test
        ).eval()
        assert system.hparams["charset_test"] == (charset_test or cyrillic)
        system.validation_step((images, words, 0, ()), 0)
        score, _ = system._validation
        assert (score.samples, score.correct, score.untested) == (samples, 0, 4 - samples)
        with caplog.at_level(logging.WARNING):
            system._report_untested(score)
            system._report_untested(score)
    assert len(caplog.records) == 1
    assert "4 of 4 words of validation are not scored" in caplog.text
