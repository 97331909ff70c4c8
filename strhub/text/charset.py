"""Character sets and what happens to a label on its way to one.

In: a label as a data set spells it. Out: the label a model with a given charset is trained on or
scored against, or `DroppedLabel` with the reason. No tensors here.
"""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

from strhub.errors import DataError

DIGITS = "0123456789"
LOWER_CASE = "abcdefghijklmnopqrstuvwxyz"
UPPER_CASE = LOWER_CASE.upper()
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

# The orders are those of the published checkpoints: a character's index determines its token id.
CHARSET_36 = DIGITS + LOWER_CASE
CHARSET_62 = CHARSET_36 + UPPER_CASE
CHARSET_94 = CHARSET_62 + PUNCTUATION

# What Unicode does not decompose into ASCII letters and accents, and its usual ASCII spelling.
_ASCII_SPELLING = {
    "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "đ": "d",
        "Đ": "D",
    "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "d", "Ð": "D", "ı": "i", "‘": "'", "’": "'",
    "‚": ",", "‛": "'", "“": '"', "”": '"', "„": '"', "‟": '"', "′": "'", "″": '"', "´": "'",
    "ʼ": "'", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "―": "-", "−": "-", "⁄": "/",
    "∕": "/",
}  # fmt: skip
# Unicode's compatibility forms that look like what they decompose to: full width letters, ligatures
# and styled letters. Not those that say something else, such as ½ (12), ² (2) and ™ (TM).
_COMPATIBLE = ("<wide>", "<narrow>", "<font>", "<small>", "<vertical>", "<noBreak>", "<compat>")
_COMPATIBLE_CATEGORIES = (
    "L",
    "Nl",
    "P",
    "Z",
)  # of <compat>: ligatures, Roman numerals, dots; not ⒈, № and ´
_ACCENTS = re.compile("(?<=[A-Za-z])[\u0300-\u036f]+")
# Signs that the spelling of a word can do without: the points of Hebrew and Arabic, the Arabic
# stretched joint, and what only chooses between shapes of the character before it.
_OPTIONAL = re.compile(
    "[\u034f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u0652\u0670\u06d6-\u06dc"
    "\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
)


class DroppedLabel(DataError):
    """A label that a model with this charset cannot be trained on; `reason` is a short phrase fit
    for counting.
    """

    def __init__(self, reason: str, label: str) -> None:
        super().__init__(f"label {label!r}: {reason}")
        self.reason = reason
        self.label = label

    def __reduce__(self) -> tuple[type["DroppedLabel"], tuple[str, str]]:
        return type(self), (self.reason, self.label)


def check_charset(charset: str) -> str:
    """Return `charset` if it can number tokens; `ValueError` if it is empty, repeats or splits a
    character.
    """
    if not charset:
        raise ValueError("the charset is empty: it needs at least one character")
    repeated = [character for character, count in Counter(charset).items() if count > 1]
    if repeated:
        raise ValueError(
            f"the charset repeats {''.join(repeated)!r}: every character must occur once"
        )
    if unicodedata.normalize("NFC", charset) != charset:
        raise ValueError("the charset is not in Unicode's composed form (NFC): normalize it first")
    return charset


def scored_charset(charset_train: str, charset_test: str | None) -> str:
    """Return the charset that words are scored in: the one that is set, else the one that is
    trained.

    Of the published ones with 62 and 94 characters the digits and lower case alone, as is the
    custom of the field.
    """
    if charset_test is not None:
        return charset_test
    published = {frozenset(CHARSET_62), frozenset(CHARSET_94)}
    return CHARSET_36 if frozenset(charset_train) in published else charset_train


def fold_to_ascii(text: str) -> str:
    """Return `text` in ASCII where that is customary (é to e, ß to ss); what has no ASCII spelling
    stays as it is.
    """
    composed = unicodedata.normalize("NFC", text)
    return _ACCENTS.sub("", "".join(map(_ascii_spelling, composed)))


@lru_cache(maxsize=4096)
def _ascii_spelling(character: str) -> str:
    """Return a character's ASCII spelling, or the character itself if it has none."""
    if character.isascii() or character in _ASCII_SPELLING:
        return _ASCII_SPELLING.get(character, character)
    parts = unicodedata.decomposition(character).split()
    if parts and parts[0].startswith("<"):
        form, *parts = parts
        similar = form != "<compat>" or unicodedata.category(character).startswith(
            _COMPATIBLE_CATEGORIES
        )
        if form not in _COMPATIBLE or not similar:
            return character
    spelled = _ACCENTS.sub("", "".join(_ascii_spelling(chr(int(part, 16))) for part in parts))
    return spelled if spelled and spelled.isascii() else character


