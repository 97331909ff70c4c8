"""Words, endings and signs that texts are put together from."""

from __future__ import annotations

import unicodedata

import numpy as np

from strhub.data.synth.patterns import listed

DOMAINS = listed("com com com com org net co.uk de fr it es nl info edu gov io eu shop ch at pl")

PHRASES = listed(
    "don't Co. 50% #1 No. St. Mr. Mrs. Dr. Ltd. Inc. it's can't won't we're you'll I'm let's "
    "o'clock & R&B B&B Q&A A/C "
    "24/7 3D 1st 2nd 3rd 4th 24h 24hrs 100% 5kg 10am (c) e-mail T-shirt U.S.A. P.O. a.m. p.m. + = "
    "@home C++ K-9 x2 < > "
    "50/50 A+ vs. Nr. Str. S.A. S.p.A. GmbH S.L. c/o w/o etc. Ave. Rd. Blvd. M&M's 4x4 >> << -> ?! "
    "!! *** $$ ~ No.1"
)

ENDINGS = (
    "'s",
    "'s",
    "'s",
    ".",
    ".",
    ",",
    "!",
    "!",
    "?",
    ":",
    ";",
    "...",
    "*",
    "-",
    "!!",
    "?!",
    "(s)",
    "+",
    "~",
)

STARTS = (
    "(",
    "[",
    '"',
    "'",
    "#",
    "@",
    "*",
    "-",
    "/",
    "+",
    "~",
    ">",
    "&",
    "_",
    "$",
    "\\",
    "<",
    "{",
)

BRACKETS = ("()", "()", "()", "[]", '""', '""', "''", "<>", "{}", "**", "--", "__", "||", "``")

JOINTS = ("-", "-", "-", "&", "/", "+", "_", ":", "|", "\\", "=", "'", ".", "@", "^")

# Letters that Unicode does not take apart into a plain letter and an accent.
SPELLINGS = {
    "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i",
        "Æ": "AE", "Œ": "OE",
    "Ø": "O", "Ł": "L", "Đ": "D", "Ð": "D", "Þ": "TH", "ẞ": "SS",
}  # fmt: skip


def _cased(word: str, rng: np.random.Generator) -> str:
    """Choose the case: upper case leads because signs shout; mixed case inside a word stays as rare
    as it is in the world.
    """
    roll = rng.random()
    if roll < 0.45:
        return word.upper()
    return word.lower() if roll < 0.785 else word[:1].upper() + word[1:].lower()


def accented_forms(charset: str) -> dict[str, str]:
    """Map a Latin base letter to the charset's letters built on it, such as 'a' to 'äà'."""
    forms: dict[str, str] = {}
    for char in charset:
        base = unicodedata.normalize("NFD", char)[0]
        if base != char and base.isascii():
            forms[base] = forms.get(base, "") + char
    return forms
