"""The font files of the word renderer: finding them, opening them lazily and knowing what they can draw.

In: font paths (or none for the fonts of the package). Out: a `FontShelf` that hands out Pillow fonts per size and
answers which fonts can draw a text. Opened fonts live in per-process caches and never travel in a pickle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

__all__ = ["BUNDLED_FONTS", "FontShelf", "open_font"]

BUNDLED_FONTS = Path(__file__).with_name("fonts")
_SUFFIXES = (".ttf", ".otf", ".ttc")
_PROBE_SIZE = 32
# A code point that no font assigns, so that it is drawn with the font's own "missing glyph" box.
_UNASSIGNED = "\U0003fffe"
# Letters whose two cases differ in shape and not in size alone, in fonts that have both.
_CASE_PROBES = "abdeghnqrt"


@lru_cache(maxsize=2048)
def open_font(path: str, size: int) -> ImageFont.FreeTypeFont:
    """Returns the font at `path` for `size` pixels per em, opened once per process.

    Basic layout keeps the drawing independent of whether a shaping library is present on the machine.
    """
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=1024)
def _notdef(path: str) -> tuple[tuple[int, int], bytes]:
    return _glyph(path, _UNASSIGNED)


def _glyph(path: str, char: str) -> tuple[tuple[int, int], bytes]:
    mask = open_font(path, _PROBE_SIZE).getmask(char, mode="L")
    return mask.size, bytes(mask)


@lru_cache(maxsize=65536)
def _has_glyph(path: str, char: str) -> bool:
    size, pixels = _glyph(path, char)
    return any(pixels) and (size, pixels) != _notdef(path)


@lru_cache(maxsize=1024)
def _is_unicase(path: str) -> bool:
    """Whether the font draws lower case letters as (small) capitals, judged by shape at one common size."""
    font = open_font(path, _PROBE_SIZE)
    alike = tested = 0
    for char in _CASE_PROBES:
        if not (_has_glyph(path, char) and _has_glyph(path, char.upper())):
            continue
        shapes = []
        for form in (char, char.upper()):
            mask = font.getmask(form, mode="L")
            picture = Image.frombytes("L", mask.size, bytes(mask))
            picture = picture.crop(picture.getbbox() or (0, 0, 1, 1)).resize((16, 16), Image.Resampling.BOX)
            shapes.append(np.asarray(picture, dtype=np.float32).ravel())
        tested += 1
        alike += int(np.corrcoef(shapes[0], shapes[1])[0, 1] > 0.85)
    return tested > 0 and alike * 2 > tested


def _font_files(fonts: Sequence[str | Path] | None) -> tuple[str, ...]:
    """Expands folders, checks that every file exists and sorts what came from folders by name."""
    sources: Iterable[Path] = [BUNDLED_FONTS] if fonts is None else [Path(font) for font in fonts]
    files: list[Path] = []
    for source in sources:
        if source.is_dir():
            found = sorted(file for file in source.iterdir() if file.suffix.lower() in _SUFFIXES)
            if not found:
                raise ValueError(f"font folder {source} holds no {', '.join(_SUFFIXES)} file; put fonts into it")
            files.extend(found)
        elif source.is_file():
            files.append(source)
        else:
            raise ValueError(f"font file {source} does not exist; check the path or leave fonts=None")
    if not files:
        raise ValueError("fonts is empty; pass at least one font file, or None for the fonts of the package")
    return tuple(str(file) for file in files)


class FontShelf:
    """A fixed, ordered choice of fonts.

    Args:
        fonts: font files or folders of font files; None takes the fonts that come with the package.

    Raises:
        ValueError: for a missing file, a folder without fonts or an empty list.
    """

    def __init__(self, *, fonts: Sequence[str | Path] | None = None) -> None:
        self.paths = _font_files(fonts)
        self._holders: dict[str, int] = {}

    def fitting(self, text: str) -> list[str]:
        """Returns the paths, in shelf order, of all fonts that have every glyph of `text`.

        Fonts of capitals only are left out for a text with lower case letters: their picture of "open" reads
        "OPEN", so the label would be wrong.
        """
        holders = (1 << len(self.paths)) - 1
        for char in set(text):
            holders &= self._holders_of(char)
        return [path for number, path in enumerate(self.paths) if holders >> number & 1]

    def is_unicase(self, path: str) -> bool:
        """Returns whether the font at `path` draws lower case letters as capitals."""
        return _is_unicase(path)

    def has_glyphs(self, path: str, text: str) -> bool:
        """Returns whether the font at `path` has a glyph for every character of `text`, of whatever shape."""
        return all(char.isspace() or _has_glyph(path, char) for char in text)

    def drawable_part(self, text: str) -> str:
        """Returns `text` without the characters that its best fitting font lacks; may be empty."""
        parts = []
        for number in range(len(self.paths)):
            parts.append("".join(char for char in text if self._holders_of(char) >> number & 1))
        return max(parts, key=len)

    def _holders_of(self, char: str) -> int:
        """Returns the fonts that can draw `char` as a bit per font: asked for each letter of each word."""
        if char not in self._holders:
            bits = 0
            for number, path in enumerate(self.paths):
                if char.isspace() or (_has_glyph(path, char) and not (char.islower() and _is_unicase(path))):
                    bits |= 1 << number
            self._holders[char] = bits
        return self._holders[char]