class CharsetAdapter:
    """Bring text to a charset: change the case if the charset has one only, then remove what it
    does not hold.

    This is the field's rule for scoring: predictions and labels both pass through the adapter of
    `charset_test`.
    """

    def __init__(self, charset: str) -> None:
        self.charset = check_charset(charset)
        self._lower_only = charset == charset.lower() != charset.upper()
        self._upper_only = charset == charset.upper() != charset.lower()
        self._outside = re.compile(f"[^{re.escape(charset)}]")

    def change_case(self, text: str) -> str:
        """Swap the case of characters that the charset does not hold as they are, if it has one
        case only.
        """
        if not (self._lower_only or self._upper_only):
            return text
        return "".join(self._recase(character) for character in text)

    def _recase(self, character: str) -> str:
        if character in self.charset:
            return character
        if character == "İ":  # its lower case is an i with a second dot
            return "i" if self._lower_only else character
        return character.lower() if self._lower_only else character.upper()

    def __call__(self, text: str) -> str:
        return self._outside.sub("", self.change_case(text))


class LabelPreparation:
    """A data set's label to a charset, as another spelling of the same word or not at all.

    Steps: Unicode's composed form (NFC); folding to ASCII (by default only if the charset is
    ASCII); runs of white space become one space if the charset has it and nothing otherwise; case
    as `CharsetAdapter`; the points of Hebrew and Arabic, joiners and the like are removed where the
    charset lacks them, and so is punctuation, as is the custom of the field: all of it if the
    charset has none at all, else that of ASCII.

    strict: any other character outside the charset, be it a letter, digit, vowel sign, accent or
        symbol, drops the label, because an image that shows what its label lacks teaches a wrong
        reading. Scoring is not strict: it removes such characters and keeps the word.
    max_length: the most characters a prepared label may have; None for no limit.

    Raises `DroppedLabel` with the reason "empty", "too long" or "outside the charset".
    """

    def __init__(
        self,
        charset: str,
        *,
        max_length: int | None,
        fold_ascii: bool | None = None,
        strict: bool = True,
    ) -> None:
        self.adapter = CharsetAdapter(charset)
        self.max_length = max_length
        self.fold_ascii = charset.isascii() if fold_ascii is None else fold_ascii
        self.strict = strict
        self._characters = frozenset(charset)
        self._has_punctuation = any(map(_is_punctuation, charset))

    def __call__(self, label: str) -> str:
        text = self._spelled(label)
        if self.strict and self._lacks(text):
            raise DroppedLabel("outside the charset", label)
        text = " ".join(
            self.adapter(text).split()
        )  # what was removed may have stood between two spaces
        if not text:
            raise DroppedLabel("empty", label)
        if self.max_length is not None and len(text) > self.max_length:
            raise DroppedLabel("too long", label)
        return text

    def loses_letters(self, label: str) -> bool:
        """Return whether the word of a label would be another one without what the charset
        lacks.
        """
        return self._lacks(self._spelled(label))

    def _spelled(self, label: str) -> str:
        """Return a label in the charset's spelling and case, with all its characters."""
        text = unicodedata.normalize("NFC", label)
        if self.fold_ascii:
            text = "".join(c if c in self._characters else _ascii_spelling(c) for c in text)
            text = _ACCENTS.sub(
                lambda accents: "".join(filter(self._characters.__contains__, accents[0])), text
            )
        text = (" " if " " in self._characters else "").join(text.split())
        return self.adapter.change_case(text)

    def _lacks(self, text: str) -> bool:
        return any(c not in self._characters and self._tells(c) for c in text)

    def _tells(self, character: str) -> bool:
        """Return whether a word without this character, which the charset lacks, would be another
        one.
        """
        if (
            character.isspace()
            or unicodedata.category(character) in ("Cc", "Cf")
            or _OPTIONAL.match(character)
        ):
            return False
        if not _is_punctuation(character):
            return True
        return self._has_punctuation and not character.isascii()


class ScoredText:
    """Bring labels and readings alike to the charset that is scored; what has no character of it
    becomes "".

    As `LabelPreparation` that is not strict: folded to ASCII if the charset is ASCII, spaces kept
    if it has one, and what it does not hold removed.
    """

    def __init__(self, charset: str) -> None:
        self.charset = charset
        self._prepare = LabelPreparation(charset, max_length=None, strict=False)

    def __call__(self, text: str) -> str:
        try:
            return self._prepare(text)
        except DroppedLabel:
            return ""

    def loses_letters(self, text: str) -> bool:
        """Return whether the charset lacks what tells a text from another one: a letter, digit or
        symbol.
        """
        return self._prepare.loses_letters(text)


def _is_punctuation(character: str) -> bool:
    """Return whether it is punctuation; of ASCII, any sign."""
    if character.isascii():
        return character in PUNCTUATION
    return unicodedata.category(character).startswith("P")
