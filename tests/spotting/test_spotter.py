"""Spotting with detectors and line readers that are known."""

import numpy as np
import pytest
from PIL import Image

from strhub.errors import StrhubError
from strhub.inference.lines import spans_of
from strhub.spotting.detector import tile_boxes
from strhub.text.tokenizer import CTCTokenizer

LETTERS = "abc "


def probabilities(columns: str) -> np.ndarray:
    """One column a character; '-' is the blank."""
    ids = [0 if char == "-" else LETTERS.index(char) + 1 for char in columns]
    return np.eye(len(LETTERS) + 1, dtype=np.float32)[ids] * 0.96 + 0.008


def test_words_are_cut_at_spaces_and_lie_where_their_columns_are() -> None:
    spans = spans_of(probabilities("-a-b-- -c-a-"), CTCTokenizer(LETTERS), 12 * 8)
    assert [span.text for span in spans] == ["ab", "ca"]
    assert spans[0].start == 0.0
    assert spans[1].end == 1.0
    assert spans[0].end <= 6.5 / 12 <= spans[1].start
    assert [len(span.characters) for span in spans] == [2, 2]
    assert all(0 < span.confidence < span.characters.min() for span in spans)


def test_a_faint_space_between_letters_parts_words() -> None:
    columns = probabilities("-a-b-c-")
    columns[4] = [0.93, 0.01, 0.01, 0.01, 0.04]  # the blank is surer than the space
    assert [span.text for span in spans_of(columns, CTCTokenizer(LETTERS), 7 * 8)] == ["ab", "c"]
    columns[4] = [0.96, 0.01, 0.01, 0.01, 0.01]
    assert [span.text for span in spans_of(columns, CTCTokenizer(LETTERS), 7 * 8)] == ["abc"]


def test_spaces_alone_are_no_words() -> None:
    assert spans_of(probabilities("- - -"), CTCTokenizer(LETTERS), 40) == []
    assert spans_of(probabilities("-----"), CTCTokenizer(LETTERS), 40) == []
    (span,) = spans_of(probabilities(" a "), CTCTokenizer(LETTERS), 24)
    assert (span.text, span.start, span.end) == ("a", 0.0, 1.0)


def test_without_a_space_in_the_charset_a_line_is_one_word() -> None:
    (span,) = spans_of(np.eye(3, dtype=np.float32)[[1, 0, 2]], CTCTokenizer("ab"), 24)
    assert span.text == "ab"


@pytest.mark.parametrize("size", [(2000, 900), (960, 960), (5000, 5000), (9000, 400), (1, 4000)])
def test_tiles_cover_the_image(size: tuple[int, int]) -> None:
    boxes = list(tile_boxes(size, 960))
    assert 1 <= len(boxes) <= 24
    covered = np.zeros((-(-size[1] // 20), -(-size[0] // 20)), dtype=bool)
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        covered[top // 20 : -(-bottom // 20), left // 20 : -(-right // 20)] = True
    assert covered.all()


def test_options_are_checked() -> None:
    from strhub.spotting.detector import EmbeddedDetector
    from strhub.spotting.spotter import Spotter

    with pytest.raises(StrhubError, match="side is 8"):
        EmbeddedDetector(side=8)
    with pytest.raises(StrhubError, match=r"threshold is 1\.5"):
        EmbeddedDetector(threshold=1.5)
    with pytest.raises(StrhubError, match="reread is 2"):
        Spotter(lambda image: [], reread=2)


def test_images_without_text_and_of_any_shape_have_no_lines() -> None:
    from strhub.spotting.spotter import Spotter

    spotter = Spotter(threads=1)
    for size in ((1, 1), (1, 300), (300, 1), (64, 64)):
        page = spotter(Image.new("RGB", size, "gray"))
        assert page.size == size
        assert page.text == ""
    (page,) = spotter.read(["nowhere.png"])
    assert page.source == "nowhere.png"
    assert page.error


def test_one_image_alone_is_no_list_of_letters() -> None:
    from strhub.spotting.spotter import Spotter

    (page,) = Spotter(lambda image: []).read("nowhere.png")
    assert (page.source, bool(page.error)) == ("nowhere.png", True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("over t", None), (" quick ", "quick"), ("  ", None), ("", None), ("lazy", "lazy")],
)
def test_a_word_that_is_read_again_is_one_word_without_its_neighbors_letters(text: str, expected: str | None) -> None:
    from strhub.inference.recognizer import Reading
    from strhub.spotting.spotter import _one_word

    places = tuple(index / 10 for index in range(len(text)))
    found = _one_word(Reading(text, 0.9, places))
    assert (None if found is None else found[0]) == expected
    if found is not None and expected is not None:
        start = text.index(expected)
        assert found[2] == places[start : start + len(expected)]
