"""Rendered words: texts stay in their charset, images are legible, reproducible and refuse bad
input.
"""

from __future__ import annotations

import pickle
import string
import subprocess
import sys
import unicodedata
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from strhub.cli.data import run
from strhub.data.curation.statistics import measure
from strhub.data.sources.lmdb import LmdbWords
from strhub.data.synth import RenderedWords, TextSampler, WordRenderer
from strhub.data.synth.render import Difficulty
from strhub.data.synth.typefaces import BUNDLED_FONTS, FontShelf
from strhub.images.open import open_bytes

ASCII_94 = string.digits + string.ascii_letters + string.punctuation
CHARSETS = [
    ASCII_94,
    string.digits + string.ascii_lowercase,
    string.digits + string.ascii_uppercase,
    string.digits,
    "äöüß",
    string.ascii_letters + "äöüÄÖÜßéèñ",
    "x",
    " -",
]


@pytest.fixture(scope="module")
def words() -> RenderedWords:
    return RenderedWords(charset=ASCII_94, max_length=25, seed=7)


@pytest.mark.parametrize("charset", CHARSETS)
@pytest.mark.parametrize("max_length", [1, 3, 25])
def test_texts_fit_charset_and_length(charset: str, max_length: int) -> None:
    sampler, rng = TextSampler(charset=charset, max_length=max_length), np.random.default_rng(0)
    for _ in range(300):
        text = sampler(rng)
        assert 1 <= len(text) <= max_length
        assert set(text) <= set(charset)
        assert text.split(" ") == text.split()


@pytest.mark.parametrize("charset", CHARSETS[:-1])
def test_every_character_occurs(charset: str) -> None:
    sampler, rng = TextSampler(charset=charset, max_length=25), np.random.default_rng(1)
    assert set("".join(sampler(rng) for _ in range(6000))) == set(charset)


def test_full_length_and_all_cases_occur() -> None:
    sampler, rng = TextSampler(charset=ASCII_94, max_length=25), np.random.default_rng(2)
    texts = [sampler(rng) for _ in range(5000)]
    assert max(map(len, texts)) == 25
    for test in (str.islower, str.isupper, str.istitle, str.isdigit):
        assert sum(map(test, texts)) > 100


def test_sampler_survives_pickling() -> None:
    sampler = TextSampler(charset=ASCII_94, max_length=9)
    twin = pickle.loads(pickle.dumps(sampler))
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    assert [sampler(first) for _ in range(50)] == [twin(second) for _ in range(50)]


def test_word_list_is_clean() -> None:
    lines = (Path(BUNDLED_FONTS).parent / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(lines) == len(set(lines)) > 1500
    assert all(line.isascii() and line.isalpha() and line.islower() for line in lines)


@pytest.mark.parametrize("difficulty", [0.0, 0.5, 1.0])
def test_images_have_the_promised_form(difficulty: float) -> None:
    rendered = RenderedWords(charset=ASCII_94, max_length=25, seed=0, difficulty=difficulty)
    for index in range(80):
        original, text = rendered.render(index)
        assert original.mode == "RGB"
        assert 12 <= original.height <= 160  # 96, or more where letters would be too small
        assert original.width >= 4
        assert text


def _contrast(original: Image.Image) -> float:
    """Distance between the darkest and the lightest hundredth of the image in its most telling
    channel.
    """
    low, high = np.percentile(np.asarray(original, dtype=np.float32), [1, 99], axis=(0, 1))
    return float((high - low).max())


@pytest.mark.parametrize(("difficulty", "least"), [(0.0, 60.0), (0.5, 18.0), (1.0, 8.0)])
def test_no_image_is_blank(difficulty: float, least: float) -> None:
    render = WordRenderer(difficulty=difficulty)
    for index in range(120):
        original = render("Word", np.random.default_rng([11, index]))
        assert _contrast(original) > least, index


def test_single_marks_are_told_apart_by_their_place() -> None:
    render = WordRenderer(difficulty=0.0)
    for index in range(20):
        rows = []
        for text in ("'", "."):
            gray = np.asarray(
                render(text, np.random.default_rng(index)).convert("L"), dtype=np.float32
            )
            ink = np.abs(gray - np.median(gray))
            rows.append(float((ink.sum(axis=1) * np.linspace(0, 1, len(ink))).sum() / ink.sum()))
        assert rows[0] < rows[1]


def test_sample_depends_on_seed_and_index_alone(words: RenderedWords) -> None:
    twin = RenderedWords(charset=ASCII_94, max_length=25, seed=7)
    forward = [words.render(index) for index in range(12)]
    for index in reversed(range(12)):
        original, text = twin.render(index)
        assert text == forward[index][1]
        assert original.tobytes() == forward[index][0].tobytes()
    other = RenderedWords(charset=ASCII_94, max_length=25, seed=8)
    assert [other.render(index)[1] for index in range(12)] != [text for _, text in forward]


def test_another_process_draws_the_same(words: RenderedWords, tmp_path: Path) -> None:
    (tmp_path / "words.pkl").write_bytes(pickle.dumps(words))
    code = (
        "import pickle, sys, zlib; words = pickle.load(open(sys.argv[1], 'rb'));"
        "print([(t, zlib.crc32(p.tobytes())) for p, t in map(words.render, range(5))])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "words.pkl")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONIOENCODING": "utf-8"},
    )
    expected = [
        (text, zlib.crc32(original.tobytes())) for original, text in map(words.render, range(5))
    ]
    assert answer.stdout.strip() == repr(expected)


