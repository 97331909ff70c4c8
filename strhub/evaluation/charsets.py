"""The charsets that words are scored in."""

from __future__ import annotations

from strhub.data.curation.charsets import named_charset
from strhub.text.charset import CHARSET_36, PUNCTUATION, UPPER_CASE, check_charset

__all__ = ["charset_named", "charset_of"]

_SHORT = {"36": (False, False), "62": (True, False), "94": (True, True)}


def charset_of(*, cased: bool, punctuation: bool) -> str:
    """Return the tested charset: digits and lower case, and upper case or punctuation if asked
    for.
    """
    return CHARSET_36 + (UPPER_CASE if cased else "") + (PUNCTUATION if punctuation else "")


def charset_named(name: str) -> str:
    """Return the charset of a name: 36, 62, 94, or one of `strhub.data.curation.charsets`;
    `ValueError` if there is none, or it repeats a character.
    """
    if name in _SHORT:
        cased, punctuation = _SHORT[name]
        return charset_of(cased=cased, punctuation=punctuation)
    return check_charset(named_charset(name))
