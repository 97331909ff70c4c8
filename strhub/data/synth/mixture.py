"""The kinds of rendered texts and how often each is drawn.

In: a user's weights, or none, and a charset. Out: the weights that apply to it. `MIXTURE` is the
    usual table:

=========  =====  ==================================================================================
kind       share  example
=========  =====  ==================================================================================
word       0.36   OPEN: from the bundled list, by how common it is
name       0.08   Lisbon, BBC: people, places, abbreviations
european   0.05   Bäckerei: signs, shops and menus in other languages of Europe
corpus     0      a word of the user's corpus; takes the three shares above when a corpus is given
invented   0.06   plorne: pronounceable, need not exist
marked     0.07   (new), R&B, it's, price*: words with punctuation; of the corpus if there is one
number     0.055  1,250
price      0.03   $4.99
date       0.02   24.12.2026
time       0.015  10am-6pm
phone      0.01   0800-123456
code       0.04   AB-1234
unit       0.015  500ml
web        0.025  www.example.com
mail       0.01   info@example.org
random     0.16   x~Q7: any characters, first of all those that the other kinds leave rare
=========  =====  ==================================================================================
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

__all__ = ["MIXTURE", "checked_mixture", "drawable_mixture"]

MIXTURE: Mapping[str, float] = {
    "word": 0.36, "name": 0.08, "european": 0.05, "corpus": 0.0, "invented": 0.06, "marked": 0.07,
        "number": 0.055,
    "price": 0.03, "date": 0.02, "time": 0.015, "phone": 0.01, "code": 0.04, "unit": 0.015,
    "web": 0.025, "mail": 0.01, "random": 0.16,
}  # fmt: skip
_FROM_CORPUS = ("word", "name", "european")
# What a kind is made of, and so can't do without. `marked` is in none: its words may come from a
# corpus.
_OF_LATIN_LETTERS = frozenset(("word", "name", "european", "invented", "web", "mail"))
_OF_DIGITS = frozenset(("number", "price", "date", "time", "phone", "code", "unit"))
_OF_DOTS = frozenset(("web", "mail"))


def checked_mixture(mixture: Mapping[str, float] | None, *, has_corpus: bool) -> dict[str, float]:
    """Return kind -> weight: `mixture` if it is sound, or the usual one with or without a corpus.

    Raises:
        ValueError: for an unknown kind (the message names the nearest), a weight below 0 or not
            finite, or a corpus kind without a corpus.
    """
    if mixture is None:
        fractions = dict(MIXTURE)
        if has_corpus:
            fractions["corpus"] = sum(fractions.pop(kind) for kind in _FROM_CORPUS)
        return fractions
    for kind, fraction in mixture.items():
        if kind not in MIXTURE:
            near = difflib.get_close_matches(kind, MIXTURE, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"mixture has no kind {kind!r}; did you mean {near!r}? The kinds are "
                f"{', '.join(MIXTURE)}"
            )
        if not 0.0 <= fraction < float("inf"):
            raise ValueError(f"mixture[{kind!r}] is {fraction}; pass a weight of at least 0")
    if mixture.get("corpus") and not has_corpus:
        raise ValueError("mixture draws from a corpus, but there is none; pass corpus= as well")
    return dict(mixture)


def drawable_mixture(
    mixture: Mapping[str, float], *, charset: str, has_corpus: bool
) -> dict[str, float]:
    """Return the kinds of `mixture` that `charset` can show, with weights that add up to 1.

    The draws of the others, such as numbers without digits, would come to nothing.

    Raises:
        ValueError: if no kind is left.
    """
    left_out: frozenset[str] = frozenset() if "." in charset else _OF_DOTS
    if not any(char.isascii() and char.isalpha() for char in charset):
        left_out |= _OF_LATIN_LETTERS if has_corpus else _OF_LATIN_LETTERS | {"marked"}
    if not any(char.isascii() and char.isdigit() for char in charset):
        left_out |= _OF_DIGITS
    fractions = {
        kind: fraction
        for kind, fraction in mixture.items()
        if fraction > 0 and kind not in left_out
    }
    if not fractions:
        raise ValueError(
            f"mixture {dict(mixture)} has no kind that charset {charset!r} can show; add 'random' "
            "to it"
        )
    total = sum(fractions.values())
    return {kind: fraction / total for kind, fraction in fractions.items()}
