"""Which texts need a shaping engine, whether one is there, and where a text may be cut.

In: a text in logical order, as labels hold it. Out: the layout engine that Pillow must draw it
with. Arabic letters join, Hebrew runs from right to left, Indic vowel signs move before their
consonant: rendered letter by letter such a text shows something else than its label says. Pillow's
Raqm engine (HarfBuzz with FriBiDi) does all of it; without Raqm such a text is refused, never drawn
wrongly.

How to draw: `font = open_font(path, size, layout_engine_for(text))`, then the whole text in one
call of `ImageDraw.text`, with its label left in logical order. Where `needs_shaping(text)` holds,
never draw letter by letter
and add no space between letters: joined letters would come apart.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont, features

__all__ = [
    "clusters",
    "is_ignorable",
    "is_mark",
    "layout_engine_for",
    "needs_shaping",
    "shaping_probe",
]

# Blocks with conjuncts, stacked or reordered letters, beside what runs from right to left and what
# holds marks.
_SHAPED_BLOCKS = (
    (
        0x0590,
        0x0FFF,
    ),  # Hebrew, Arabic, Syriac, Thaana, N'Ko; Indic scripts, Sinhala, Thai, Lao, Tibetan
    (0x1000, 0x109F),  # Burmese
    (
        0x1100,
        0x11FF,
    ),  # Korean letters that are put together to syllables; whole syllables need nothing
    (0x1700, 0x18AF),  # Philippine scripts, Khmer, Mongolian
    (0x1900, 0x1AAF),  # Limbu to Tai Tham
    (0x1B00, 0x1C4F),  # Balinese, Sundanese, Batak, Lepcha
    (0x200C, 0x200F),  # joiners and direction marks
    (0xA800, 0xA82F),
    (0xA840, 0xA8FF),  # Phags-pa, Saurashtra, Devanagari Extended
    (0xA930, 0xA9FF),  # Rejang, Javanese, Burmese
    (0xAA00, 0xAADF),  # Cham, Tai Viet
    (0xABC0, 0xABFF),
    (0xFB1D, 0xFDFF),  # presentation forms
    (0xFE70, 0xFEFC),
    (0x10800, 0x11FFF),
    (0x1E800, 0x1EFFF),
)
# A few letters per script that a font with the forms for that script draws otherwise when shaped:
# joined letters, a conjunct. Moved vowel signs would not do: those are moved whatever the font has.
_PROBES = (
    ((0x0600, 0x06FF), "بب"),
    ((0x0700, 0x074F), "ܒܒ"),
    ((0x0900, 0x097F), "क्र"),
    ((0x0980, 0x09FF), "ক্র"),
    ((0x0A00, 0x0A7F), "ਕ੍ਰ"),
    ((0x0A80, 0x0AFF), "ક્ર"),
    ((0x0B00, 0x0B7F), "କ୍ର"),
    ((0x0B80, 0x0BFF), "க்ஷ"),
    ((0x0C00, 0x0C7F), "క్ర"),
    ((0x0C80, 0x0CFF), "ಕ್ರ"),
    ((0x0D00, 0x0D7F), "ക്ര"),
    ((0x1000, 0x109F), "က္က"),
    ((0x1780, 0x17FF), "ក្ក"),
)
_NEEDS_RAQM = (
    "drawing {text!r} needs Pillow with Raqm and the FriBiDi library, which are not found here; "
    "install FriBiDi "
    "(Debian and Ubuntu: apt install libfribidi0; macOS: brew install fribidi; Windows: "
    "fribidi.dll on PATH) and a "
    "Pillow wheel from PyPI, then check that PIL.features.check('raqm') is true, or leave such "
    "text out"
)


def is_mark(char: str) -> bool:
    """Return whether `char` is a combining mark, which never stands alone."""
    return not char.isascii() and unicodedata.category(char)[0] == "M"


def is_ignorable(char: str) -> bool:
    """Return whether `char` steers shaping and has no image: a joiner, direction mark or variation
    selector.
    """
    if char.isascii():
        return False
    return (
        unicodedata.category(char) == "Cf"
        or 0xFE00 <= ord(char) <= 0xFE0F
        or 0xE0100 <= ord(char) <= 0xE01EF
    )


@lru_cache(maxsize=65536)
def _is_shaped(char: str) -> bool:
    code = ord(char)
    if any(first <= code <= last for first, last in _SHAPED_BLOCKS):
        return True
    return (
        unicodedata.bidirectional(char) in ("R", "AL", "AN") or is_mark(char) or is_ignorable(char)
    )


def needs_shaping(text: str) -> bool:
    """Return whether `text` can't be rendered letter by letter: it joins, stacks, reorders or runs
    right to left.
    """
    return not text.isascii() and any(map(_is_shaped, text))


def layout_engine_for(text: str) -> ImageFont.Layout:
    """Return the engine to open a font with for `text`: basic wherever that is right, for it is
    the same everywhere.

    Raises:
        ValueError: if `text` needs shaping and this Pillow can't shape; the message says what to
            install.
    """
    if not needs_shaping(text):
        return ImageFont.Layout.BASIC
    if not _can_shape():
        raise ValueError(_NEEDS_RAQM.format(text=text))
    return ImageFont.Layout.RAQM


def _can_shape() -> bool:
    # Pillow reports Raqm only if FriBiDi, which its wheels look for at run time, was found as well.
    return bool(features.check("raqm"))


def shaping_probe(char: str) -> str:
    """Return a short text that looks different when shaped, in the script of `char`; empty for
    most scripts.
    """
    code = ord(char)
    for (first, last), probe in _PROBES:
        if first <= code <= last:
            return probe
    return ""


def clusters(text: str) -> list[str]:
    """Split `text` into the smallest parts that may be cut apart: a letter with its marks, an Indic
    conjunct.

    Joined, the parts are `text` again. A mark without a letter before it starts a part of its own.
    """
    parts: list[str] = []
    tied = False
    for char in text:
        follows = bool(parts) and (tied or is_mark(char) or is_ignorable(char))
        if follows:
            parts[-1] += char
        else:
            parts.append(char)
        # A virama (combining class 9) or a zero width joiner binds the next letter.
        tied = char == "\u200d" or unicodedata.combining(char) == 9
    return parts
