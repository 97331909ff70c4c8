"""Whole lines: their text with spaces, and where their words are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from strhub import Recognizer, load
from strhub.errors import ConfigError
from strhub.inference.lines import Span, line_of, spans_of
from strhub.text.tokenizer import CTCTokenizer

FONT = Path(__file__).parents[2] / "strhub/data/synth/fonts/DejaVuSans.ttf"


def written(*words: str) -> tuple[Image.Image, list[tuple[float, float]]]:
    """Return an image of a line, and where each of its words is, as fractions of the width."""
    font = ImageFont.truetype(FONT, 36)
    text, left = " ".join(words), 8
    width = round(font.getlength(text)) + 2 * left
    line = Image.new("RGB", (width, 48), "white")
    ImageDraw.Draw(line).text((left, 2), text, fill="black", font=font)
    starts = [
        left + font.getlength(" ".join([*words[:number], ""])) for number in range(len(words))
    ]
    return line, [
        (start / width, (start + font.getlength(word)) / width)
        for start, word in zip(starts, words, strict=True)
    ]


@pytest.fixture(scope="module")
def reader() -> Recognizer:
    return Recognizer("strhub-small", lines=True, threads=1)


def test_words_of_a_line_and_where_they_are(reader: Recognizer) -> None:
    line, ends = written("Open", "until", "1930")
    (reading,) = reader(line)
    assert reading.text == "Open until 1930"
    assert [word.text for word in reading.words] == reading.text.split(" ")
    assert len(reading.character_confidences) == len(reading.text)
    for word, (start, end) in zip(reading.words, ends, strict=True):
        assert 0 <= word.start < word.end <= 1
        middle = (word.start + word.end) / 2
        assert start < middle < end
        assert abs(middle - (start + end) / 2) < 0.05
        assert 0 < word.confidence <= 1
        assert len(word.character_confidences) == len(word.text)


def test_one_word_and_none(reader: Recognizer) -> None:
    word, blank = reader([written("market")[0], Image.new("RGB", (90, 30), "gray")])
    assert [one.text for one in word.words] == ["market"]
    assert (blank.text, blank.confidence, blank.words) == ("", 0.0, ())


def test_pytorch_reads_the_same_lines(reader: Recognizer) -> None:
    line, _ = written("market", "choice")
    mine = Recognizer(load("strhub-small"), lines=True, threads=1)
    (ours,), (theirs,) = mine([line]), reader([line])
    assert ours.text == theirs.text
    assert ours.confidence == pytest.approx(theirs.confidence, rel=1e-3)
    assert mine.model.hparams.architecture == "light_ctc"


def test_a_turned_line_is_turned_back(reader: Recognizer) -> None:
    line, _ = written("market", "choice")
    (reading,) = reader(line.transpose(Image.Transpose.ROTATE_90))
    assert reading.rotation == 270
    assert reading.text == "market choice"


def test_what_cannot_be_opened_does_not_stop_the_others(reader: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"none")
    broken, word = reader([tmp_path / "broken.png", written("market")[0]])
    assert broken.error
    assert not broken.words
    assert word.words


@pytest.mark.parametrize(
    ("model", "options"),
    [("strhub-tiny", {}), ("strhub-small", {"reread_below": 0.5}), ("strhub-small", {"top_k": 3})],
)
def test_what_has_no_use_with_lines_is_refused(model: str, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="lines=True"):
        Recognizer(model, lines=True, **options)  # type: ignore[arg-type]


def test_single_words_are_read_as_before() -> None:
    (reading,) = Recognizer("strhub-small", threads=1)(written("market")[0])
    assert reading.words == ()


def test_a_space_is_as_sure_as_the_less_sure_letter_beside_it() -> None:
    first, second = np.array([0.9, 0.8], dtype=np.float32), np.array([0.7], dtype=np.float32)
    line = line_of([Span("ab", 0.72, first, 0.0, 0.5), Span("c", 0.7, second, 0.6, 1.0)])
    assert line.text == "ab c"
    np.testing.assert_allclose(line.characters, [0.9, 0.8, 0.7, 0.7])
    assert line.confidence == pytest.approx(0.72 * 0.7)


@pytest.mark.parametrize(
    ("faint", "columns", "words"),
    [
        (0.01, "a-b-c----a-b", ["abc", "ab"]),  # far apart, and a space is not quite unlikely
        (0.01, "a-b-c-a-b", ["abcab"]),  # not far apart
        (0.0, "a-b-c----a-b", ["abcab"]),  # far apart, and nothing of a space
        (0.0, "a----b----c----a", ["abca"]),
    ],
)
def test_a_faint_space_counts_where_letters_are_far_apart(
    faint: float, columns: str, words: list[str]
) -> None:
    charset = "abc "
    ids = [0 if char == "-" else charset.index(char) + 1 for char in columns]
    probabilities = np.eye(5, dtype=np.float32)[ids]
    middle = columns.index("c") + (2 if "----" in columns else 1)
    probabilities[middle, 4] = faint
    spans = spans_of(probabilities, CTCTokenizer(charset), 8 * len(columns))
    assert [span.text for span in spans] == words
