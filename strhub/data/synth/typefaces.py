"""The fonts of the word renderer: opening them, weighing them and knowing what they can draw.

In: font files or folders, or none for the fonts of the package. Out: a `FontShelf` that chooses
fonts for a text, and `open_font`, which opens one for a size. Opened fonts live in per-process
caches and never travel in a pickle.

How often a class of the package's fonts is chosen (`CLASS_FRACTIONS`), as signs, packs and screens
look: heavy sans serifs first. Within a class every font is as likely. The fonts and their classes
    are listed in `fonts/README.md`.

===========  =====    ===========  =====    ===========  =====
class        share    class        share    class        share
===========  =====    ===========  =====    ===========  =====
sans-bold    0.30     slab         0.06     mono         0.02
sans         0.12     display      0.06     pixel        0.015
condensed    0.16     rounded      0.05     stencil      0.01
serif        0.13     script       0.04     blackletter  0.005
..                    handwriting  0.03
===========  =====    ===========  =====    ===========  =====
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from strhub.data.synth.fontfiles import (
    BUNDLED_FONTS,
    find_fonts,
    split_name,
)
from strhub.data.synth.glyphs import _is_unicase, has_glyph, joins, open_font
from strhub.data.synth.shaping import clusters, is_ignorable, layout_engine_for, shaping_probe

__all__ = ["BUNDLED_FONTS", "CLASS_FRACTIONS", "FONT_CLASSES", "FontShelf", "open_font"]

CLASS_FRACTIONS: Mapping[str, float] = {
    "sans-bold": 0.30,
    "sans": 0.12,
    "condensed": 0.16,
    "serif": 0.13,
    "slab": 0.06,
    "display": 0.06,
    "rounded": 0.05,
    "script": 0.04,
    "handwriting": 0.03,
    "mono": 0.02,
    "pixel": 0.015,
    "stencil": 0.01,
    "blackletter": 0.005,
}
FONT_CLASSES: Mapping[str, tuple[str, ...]] = {
    "sans-bold": (
        "ArchivoBlack-Regular", "Arimo-Bold", "Cabin-Bold", "DMSans-Bold", "JosefinSans-Bold",
            "Jost-Bold",
        "Karla-Bold", "Lato-Black", "LeagueSpartan-Bold", "LibreFranklin-Bold", "OpenSans-Bold",
        "Outfit-Black", "Overpass-Bold", "Poppins-Bold", "Roboto-Bold", "TitilliumWeb-Bold",
    ),
    "sans": ("DMSans-Regular", "Jost-Regular", "Lato-Regular", "Outfit-Regular", "Roboto-Regular"),
    "condensed": (
        "Anton-Regular", "Antonio-Bold", "ArchivoNarrow-Bold", "ArchivoNarrow-Regular",
            "BarlowCondensed-Bold",
        "BebasNeue-Regular", "LeagueGothic-Regular", "Oswald-Regular", "PathwayGothicOne-Regular",
        "RobotoCondensed-Bold",
    ),
    "serif": (
        "BodoniModa-Bold", "Cinzel-Bold", "CrimsonText-Bold", "CrimsonText-Regular",
            "DMSerifDisplay-Regular",
        "Domine-Bold", "Domine-Regular", "LibreBaskerville-Regular", "LibreCaslonText-Regular",
        "PlayfairDisplay-Bold",
    ),
    "slab": ("AlfaSlabOne-Regular", "Arvo-Bold", "Arvo-Regular", "RobotoSlab-Bold"),
    "display": (
        "AbrilFatface-Regular", "Audiowide-Regular", "Bangers-Regular", "BubblegumSans-Regular",
            "Bungee-Regular",
        "CarterOne-Regular", "Chewy-Regular", "Creepster-Regular", "LilitaOne-Regular",
        "LuckiestGuy-Regular", "Monoton-Regular", "Orbitron-Bold", "Righteous-Regular",
        "RussoOne-Regular",
    ),
    "rounded": ("Fredoka-SemiBold", "Nunito-Bold", "Quicksand-Bold", "VarelaRound-Regular"),
    "script": (
        "DancingScript-Bold", "KaushanScript-Regular", "Lobster-Regular", "OleoScript-Bold",
            "Sacramento-Regular",
        "Satisfy-Regular", "Yellowtail-Regular",
    ),
    "handwriting": (
        "GloriaHallelujah-Regular", "GochiHand-Regular", "IndieFlower-Regular",
            "PatrickHand-Regular",
        "PermanentMarker-Regular", "Schoolbell-Regular", "ShadowsIntoLight-Regular",
    ),
    "mono": (
        "CourierPrime-Bold", "CourierPrime-Regular", "ShareTechMono-Regular", "SpaceMono-Bold",
            "SpecialElite-Regular",
    ),
    "pixel": ("DSEG14Classic-Bold", "PressStart2P-Regular", "Silkscreen-Regular", "VT323-Regular"),
    "stencil": ("AllertaStencil-Regular", "SairaStencilOne-Regular"),
    "blackletter": ("PirataOne-Regular", "UnifrakturMaguntia-Regular"),
}  # fmt: skip


def _weights(names: Sequence[str]) -> list[float]:
    """Return weights the package's fonts by class; another file gets what one of them has on
    average.

    The instances of a variable font share the weight of their file.
    """
    classes = {
        stem: CLASS_FRACTIONS[kind] / len(stems)
        for kind, stems in FONT_CLASSES.items()
        for stem in stems
    }
    usual = 1.0 / len(classes)
    paths = [Path(split_name(name)[0]) for name in names]
    shared = {path: paths.count(path) for path in dict.fromkeys(paths)}
    return [
        (classes.get(path.stem, usual) if path.parent == BUNDLED_FONTS else usual) / shared[path]
        for path in paths
    ]


class FontShelf:
    """A fixed, ordered choice of fonts; `paths` holds their names, as `open_font` takes them.

    Args:
        fonts: font files or folders of them, `"bundled"` or `"system"`, see `find_fonts`; None
            takes the fonts that come with the package.

    Raises:
        ValueError: for a missing file, a folder without fonts or if no usable font is left.
    """

    def __init__(self, *, fonts: Sequence[str | Path] | None = None) -> None:
        self.paths = find_fonts(fonts)
        self.weights = _weights(self.paths)
        self._holders: dict[str, int] = {}

    def choose(self, text: str, rng: np.random.Generator) -> str:
        """Return one of the fonts that `fitting` names, by weight.

        Raises:
            ValueError: if no font has every glyph of `text`.
        """
        holders = self._holders_of_all(text)
        numbers = [number for number in range(len(self.paths)) if holders >> number & 1]
        if not numbers:
            raise ValueError(
                f"no font can draw {text!r}; add a font with these characters or shorten the "
                "charset"
            )
        ends = list(accumulate(self.weights[number] for number in numbers))
        return self.paths[numbers[min(bisect(ends, rng.random() * ends[-1]), len(numbers) - 1)]]

    def fitting(self, text: str) -> list[str]:
        """Return, in shelf order, all fonts that have every glyph of `text`, joined forms included.

        Fonts of capitals only are left out for a text with lower case letters: their image of
        "open" reads "OPEN", so the label would be wrong.

        Raises:
            ValueError: if `text` needs shaping and this machine has no library for it; see
                `layout_engine_for`.
        """
        holders = self._holders_of_all(text)
        return [path for number, path in enumerate(self.paths) if holders >> number & 1]

    def is_unicase(self, path: str) -> bool:
        """Return whether the font `path` draws lower case letters as capitals."""
        return _is_unicase(path)

    def has_glyphs(self, path: str, text: str) -> bool:
        """Return whether the font `path` has a glyph for every character of `text`, of whatever
        shape.
        """
        return all(char.isspace() or is_ignorable(char) or has_glyph(path, char) for char in text)

    def drawable_part(self, text: str) -> str:
        """Return `text` without the letters that its best fitting font lacks; may be empty.

        A letter goes with its marks: what is left never has a mark on another letter than before.
        """
        parts = [(cluster, self._holders_of_all(cluster)) for cluster in clusters(text)]
        best = ""
        for number in range(len(self.paths)):
            part = "".join(cluster for cluster, holders in parts if holders >> number & 1)
            best = part if len(part) > len(best) else best
        return best

    def _holders_of_all(self, text: str) -> int:
        layout_engine_for(text)
        holders = (1 << len(self.paths)) - 1
        for char in set(text):
            holders &= self._holders_of(char)
        return holders

    def _holders_of(self, char: str) -> int:
        """Return the fonts that can draw `char` as a bit per font: asked for each letter of each
        word.
        """
        if char not in self._holders:
            bits = 0
            for number, path in enumerate(self.paths):
                bits |= int(self._holds(path, char)) << number
            self._holders[char] = bits
        return self._holders[char]

    @staticmethod
    def _holds(path: str, char: str) -> bool:
        if char.isspace() or is_ignorable(char):
            return True
        if not has_glyph(path, char) or (char.islower() and _is_unicase(path)):
            return False
        probe = shaping_probe(char)
        return not probe or joins(path, probe)
