"""What the glyphs of a font are: there or not, joined, of one case, bold."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFont

from strhub.data.synth.fontfiles import (
    BUNDLED_FONTS,
    PROBE_SIZE,
    characters_of,
    check_extent,
    split_name,
)
from strhub.data.synth.shaping import layout_engine_for

# Characters of the package's fonts whose image shows another character, or none that a reader
# knows.
_MISLEADING: Mapping[str, frozenset[str]] = {
    "DSEG14Classic-Bold": frozenset("!\"#$%&'(),/;<>?@[\\]^`{|}~"),
    "Monoton-Regular": frozenset("amqw"),
    "UnifrakturMaguntia-Regular": frozenset("IJk"),
}

# A code point that no font assigns, so that it is drawn with the font's own "missing glyph" box.
_UNASSIGNED = "\U0003fffe"

# Letters whose two cases differ in shape and not in size alone, in fonts that have both.
_CASE_PROBES = "abdeghnqrt"

# Correlation of the two cases' images: at least 0.7 for most letters of every font of capitals that
# was looked at, at most 0.6 for most letters of all others.
_SIMILAR = 0.65

# Capitals of two designs, which the images do not distinguish.
_CAPITALS = ("Monoton-Regular",)


@lru_cache(maxsize=512)
def open_font(
    name: str, size: int, engine: ImageFont.Layout = ImageFont.Layout.BASIC
) -> ImageFont.FreeTypeFont:
    """Return the font `name` of a `FontShelf` for `size` pixels per em; a process keeps some
    hundred open.

    Basic layout keeps the drawing independent of whether a shaping library is present on the
    machine. A text that needs one (see `shaping`) must be drawn with
    `engine=layout_engine_for(text)`.
    """
    path, instance = split_name(name)
    font = ImageFont.truetype(path, size, layout_engine=engine)
    if instance:
        font.set_variation_by_name(font.get_variation_names()[instance - 1])
    return font


@lru_cache(maxsize=1024)
def _notdef(name: str) -> tuple[tuple[int, int], bytes]:
    font = open_font(name, PROBE_SIZE)
    check_extent(font, _UNASSIGNED)
    mask = font.getmask(_UNASSIGNED, mode="L")
    return mask.size, bytes(mask)


@lru_cache(maxsize=65536)
def has_glyph(name: str, char: str) -> bool:
    """Return whether the font maps `char` to a glyph that is neither blank nor the box for what is
    missing.
    """
    path, _ = split_name(name)
    if char not in characters_of(path) or char in _misleading(path):
        return False
    try:
        font = open_font(name, PROBE_SIZE)
        check_extent(font, char)
        mask = font.getmask(char, mode="L")
        # Sizes first: they nearly always differ, and reading out pixels is what takes the time.
        return mask.getbbox() is not None and (
            mask.size != _notdef(name)[0] or (mask.size, bytes(mask)) != _notdef(name)
        )
    except (OSError, ValueError):
        return False  # an outline that FreeType cannot draw, or one of a gigabyte


@lru_cache(maxsize=4096)
def _misleading(path: str) -> frozenset[str]:
    file = Path(path)
    return _MISLEADING.get(file.stem, frozenset()) if file.parent == BUNDLED_FONTS else frozenset()


@lru_cache(maxsize=4096)
def joins(name: str, probe: str) -> bool:
    """Return whether the font has the joined or moved forms of the script of `probe`, not the bare
    letters alone.

    Raises:
        ValueError: if there is no shaping library to tell.
    """
    if not all(has_glyph(name, char) for char in probe):
        return False
    shaped = open_font(name, PROBE_SIZE, layout_engine_for(probe)).getmask(probe).size
    bare = open_font(name, PROBE_SIZE).getmask(probe).size
    # The two engines round advances differently, which makes for a pixel.
    return abs(shaped[0] - bare[0]) + abs(shaped[1] - bare[1]) > 3


@lru_cache(maxsize=1024)
def _is_unicase(name: str) -> bool:
    """Return whether the font draws lower case letters as (small) capitals, judged by shape at one
    common size.
    """
    file = Path(split_name(name)[0])
    if file.parent == BUNDLED_FONTS and file.stem in _CAPITALS:
        return True
    font = open_font(name, PROBE_SIZE)
    similar = tested = 0
    for char in _CASE_PROBES:
        if not (has_glyph(name, char) and has_glyph(name, char.upper())):
            continue
        shapes = []
        for form in (char, char.upper()):
            mask = font.getmask(form, mode="L")
            image = Image.frombytes("L", mask.size, bytes(mask))
            image = image.crop(image.getbbox() or (0, 0, 1, 1)).resize(
                (16, 16), Image.Resampling.BOX
            )
            shapes.append(np.asarray(image, dtype=np.float32).ravel())
        tested += 1
        similar += int(np.corrcoef(shapes[0], shapes[1])[0, 1] > _SIMILAR)
    return tested > 0 and similar * 2 > tested
