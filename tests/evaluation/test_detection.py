"""Detection protocols, against credits counted by hand."""

from __future__ import annotations

import pytest

from strhub.evaluation.detection import PROTOCOLS, DetectionScore

Box = tuple[tuple[float, float], ...]


def box(left: float, right: float, top: float = 0, bottom: float = 10) -> Box:
    return ((left, top), (right, top), (right, bottom), (left, bottom))


ONE, TWO, THREE = box(0, 40), box(50, 90), box(100, 140)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_same_outlines_are_all_right_and_none_are_nothing(protocol: str) -> None:
    score = PROTOCOLS[protocol]
    assert score([ONE, TWO], [], [TWO, ONE]) == DetectionScore(2, 2, 2, 2)
    assert score([ONE, TWO], [], []) == DetectionScore(2, 0)
    assert score([], [], [ONE]) == DetectionScore(0, 1)
    assert score([], [], []).hmean == 0
    assert score([ONE], [TWO], [ONE, TWO]) == DetectionScore(1, 1, 1, 1), (
        "what does not count is not found wrongly"
    )


def test_words_found_as_one_line_count_by_area_but_not_by_iou() -> None:
    line = box(0, 140)
    assert PROTOCOLS["icdar2015"]([ONE, TWO, THREE], [], [line]) == DetectionScore(3, 1, 0, 0)
    for protocol in ("icdar2013", "totaltext"):
        assert PROTOCOLS[protocol]([ONE, TWO, THREE], [], [line]) == DetectionScore(3, 1, 3, 1)


def test_a_word_found_in_parts_counts_less() -> None:
    parts = [box(0, 20), box(20, 40)]
    assert PROTOCOLS["icdar2013"]([ONE], [], parts) == DetectionScore(1, 2, 0.8, 1.6)
    assert PROTOCOLS["icdar2013"]([ONE], [], [box(0, 10), box(12, 20)]) == DetectionScore(1, 2), (
        "half of it is lost"
    )


def test_loose_outlines_are_right_up_to_each_protocol_s_bound() -> None:
    loose = box(0, 40, -5, 13)  # 10 of 18 are the word
    assert PROTOCOLS["icdar2013"]([ONE], [], [loose]).hmean == 1
    assert PROTOCOLS["totaltext"]([ONE], [], [loose]).hmean == 0
    assert PROTOCOLS["icdar2015"]([ONE], [], [loose]).hmean == 1
    tight = box(0, 30)  # 3/4 of the word
    assert [
        PROTOCOLS[name]([ONE], [], [tight]).hmean
        for name in ("icdar2013", "totaltext", "icdar2015")
    ] == [0, 1, 1]


def test_scores_add_up() -> None:
    total = DetectionScore(2, 1, 1, 1) + DetectionScore(2, 3, 2, 2)
    assert (total.recall, total.precision) == (0.75, 0.75)
    assert total.hmean == pytest.approx(0.75)
