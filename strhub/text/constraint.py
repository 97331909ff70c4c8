"""Which texts may be read: an alphabet, a list of words, or both. As an automaton over a
tokenizer's classes.

Class 0 is what every tokenizer has before its charset, [E] or the blank; the charset follows.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

# a row of the table each; a list of words needs about as many as it has characters
MOST_STATES = 500_000


class Constraint:
    """States and what leads from one to the next.

    following: (states, 1 + charset) of int32: the next state by class, -1 where a class may not
    follow. Column 0 is the state itself where a text may end, so a text may end in a state if that
    is not -1. State 0 is the beginning.
    """

    def __init__(self, following: npt.NDArray[np.int32]) -> None:
        self.following = following


def constraint(
    charset: str, *, whitelist: str | None = None, lexicon: Iterable[str] | None = None
) -> Constraint:
    """Return the texts over a charset whose characters are all in `whitelist` and that are, as a
    whole, in `lexicon`.

    None of either does not constrain. Words of the lexicon with characters outside the whitelist
    cannot be read.

    Raises:
        ValueError: for characters outside the charset, an empty whitelist, a lexicon without words
            that can be read, or one too large.
    """
    ids = {character: number for number, character in enumerate(charset, 1)}
    allowed = charset if whitelist is None else whitelist
    strange = [character for character in allowed if character not in ids]
    if strange:
        raise ValueError(
            f"the whitelist has {strange[0]!r}, which the model cannot read; it reads {charset}"
        )
    if not allowed:
        raise ValueError("the whitelist is empty: name at least one character")
    if lexicon is None:
        following = np.full((1, 1 + len(charset)), -1, dtype=np.int32)
        following[0, [0, *(ids[character] for character in allowed)]] = 0
        return Constraint(following)
    return Constraint(_tree(lexicon, {character: ids[character] for character in allowed}, ids))


def _tree(
    lexicon: Iterable[str], allowed: dict[str, int], ids: dict[str, int]
) -> npt.NDArray[np.int32]:
    children: list[dict[int, int]] = [{}]
    ends = set()
    for word in lexicon:
        strange = [character for character in word if character not in ids]
        if strange:
            raise ValueError(
                f"the lexicon's {word!r} has {strange[0]!r}, which the model cannot read"
            )
        if not word or any(character not in allowed for character in word):
            continue
        state = 0
        for character in word:
            following = children[state].setdefault(allowed[character], len(children))
            if following == len(children):
                children.append({})
            state = following
        ends.add(state)
        if len(children) > MOST_STATES:
            raise ValueError(f"the lexicon is too large: over {MOST_STATES} beginnings of words")
    if not ends:
        raise ValueError("the lexicon has no word that may be read")
    table = np.full((len(children), 1 + len(ids)), -1, dtype=np.int32)
    for state, following_states in enumerate(children):
        table[state, list(following_states)] = list(following_states.values())
    final = np.fromiter(ends, dtype=np.int64)
    table[final, 0] = final
    return table
