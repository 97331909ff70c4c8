"""Character sets and what happens to a label on its way to one.

In: a label as a data set spells it. Out: the label a model with a given charset is trained on or scored against, or
`DroppedLabel` with the reason. No tensors here.
"""

import re
import unicodedata
from collections import Counter

DIGITS = "0123456789"
LOWER_CASE = "abcdefghijklmnopqrstuvwxyz"
UPPER_CASE = LOWER_CASE.upper()
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

# The orders are those of the published checkpoints: a character's place fixes its token id.
CHARSET_36 = DIGITS + LOWER_CASE
CHARSET_62 = CHARSET_36 + UPPER_CASE
CHARSET_94 = CHARSET_62 + PUNCTUATION

# Letters that Unicode does not decompose into an ASCII letter and a mark, and their usual ASCII spelling.
_ASCII_SPELLING = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D",
        "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "ı": "i", "‘": "'", "’": "'", "“": '"',
        "”": '"', "–": "-", "—": "-", "−": "-",
    }
)  # fmt: skip


class DroppedLabel(ValueError):
    """A label that a model with this charset cannot be trained on; `reason` is a short phrase fit for counting."""

    def __init__(self, reason: str, label: str) -> None:
        super().__init__(f"label {label!r}: {reason}")
        self.reason = reason
        self.label = label

    def __reduce__(self) -> tuple[type["DroppedLabel"], tuple[str, str]]:
        return type(self), (self.reason, self.label)


def check_charset(charset: str) -> str:
    """Return `charset` if it can number tokens; `ValueError` if it is empty, repeats or splits a character."""
    if not charset:
        raise ValueError("the charset is empty: it needs at least one character")
    repeated = [character for character, count in Counter(charset).items() if count > 1]
    if repeated:
        raise ValueError(f"the charset repeats {''.join(repeated)!r}: every character must occur once")
    if unicodedata.normalize("NFC", charset) != charset:
        raise ValueError("the charset is not in Unicode's composed form (NFC): normalise it first")
    return charset


def fold_to_ascii(text: str) -> str:
    """Spell `text` in ASCII where that is customary (é to e, ß to ss); what has no ASCII spelling stays as it is."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_ASCII_SPELLING))
    stripped = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", stripped)


class CharsetAdapter:
    """Bring text to a charset: change the case if the charset has one only, then remove what it does not hold.

    This is the field's rule for scoring: predictions and labels both pass through the adapter of `charset_test`.
    """

    def __init__(self, charset: str) -> None:
        self.charset = check_charset(charset)
        self._lower_only = charset == charset.lower() != charset.upper()
        self._upper_only = charset == charset.upper() != charset.lower()
        self._outside = re.compile(f"[^{re.escape(charset)}]")

    def change_case(self, text: str) -> str:
        """Lower or upper the characters the charset does not hold as they are, if it has one case only."""
        if not (self._lower_only or self._upper_only):
            return text
        return "".join(self._recase(character) for character in text)

    def _recase(self, character: str) -> str:
        if character in self.charset:
            return character
        return character.lower() if self._lower_only else character.upper()

    def __call__(self, text: str) -> str:
        return self._outside.sub("", self.change_case(text))


class LabelPreparation:
    """A data set's label to a charset, keeping every character of it.

    Steps: Unicode's composed form (NFC); folding to ASCII (by default only if the charset is ASCII); runs of white
    space become one space if the charset has it and nothing otherwise; case as `CharsetAdapter`; punctuation outside
    the charset is removed, as is the custom of the field.

    strict: a letter or digit outside the charset drops the label, because a picture that shows a letter its label
        lacks teaches a wrong reading. Scoring is not strict: it removes such characters and keeps the word.
    max_length: the most characters a prepared label may have; None for no limit.

    Raises `DroppedLabel` with the reason "empty", "too long" or "outside the charset".
    """

    def __init__(
        self, charset: str, *, max_length: int | None, fold_ascii: bool | None = None, strict: bool = True
    ) -> None:
        self.adapter = CharsetAdapter(charset)
        self.max_length = max_length
        self.fold_ascii = charset.isascii() if fold_ascii is None else fold_ascii
        self.strict = strict
        self._characters = frozenset(charset)

    def __call__(self, label: str) -> str:
        text = unicodedata.normalize("NFC", label)
        if self.fold_ascii:
            text = "".join(c if c in self._characters else fold_to_ascii(c) for c in text)
        text = (" " if " " in self._characters else "").join(text.split())
        text = self.adapter.change_case(text)
        if self.strict and any(c not in self._characters and c.isalnum() for c in text):
            raise DroppedLabel("outside the charset", label)
        text = " ".join(self.adapter(text).split())  # what was removed may have stood between two spaces
        if not text:
            raise DroppedLabel("empty", label)
        if self.max_length is not None and len(text) > self.max_length:
            raise DroppedLabel("too long", label)
        return text
