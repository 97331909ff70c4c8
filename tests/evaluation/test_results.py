"""Scores of words against numbers counted by hand, intervals against SciPy's, calibration against
scikit-learn's.
"""

from __future__ import annotations

import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from words_support import HAND, samples

from strhub.errors import DataError
from strhub.evaluation.calibration import expected_calibration_error
from strhub.evaluation.results import Edit, Sample, Summary
from strhub.evaluation.results.files import SampleWriter, escaped, read_samples, unescaped
from strhub.evaluation.results.intervals import (
    bootstrap_mean,
    bootstrap_ratio,
    exact_mcnemar,
    paired_bootstrap,
    wilson,
)
from strhub.evaluation.results.sample import align, edits_of
from strhub.evaluation.results.slices import parts_of, slices_of


def summarized(words: list[Sample]) -> Summary:
    summary = Summary()
    for word in words:
        summary.add(word)
    return summary


def test_thirty_words_counted_by_hand() -> None:
    result = summarized(samples()).result()
    assert (result.samples, result.correct, result.label_length) == (30, 20, 151)
    assert result.accuracy == pytest.approx(20 / 30)
    assert result.cer.value == pytest.approx(20 / 151)
    assert result.wer.value == pytest.approx(10 / 30)
    # 1 - distance / longer length: r0om 3/4, 1ane 3/4, bar 2/3, sale 2/4, farmer 3/6, mall 2/4,
    # coma 4/5, cat4h 5/7.
    parts = 20 + 3 / 4 + 3 / 4 + 2 / 3 + 2 / 4 + 3 / 6 + 2 / 4 + 0 + 0 + 4 / 5 + 5 / 7
    assert result.one_minus_ned == pytest.approx(parts / 30)
    assert result.ned_interval.value == pytest.approx(parts / 30)
    assert result.ned_interval.low < parts / 30 < result.ned_interval.high
    assert result.mean_confidence == pytest.approx(sum(word[2] for word in HAND) / 30)
    lost = {pair[0]: count for pair, count in result.confusions.items() if not pair[1]}
    added = {pair[1]: count for pair, count in result.confusions.items() if not pair[0]}
    assert lost == {"r": 1, "l": 3, "a": 1, "t": 1, "e": 1, "b": 1, "u": 1, "s": 1}
    assert added == {"m": 1, "s": 1, "2": 1}
    substituted = {pair: count for pair, count in result.confusions.items() if all(pair)}
    assert substituted == {
        ("0", "o"): 1,
        ("1", "l"): 1,
        ("b", "8"): 1,
        ("s", "5"): 1,
        ("e", "c"): 1,
        ("r", "n"): 1,
        ("m", "n"): 1,
    }
    assert sum(result.confusions.values()) == 20
    assert [one.label for one in result.errors[:3]] == ["r0om", "1ane", "bar"]
    assert [one.label for one in result.suspects] == ["r0om"]
    assert [(part.part, part.words) for part in result.slices["length"]] == [
        ("1–3", 2),
        ("4–6", 26),
        ("7–9", 2),
    ]
    digits = {
        part.part: (part.words, round(part.accuracy.value * part.words))
        for part in result.slices["digits"]
    }
    assert digits == {"none": (27, 20), "some": (3, 0)}


def test_risk_and_coverage_by_hand() -> None:
    risk = summarized(samples()).result().risk
    assert risk[0] == (pytest.approx(1 / 30), 0.0)  # the surest word is right
    assert (
        pytest.approx(6 / 30),
        pytest.approx(1 / 6),
    ) in risk  # 0.99 to 0.95, of which r0om is wrong
    assert risk[-1] == (1.0, pytest.approx(10 / 30))


# scipy.stats.binomtest(k, n).proportion_ci(0.95, method="wilson"), SciPy 1.17.1.
@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (0, 10, 0.0, 0.27753279986288926),
        (1, 10, 0.017876213095072896, 0.4041500267952385),
        (5, 10, 0.236593090512564, 0.7634069094874361),
        (10, 10, 0.7224672001371109, 1.0),
        (27, 30, 0.7437891742081592, 0.9654001112526657),
        (821, 890, 0.9030307894018101, 0.9382817191857471),
        (999999, 1000000, 0.9999943350881957, 0.9999998234754233),
    ],
)
def test_wilson_intervals_are_those_of_scipy(
    successes: int, trials: int, low: float, high: float
) -> None:
    assert wilson(successes, trials) == pytest.approx((successes / trials, low, high), abs=1e-12)


