"""Spotting with detectors and line readers that are known."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from strhub.errors import StrhubError
from strhub.inference.lines import spans_of
from strhub.spotting.regions import Region
from strhub.spotting.tiles import tile_boxes, tiled_size
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


def test_without_a_space_in_the_charset_a_line_isone_word() -> None:
    (span,) = spans_of(np.eye(3, dtype=np.float32)[[1, 0, 2]], CTCTokenizer("ab"), 24)
    assert span.text == "ab"


@pytest.mark.parametrize("size", [(2000, 900), (960, 960), (5000, 5000), (9000, 400), (1, 4000)])
def test_tiles_cover_the_image(size: tuple[int, int]) -> None:
    size = tiled_size(size, 960, 9)
    assert not any(side % 32 for side in size)
    boxes = list(tile_boxes(size, 960))
    assert 1 <= len(boxes) <= 9
    assert all(
        (right - left) % 32 == (bottom - top) % 32 == 0 for left, top, right, bottom in boxes
    )
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
def test_a_word_that_is_read_again_is_one_word_without_its_neighbors_letters(
    text: str, expected: str | None
) -> None:
    from strhub.inference.recognizer import Reading
    from strhub.spotting.reading import one_word

    confidences = tuple(index / 10 for index in range(len(text)))
    found = one_word(Reading(text, 0.9, confidences))
    assert (None if found is None else found[0]) == expected
    if found is not None and expected is not None:
        start = text.index(expected)
        assert found[2] == confidences[start : start + len(expected)]


def test_many_images_are_read_side_by_side_in_their_order() -> None:
    import threading

    from strhub.spotting.spotter import Spotter

    asked: list[int] = []
    threads: set[int] = set()

    def images() -> Iterator[Image.Image]:
        for number in range(12):
            asked.append(number)
            yield Image.new("RGB", (40 + number, 30))

    def find(image: Image.Image) -> list[Region]:
        threads.add(threading.get_ident())
        return []

    pages = Spotter(find, threads=2).read(images())
    assert next(pages).size == (40, 30)
    assert len(asked) <= 4, "no more than it reads at once"
    assert [page.size[0] for page in pages] == list(range(41, 52))
    assert threading.get_ident() not in threads
    mixed = list(
        Spotter(threads=2).read(
            [Image.new("RGB", (64, 64)), "nowhere.png", b"", Image.new("RGB", (32, 40))]
        )
    )
    assert [bool(page.error) for page in mixed] == [False, True, True, False]


def test_large_images_are_read_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from threading import Barrier, BrokenBarrierError

    from strhub.spotting import spotter as module

    both = Barrier(2)
    met: list[bool] = []
    seconds = [60.0]

    def find(image: Image.Image) -> list[Region]:
        try:
            both.wait(timeout=seconds[0])
            met.append(True)
        except BrokenBarrierError:
            met.append(False)
        return []

    spotter = module.Spotter(find, threads=2)
    monkeypatch.setattr(spotter, "_side_by_side", lambda: (find, lambda image, regions: []))
    pages = spotter.read([Image.new("RGB", (30, 20))] * 2)
    assert [page.size for page in pages] == [(30, 20)] * 2
    assert met == [True, True]
    both.reset()
    met.clear()
    seconds[0] = 0.2
    monkeypatch.setattr(module, "_LARGE", 100)
    assert [page.size for page in spotter.read([Image.new("RGB", (30, 20))] * 2)] == [(30, 20)] * 2
    assert met == [False, False]


def test_read_alone_and_side_by_side_are_the_same() -> None:
    from strhub.spotting.spotter import Spotter

    image = Image.new("RGB", (420, 120), "white")
    ImageDraw.Draw(image).text(
        (20, 30), "A quiet street", fill="black", font=ImageFont.load_default(size=40)
    )
    spotter = Spotter(threads=2)
    alone = spotter(image)
    assert alone.text == "A quiet street"
    for page in spotter.read([image, image, image]):
        assert page.text == alone.text
        assert page.words[0].confidence == pytest.approx(alone.words[0].confidence, abs=1e-3)


def test_a_doubtful_word_at_the_edge_is_kept_as_it_is() -> None:
    """Words are found by columns, so that one may have less than a pixel within the image."""
    from strhub.spotting.page import Line, Word
    from strhub.spotting.reading import LineReader, ReadingOptions
    from strhub.spotting.regions import Region as Found
    from strhub.spotting.spotter import Spotter

    reader = LineReader(Spotter(lambda image: []).reader, ReadingOptions(reread=1.0))
    outside = ((-9.0, 5.0), (-1.0, 5.0), (-1.0, 15.0), (-9.0, 15.0))
    thin = ((5.0, 5.0), (5.2, 5.0), (5.2, 15.0), (5.0, 15.0))
    words = (Word("a", outside, 0.5, (0.5,)), Word("b", thin, 0.5, (0.5,)))
    image = Image.new("RGB", (60, 20))
    (line,) = reader._reread(image, [Line(words, outside)])
    assert [word.text for word in line.words] == ["a", "b"]
    assert reader(image, [Found(np.asarray(thin), 1.0), Found(np.full((4, 2), 1e9), 1.0)]) == []


def test_the_prior_of_known_words_can_be_switched_off() -> None:
    """A network that reads "strect", and holds "street" to be nearly as likely."""
    from strhub.text.tokenizer import CTCTokenizer as Tokenizer

    charset = "abcdefghijklmnopqrstuvwxyz "
    columns = (
        np.eye(28, dtype=np.float32)[[charset.index(char) + 1 for char in "strect"]] * 0.9
        + 0.1 / 28
    )
    columns[4, charset.index("c") + 1], columns[4, charset.index("e") + 1] = 0.5, 0.4
    columns = np.insert(columns, 4, np.eye(28)[0], axis=0)  # a blank between the letters e
    assert [span.text for span in spans_of(columns, Tokenizer(charset), 56)] == ["strect"]
    assert [span.text for span in spans_of(columns, Tokenizer(charset), 56, word_prior=3)] == [
        "street"
    ]

    from strhub.spotting.reading import LineReader, ReadingOptions
    from strhub.spotting.spotter import Spotter

    spotter = Spotter(lambda image: [], word_prior=False)
    assert spotter._read_lines.word_prior == 0
    assert spotter._read_lines.reader.engine.word_prior == 0
    assert spotter.reader.engine.word_prior > 0, "the caller's own reader stays as it is"
    assert LineReader(spotter.reader, ReadingOptions()).word_prior > 0


def test_the_weight_of_known_words_is_the_same_of_either_runtime() -> None:
    from strhub import Recognizer, load
    from strhub.spotting.reading import LineReader, ReadingOptions

    of_torch, light = Recognizer(load("strhub-small"), device="cpu"), Recognizer("strhub-small")
    for reader in (of_torch, light):
        assert LineReader(reader, ReadingOptions()).word_prior == 3
        without = LineReader(reader, ReadingOptions(word_prior=False))
        assert (without.word_prior, without.reader.engine.word_prior) == (0, 0)
        assert reader.network.word_prior == 3
        assert reader.network.device_name == "cpu"


def test_a_reader_of_lines_reads_photographs_as_one_of_words_does() -> None:
    from strhub import Recognizer
    from strhub.spotting.spotter import Spotter

    image = Image.new("RGB", (420, 120), "white")
    ImageDraw.Draw(image).text(
        (20, 30), "A quiet street", fill="black", font=ImageFont.load_default(size=40)
    )
    (line,) = Spotter(reader=Recognizer("strhub-small", lines=True, threads=1))(image).lines
    assert [word.text for word in line.words] == ["A", "quiet", "street"]