def test_mixture_of_difficulties_holds_easy_and_hard_words() -> None:
    def sharpness(difficulty: Difficulty) -> list[float]:
        rendered = RenderedWords(charset=ASCII_94, max_length=8, seed=2, difficulty=difficulty)
        return sorted(measure(*rendered.render(index))["sharpness"] for index in range(100))

    easy, mixed, hard = (sum(sharpness(difficulty)) for difficulty in (0.1, (0.1, 1.0), 1.0))
    assert hard < mixed < easy


def test_files_hold_the_images_that_are_drawn() -> None:
    rendered = RenderedWords(charset=ASCII_94, max_length=8, seed=2, difficulty=0.7)
    exact = 0
    for index in range(40):
        original, text = rendered.render(index)
        encoded, label = rendered.render_encoded(index)
        read = open_bytes(encoded)
        assert (label, read.size, read.mode) == (text, original.size, "RGB")
        difference = np.abs(np.asarray(read, dtype=int) - np.asarray(original, dtype=int))
        assert difference.mean() < 4
        exact += int(not difference.any())
    assert exact > 10, "those that were compressed while they were drawn are stored as they are"


def test_corpus_and_settings_are_passed_on(tmp_path: Path) -> None:
    corpus = tmp_path / "words.txt"
    corpus.write_text("zebra\n", encoding="utf-8")
    rendered = RenderedWords(
        charset="abezrABEZR",
        max_length=8,
        seed=0,
        corpus=corpus,
        mixture={"corpus": 1.0},
        style={"height_median": 30, "height_spread": 0, "least_em": 4},
    )
    for index in range(5):
        original, text = rendered.render(index)
        assert (text, original.height) == ("zebra", 30)


def test_global_random_state_is_left_alone(words: RenderedWords) -> None:
    before = np.random.get_state()[1].copy()
    words.render(0)
    assert np.array_equal(before, np.random.get_state()[1])


def test_synth_does_not_need_torch() -> None:
    for file in BUNDLED_FONTS.parent.glob("*.py"):
        assert "import torch" not in file.read_text(encoding="utf-8")


def test_capitals_fonts_are_kept_from_small_letters() -> None:
    shelf = FontShelf()
    capitals_only = {path for path in shelf.paths if shelf.is_unicase(path)}
    names = {Path(path).stem.split("-")[0] for path in capitals_only}
    assert {"BebasNeue", "Cinzel", "Bungee"} <= names
    assert not {"Roboto", "Arvo", "Lobster"} & names
    assert capitals_only.isdisjoint(shelf.fitting("open"))
    assert capitals_only <= set(shelf.fitting("OPEN"))


def test_bundled_fonts_draw_all_printable_ascii() -> None:
    shelf = FontShelf()
    for char in ASCII_94:
        assert len(shelf.fitting(char)) >= 20, char


def test_lines_keep_their_spaces_though_a_character_has_no_glyph() -> None:
    words = RenderedWords(charset="abc 漢", max_length=12, seed=0, difficulty=0)
    labels = [words.render(index)[1] for index in range(12)]
    assert any(" " in label for label in labels)
    assert set("".join(labels)) <= set("abc ")


def test_the_command_says_what_it_did_not_draw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        [
            "render",
            str(tmp_path / "few"),
            "--count",
            "1",
            "--charset",
            "abcdefghij漢字 \u200b",
            "--workers",
            "1",
        ]
    )
    said = capsys.readouterr().err
    assert "no font has 2 of the charset's characters (漢 字): give --fonts" in said
    label = LmdbWords(tmp_path / "few").labels[0]
    never = [char for char in "abcdefghij" if char not in label]
    assert (
        f"never rendered: {len(never) + (' ' not in label)} of the charset's characters "
        f"({' '.join(never)}" in said
    )
    run(["render", str(tmp_path / "more"), "--count", "30", "--charset", "ab", "--workers", "1"])
    assert "charset" not in capsys.readouterr().err