def test_of_nothing_nothing_is_known() -> None:
    assert wilson(0, 0) == bootstrap_mean({}) == bootstrap_ratio({}) == (0, 0, 1)
    assert paired_bootstrap(0, 0, 0) == (0, -1, 1)
    result = Summary().result()
    assert (result.samples, result.ece, result.risk, result.errors) == (0, None, (), [])


# scipy.stats.binomtest(b, b + c, 0.5).pvalue, SciPy 1.17.1.
@pytest.mark.parametrize(
    ("first", "second", "probability"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 0.0625),
        (10, 3, 0.09228515625),
        (3, 10, 0.09228515625),
        (25, 25, 1.0),
        (40, 61, 0.046044066929342785),
        (1200, 1000, 2.1817026407914194e-05),
        (0, 2000, 0.0),
    ],
)
def test_mcnemar_is_the_binomial_test_of_scipy(first: int, second: int, probability: float) -> None:
    assert exact_mcnemar(first, second) == pytest.approx(probability, rel=1e-9, abs=1e-300)


def test_bootstrap_intervals_are_near_those_of_scipy() -> None:
    # scipy.stats.bootstrap((values,), numpy.mean, method="percentile", n_resamples=20000,
    # random_state=1), 1.17.1.
    values = np.round(np.random.default_rng(7).beta(8, 1, 200), 2).tolist()
    counts = {value: values.count(value) for value in values}
    assert bootstrap_mean(counts) == pytest.approx((0.88445, 0.86965, 0.8986), abs=0.0015)
    assert bootstrap_mean(counts) == bootstrap_mean(counts), "no chance in it"
    difference = paired_bootstrap(61, 40, 1000)
    assert difference.value == pytest.approx(0.021)
    assert difference.low == pytest.approx(
        0.021 - 1.96 * (0.101 - 0.021**2) ** 0.5 / 1000**0.5, abs=0.002
    )


def test_calibration_is_that_of_scikit_learn() -> None:
    # sklearn.calibration.calibration_curve(right, confidences, n_bins=15), scikit-learn 1.9.1;
    # netcal 1.4.0's ECE(15) gives the same number as its bins, weighed by words.
    rng = np.random.default_rng(7)
    rng.beta(8, 1, 200)
    confidences = rng.random(500)
    right = rng.random(500) < confidences**2
    accuracies = [0.0, 0.0, 0.02857142857142857, 0.06060606060606061, 0.043478260869565216,
        0.21739130434782608,
                  0.08333333333333333, 0.3225806451612903, 0.30303030303030304, 0.41379310344827586,
                  0.4482758620689655, 0.4444444444444444, 0.6666666666666666, 0.8709677419354839,
                  0.8918918918918919]  # fmt: skip
    words = [
        ("a", "a" if one else "b", float(sure))
        for one, sure in zip(right, confidences, strict=True)
    ]
    result = summarized(samples(words)).result()
    assert [one.accuracy.value for one in result.bins] == pytest.approx(accuracies)
    assert result.bins[0].confidence == pytest.approx(0.03219494442183901)
    assert result.ece == pytest.approx(0.17662112209942757)
    assert result.ece == pytest.approx(
        expected_calibration_error(confidences.tolist(), right.tolist())
    )


def test_without_any_error_the_interval_is_no_point() -> None:
    result = summarized(samples(HAND[:20])).result()
    assert result.ned_interval == result.accuracy_interval == wilson(20, 20)
    assert result.cer == (0, 0, pytest.approx(1 - wilson(20, 20).low))


def test_without_confidences_there_is_no_calibration() -> None:
    result = summarized([replace(one, confidence=None) for one in samples()]).result()
    assert (result.ece, result.risk, result.bins) == (None, (), [])
    assert result.correct == 20
    assert {part.part for part in result.slices["confidence"]} == {"unknown"}


def test_the_order_of_words_does_not_matter() -> None:
    words = samples()
    shuffled = list(words)
    random.Random(1).shuffle(shuffled)
    one, other = summarized(words).result(), summarized(shuffled).result()
    assert one.ece == pytest.approx(other.ece)
    assert (one.cer, one.ned_interval, one.errors) == (other.cer, other.ned_interval, other.errors)
    assert (one.confusions, one.slices, one.risk) == (other.confusions, other.slices, other.risk)


def test_words_of_several_words_have_a_word_error_rate() -> None:
    result = summarized(
        samples([("to the exit", "to tho exit", 0.9), ("way out", "wayout", 0.9)])
    ).result()
    assert result.wer.value == pytest.approx((1 + 2) / 5)


