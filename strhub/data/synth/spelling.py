"""How a charset can spell what it lacks: in the other case, without an accent, or not at all."""

from __future__ import annotations

import unicodedata

from strhub.data.synth.text_tables import SPELLINGS


class Spelling:
    """Spells texts by the characters of a charset."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self._allowed = allowed
        self._spelled: dict[str, str] = {}

    def fit(self, text: str) -> str:
        """Fit `text` into the charset: swap the case where only the other case is allowed, and drop
        the rest.
        """
        return text if self._allowed.issuperset(text) else "".join(map(self.of, text))

    def of(self, char: str) -> str:
        """Return `char` as the charset can spell it: itself, its other case, without its accent,
        or nothing.
        """
        if char not in self._spelled:
            plain = SPELLINGS.get(char) or unicodedata.normalize("NFD", char)[0]
            forms = (char, char.lower(), char.upper(), plain, plain.lower(), plain.upper())
            self._spelled[char] = next(
                (form for form in forms if self._allowed.issuperset(form)), ""
            )
        return self._spelled[char]

    def own(self, char: str) -> str | None:
        """Do as `of` but for accents; None for a letter, mark or digit that the charset lacks."""
        for form in (char, char.lower(), char.upper()):
            if form in self._allowed:
                return form
        return None if unicodedata.category(char)[0] in "LMN" else ""