def test_characters_without_a_glyph_are_left_out() -> None:
    rendered = RenderedWords(charset="abc漢", max_length=5, seed=0)
    assert rendered.undrawable == "漢"
    assert all(set(rendered.render(index)[1]) <= set("abc") for index in range(30))
    with pytest.raises(ValueError, match="no font can draw"):
        WordRenderer()("漢", np.random.default_rng(0))
    with pytest.raises(ValueError, match="no font can draw"):
        RenderedWords(charset="漢字", max_length=5, seed=0)


def test_every_bundled_font_comes_with_its_license() -> None:
    table = (BUNDLED_FONTS / "README.md").read_text(encoding="utf-8")
    fonts = sorted(BUNDLED_FONTS.glob("*.ttf"))
    assert len({font.name.split("-")[0] for font in fonts}) >= 20
    assert sum(file.stat().st_size for file in BUNDLED_FONTS.iterdir()) <= 12 * 2**20
    for font in fonts:
        license = (BUNDLED_FONTS / f"{font.name.split('-')[0]}-LICENSE.txt").read_text(
            encoding="utf-8"
        )
        assert "SIL OPEN FONT LICENSE" in license.upper() or "APACHE LICENSE" in license.upper()
        assert "copyright" in license[:400].lower()
        assert f"`{font.name}`" in table


def test_length() -> None:
    assert len(RenderedWords(charset="ab", max_length=3, seed=0, size=5)) == 5
    with pytest.raises(TypeError, match="endless"):
        len(RenderedWords(charset="ab", max_length=3, seed=0))
    with pytest.raises(IndexError, match=r"0\.\.4"):
        RenderedWords(charset="ab", max_length=3, seed=0, size=5).render(5)
    with pytest.raises(IndexError):
        RenderedWords(charset="ab", max_length=3, seed=0).render(-1)


def test_own_fonts(tmp_path: Path) -> None:
    font = BUNDLED_FONTS / "Arvo-Bold.ttf"
    assert len(FontShelf(fonts=[font]).paths) == 1
    original, _ = RenderedWords(
        charset=unicodedata.normalize("NFC", "abcé"), max_length=4, seed=0, fonts=[font]
    ).render(0)
    assert original.height >= 24
    with pytest.raises(ValueError, match="does not exist"):
        WordRenderer(fonts=[tmp_path / "none.ttf"])
    with pytest.raises(ValueError, match="folder"):
        WordRenderer(fonts=[tmp_path])
    with pytest.raises(ValueError, match="no usable font"):
        WordRenderer(fonts=[])


@pytest.mark.parametrize("difficulty", [-0.1, 1.1, float("nan"), (0.6, 0.2), (0.2, 1.2)])
def test_difficulty_outside_range_is_refused(difficulty: Difficulty) -> None:
    with pytest.raises(ValueError, match="difficulty"):
        WordRenderer(difficulty=difficulty)


def test_bad_settings_are_refused() -> None:
    for charset in ("", " \n"):
        with pytest.raises(ValueError, match="charset"):
            TextSampler(charset=charset, max_length=5)
    with pytest.raises(ValueError, match="max_length"):
        TextSampler(charset="a", max_length=0)
    with pytest.raises(ValueError, match="seed"):
        RenderedWords(charset="a", max_length=5, seed=-1)
    with pytest.raises(ValueError, match="size"):
        RenderedWords(charset="a", max_length=5, seed=0, size=-1)
    with pytest.raises(ValueError, match="nothing to render"):
        WordRenderer()("  ", np.random.default_rng(0))


def test_blanks_have_no_letters_and_no_text() -> None:
    """With nothing on them, images of clean words are all but flat; where there is a word, they are
    not.
    """
    words = RenderedWords(charset="ABCDEFGH", max_length=6, seed=1, difficulty=0.0, blanks=0.5)
    spread: dict[bool, list[float]] = {True: [], False: []}
    for index in range(60):
        original, text = words.render(index)
        spread[text == ""].append(float(np.asarray(original.convert("L"), dtype=np.float32).std()))
    assert 15 < len(spread[True]) < 45
    assert np.median(spread[True]) < 8 < 25 < np.median(spread[False])
    with pytest.raises(ValueError, match="fraction"):
        RenderedWords(charset="a", max_length=5, seed=0, blanks=1.5)