@pytest.mark.parametrize(
    ("label", "text"), [("", ""), ("abc", ""), ("", "abc"), ("kitten", "sitting"), ("aaa", "aa")]
)
def test_label_and_text_side_by_side(label: str, text: str) -> None:
    pairs = align(label, text)
    assert "".join(pair[0] for pair in pairs) == label
    assert "".join(pair[1] for pair in pairs) == text
    assert sum(pair[2] != "=" for pair in pairs) == len(edits_of(label, text))


def test_edits_have_kind_characters_and_place() -> None:
    assert edits_of("room", "r0omy") == [
        Edit("substituted", "o", "0", 1),
        Edit("added", "", "y", 4),
    ]
    assert edits_of("room", "rom") in ([Edit("lost", "o", "", 1)], [Edit("lost", "o", "", 2)])


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("Exit", ("Title", "none", "none")),
        ("EXIT", ("UPPER", "none", "none")),
        ("exit!", ("lower", "none", "some")),
        ("eXit 24", ("miXed", "some", "none")),
        ("24-7", ("no letters", "only", "some")),
    ],
)
def test_slices_of_spelling(stored: str, expected: tuple[str, str, str]) -> None:
    found = slices_of(replace(samples()[0], stored_label=stored))
    assert (found["case"], found["digits"], found["symbols"]) == expected


def test_every_word_has_a_known_part_of_each_slice() -> None:
    extremes = [
        replace(samples()[0], width=0, height=0, slant=None, sharpness=None, confidence=None),
        replace(samples()[0], width=9999, height=1, slant=90.0, sharpness=1e9, confidence=1.0),
        replace(samples()[0], width=1, height=9999, slant=-90.0, sharpness=0.0, confidence=0.0),
    ]
    for one in extremes:
        assert all(part in parts_of(name) for name, part in slices_of(one).items())
    assert slices_of(extremes[0])["height"] == "unknown"


NASTY = "tab\there\\new\nline\r\u2028 \u202eé\\t"


def test_samples_come_back_from_the_disk_as_they_were(tmp_path: Path) -> None:
    nasty = replace(
        samples()[0],
        raw_text=NASTY,
        stored_label=NASTY,
        image="a\tb\n.png",
        error=None,
        rotation=90,
    )
    lost = replace(
        samples()[1], confidence=None, slant=None, sharpness=None, error="no image", text=""
    )
    with SampleWriter(tmp_path) as writer:
        for one in (nasty, lost, *samples()):
            writer.write(one)
    assert list(read_samples(tmp_path / "samples.tsv")) == [nasty, lost, *samples()]
    from pyarrow import parquet

    table = parquet.read_table(tmp_path / "samples.parquet")
    assert table["raw_text"].to_pylist()[0] == NASTY
    assert sum(table["correct"].to_pylist()) == 21
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.parquet", "samples.tsv"]


def test_what_is_cut_off_leaves_no_file_and_a_damaged_one_is_told(tmp_path: Path) -> None:

    def stopped() -> None:
        with SampleWriter(tmp_path) as writer:
            writer.write(samples()[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not list(tmp_path.iterdir())
    with SampleWriter(tmp_path) as writer:
        for one in samples():
            writer.write(one)
    path = tmp_path / "samples.tsv"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"samples\.tsv:31: the line has"):
        list(read_samples(path))
    path.write_text("image\ttext\n")
    with pytest.raises(DataError, match="holds no samples"):
        list(read_samples(path))


@pytest.mark.parametrize("text", ["", NASTY, "\\", "\\\\n", "plain"])
def test_escapes(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert not set("\t\n\r") & set(escaped(text))


def test_memory_is_the_same_for_many_words(tmp_path: Path) -> None:
    """Counts and files take no more for 3,000 words than for 1,000 once their bounded lists are
    full.
    """
    rng = random.Random(0)
    letters = "abcd"
    summary = Summary()
    peaks = []
    tracemalloc.start()
    try:
        with SampleWriter(tmp_path, parquet=False) as writer:
            for number in range(3000):
                label = "".join(rng.choices(letters, k=4))
                text = label if rng.random() < 0.5 else "".join(rng.choices(letters, k=4))
                one = Sample(
                    "s",
                    number,
                    "here",
                    f"image-{number:09d}",
                    label,
                    text,
                    label,
                    text,
                    rng.random(),
                )
                summary.add(one)
                writer.write(one)
                if number in (1000, 2999):
                    peaks.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.1 + 20_000, peaks
    assert len(summary.result().errors) == 300
