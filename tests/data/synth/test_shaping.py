"""Complex scripts: found out by text, drawn whole and joined, or refused with what to install."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont, features

from strhub.data.synth import shaping
from strhub.data.synth.fontfiles import BUNDLED_FONTS
from strhub.data.synth.shaping import clusters, layout_engine_for, needs_shaping
from strhub.data.synth.typefaces import FontShelf, open_font

FONTS = Path(__file__).with_name("fonts")
ARABIC, DEVANAGARI = FONTS / "NotoSansArabic-Medium.ttf", FONTS / "NotoSansDevanagari-Medium.ttf"
CAN_SHAPE = bool(features.check("raqm"))

PLAIN = ["", "Straße", "Αθήνα", "Київ", "東京", "カフェ", "안녕", "12.50€", "½", "Ünïcödé"]
COMPLEX = [
    "سلام",
    "שלום",
    "हिन्दी",
    "বাংলা",
    "ไทย",
    "ខ្មែរ",
    "မြန်မာ",
    "e\u0301",
    "a\u200db",
    "\u1112\u1161\u11ab",
    "١٢",
]


@pytest.mark.parametrize("text", PLAIN)
def test_simple_scripts_use_the_basic_engine(text: str) -> None:
    assert not needs_shaping(text)
    assert layout_engine_for(text) is ImageFont.Layout.BASIC


@pytest.mark.parametrize("text", COMPLEX)
def test_complex_scripts_need_shaping(text: str) -> None:
    assert needs_shaping(text)
    assert needs_shaping(f"abc{text}")


@pytest.mark.parametrize("text", COMPLEX)
def test_without_a_shaping_library_they_are_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shaping, "_can_shape", lambda: False)
    with pytest.raises(ValueError, match=r"install FriBiDi.*PIL\.features\.check\('raqm'\)"):
        layout_engine_for(text)
    with pytest.raises(ValueError, match="install FriBiDi"):
        FontShelf(fonts=[ARABIC]).fitting(text)
    assert layout_engine_for("plain") is ImageFont.Layout.BASIC


def ink(text: str, font: ImageFont.FreeTypeFont) -> np.ndarray:
    canvas = Image.new("L", (400, 90))
    ImageDraw.Draw(canvas).text((20, 60), text, fill=255, font=font, anchor="ls")
    return np.asarray(canvas, dtype=np.float32)


def columns_of(original: np.ndarray) -> int:
    return int(np.ptp(original.any(axis=0).nonzero()[0]))


@pytest.mark.parametrize(
    ("text", "path"),
    [("سلام", ARABIC), ("مَدرَسة", ARABIC), ("हिन्दी", DEVANAGARI), ("क्षत्रिय", DEVANAGARI)],
)
def test_words_are_drawn_shaped(text: str, path: Path) -> None:
    if not CAN_SHAPE:
        with pytest.raises(ValueError, match="install FriBiDi"):
            FontShelf(fonts=[FONTS]).choose(text, np.random.default_rng(0))
        return
    shelf = FontShelf(fonts=[FONTS])
    assert shelf.fitting(text) == [str(path)]
    assert shelf.choose(text, np.random.default_rng(0)) == str(path)
    shaped = ink(text, open_font(str(path), 36, layout_engine_for(text)))
    bare = ink(text, open_font(str(path), 36))
    assert shaped.max() == 255
    assert np.abs(shaped - bare).mean() > 1.0
    # Joined letters and conjuncts take less room than the bare ones side by side.
    assert columns_of(shaped) < columns_of(bare)


def test_right_to_left_words_start_at_the_right() -> None:
    if not CAN_SHAPE:
        with pytest.raises(ValueError, match="install FriBiDi"):
            layout_engine_for("ال")
        return
    # Alef, the first letter, is a lone upright stroke; with a wide letter behind it, it must stand
    # at the right end.
    word = ink("اس", open_font(str(ARABIC), 36, layout_engine_for("اس")))
    columns = word.any(axis=0).nonzero()[0]
    right = word[:, columns[-1] - 5 : columns[-1] + 1]
    assert np.ptp(right.any(axis=1).nonzero()[0]) > 20


def test_a_font_without_joined_forms_is_not_used(tmp_path: Path) -> None:
    if not CAN_SHAPE:
        with pytest.raises(ValueError, match="install FriBiDi"):
            layout_engine_for("कि")
        return
    data = bytearray(DEVANAGARI.read_bytes())
    for tag in (b"GSUB", b"GPOS"):
        offset = data.index(tag, 12)
        data[offset : offset + 4] = (
            b"X" + tag[1:]
        )  # shaping finds no forms to put in place of the bare letters
    (tmp_path / "bare.ttf").write_bytes(data)
    assert FontShelf(fonts=[DEVANAGARI]).fitting("कि")
    shelf = FontShelf(fonts=[tmp_path])
    assert shelf.has_glyphs(shelf.paths[0], "कि")
    assert shelf.fitting("कि") == []


def test_drawable_part_keeps_marks_on_their_letters() -> None:
    if not CAN_SHAPE:
        with pytest.raises(ValueError, match="install FriBiDi"):
            layout_engine_for("कि")
        return
    assert FontShelf(fonts=[DEVANAGARI]).drawable_part("किب") == "कि"
    assert FontShelf(fonts=[ARABIC]).drawable_part("किب") == "ب"
    assert FontShelf(fonts=[BUNDLED_FONTS / "Arvo-Bold.ttf"]).drawable_part("aकिb") == "ab"
    assert clusters("कि") == ["कि"]


def test_test_fonts_come_with_their_license() -> None:
    for font in FONTS.glob("*.ttf"):
        license = (FONTS / f"{font.name.split('-')[0]}-LICENSE.txt").read_text(encoding="utf-8")
        assert "SIL OPEN FONT LICENSE" in license.upper()
