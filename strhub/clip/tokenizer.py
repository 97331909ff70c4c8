"""CLIP's text tokens: byte-pair encoding of lower-cased text (Sennrich et al. 2016; Radford et al.
2021, section 2.4).

The table of merges is CLIP's own and comes with open_clip or from a file. An empty table makes a
tokenizer of single bytes, for towers that are trained from nothing.
"""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from strhub.checkpoint.merges import (
    MERGES,
    MERGES_FILE,
    WORD_END,
    bundled_merges,
    byte_letters,
    read_merges,
    symbol_ids,
)
from strhub.utils.install import install_command

__all__ = ["MERGES", "ClipTokenizer", "bundled_merges", "load_tokenizer", "split_words"]

_CONTRACTIONS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


class ClipTokenizer:
    """Texts to token ids.

    merges: pairs of symbols in the order in which they are joined. Ids: 256 bytes, the same at a
    word's end, a merge each, then start and end of text.
    """

    def __init__(self, merges: Sequence[tuple[str, str]]) -> None:
        self.letters = byte_letters()
        self.ids = symbol_ids([*merges])
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        self.start = 2 * len(self.letters) + len(merges)
        self.end = self.start + 1

    def __len__(self) -> int:
        return self.end + 1

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without start and end."""
        return [self.ids[symbol] for part in split_words(text) for symbol in self._join(part)]

    def __call__(self, texts: Sequence[str], context_length: int) -> tuple[Tensor, Tensor]:
        """Return ids (B, L) with start and end, padded with 0, and lengths (B). Longer texts are
        cut, their end kept.
        """
        rows = [[self.start, *self.encode(text)[: context_length - 2], self.end] for text in texts]
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.zeros(len(rows), int(lengths.max()) if rows else 0, dtype=torch.long)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
        return ids, lengths

    def _join(self, part: str) -> list[str]:
        """Return the symbols of a word: bytes, of which the pair first in the table is joined until
        no pair is in it.
        """
        symbols = [self.letters[byte] for byte in part.encode("utf-8")]
        symbols[-1] += WORD_END
        while len(symbols) > 1:
            best = min(
                itertools.pairwise(symbols), key=lambda pair: self.ranks.get(pair, len(self.ranks))
            )
            if best not in self.ranks:
                break
            joined: list[str] = []
            for symbol in symbols:
                if joined and (joined[-1], symbol) == best:
                    joined[-1] += symbol
                else:
                    joined.append(symbol)
            symbols = joined
        return symbols


def split_words(text: str) -> Iterator[str]:
    """Yield a text's words, lower-cased: runs of letters, single digits, runs of other signs, and
    English contractions.
    """
    text = " ".join(text.split()).lower()
    position = 0
    while position < len(text):
        kind = _kind(text[position])
        contraction = next((c for c in _CONTRACTIONS if text.startswith(c, position)), None)
        end = position + 1
        if contraction:
            end = position + len(contraction)
        elif kind in ("letter", "sign"):
            while end < len(text) and _kind(text[end]) == kind:
                end += 1
        if kind != "space":
            yield text[position:end]
        position = end


def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    return {"L": "letter", "N": "digit"}.get(unicodedata.category(character)[0], "sign")


def load_tokenizer(merges: str | Path | None, *, vocab_size: int) -> ClipTokenizer:
    """Return the tokenizer of a text tower that knows so many ids.

    merges: CLIP's table, a text file or the same in gzip, a pair a line after a first line of
    another kind; None: that of an installed open_clip. A tower of 514 ids reads bytes and needs no
    table.

    Raises `ValueError` for a table that cannot be read or belongs to another tower, saying how to
    get the right one.
    """
    if merges is None and vocab_size == len(ClipTokenizer(())):
        return ClipTokenizer(())
    path = Path(merges) if merges is not None else bundled_merges()
    if path is None:
        raise ValueError(
            f"CLIP's text tower reads {vocab_size} tokens, and their table is not here: install "
            "open_clip_torch, which "
            f"brings it ({install_command('clip')}), or set contrastive.merges to a file "
            f"{MERGES_FILE}"
        )
    return ClipTokenizer(read_merges(path, min(MERGES, vocab_size - len(ClipTokenizer(())))))
