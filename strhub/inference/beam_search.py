"""Beam search over what a model gives: the best texts and how sure they are, under constraints.

For attention models, step by step or all at once, and for CTC models (Graves & Jaitly 2014; Hannun
et al. 2014). All images and beams are searched together, in NumPy. Shapes: B images, K beams, T
steps, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from strhub.text.constraint import constraint
from strhub.text.decoding import Decoded, called
from strhub.text.decoding import log_softmax as log_softmax
from strhub.text.tokenizer import CTCTokenizer, Tokenizer
from strhub.utils.options import check_options, take_renamed

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
# Step number, token that each beam took last and the beam it came from, (B, K) each, to
# log-probabilities (B, K, C).
Steps = Callable[[int, Ids, Ids], Floats]

_NEVER = np.float32(-np.inf)
_USUAL_WIDTH = 8
RENAMED = {
    "length_normalisation": "length_normalization",
    "second_look": "reread_below",
}
"""Old names of options, which work until `REMOVED_IN`."""


@dataclass(frozen=True)
class Search:
    """What to search for.

    beam_width: beginnings of texts that are kept at every step; by default 8, or 1 if there is but
        a whitelist.
    top_k: readings wanted, at most as many as there are beams. length_normalization: 0 for none;
        with a greater one longer texts win more often: scores are divided by ((5 + length) / 6) **
        length_normalization (Wu et al. 2016, equation 14). lexicon: the words that may be read;
        whitelist: the characters.
    """

    beam_width: int | None = None
    top_k: int = 1
    length_normalization: float = 0.0
    lexicon: Iterable[str] | None = None
    whitelist: str | None = None

    def __post_init__(self) -> None:
        if self.top_k < 1:
            raise ValueError(f"top_k is {self.top_k}: it must be at least 1")
        if self.beam_width is not None and self.beam_width < self.top_k:
            raise ValueError(
                f"beam_width is {self.beam_width}: it must be at least 1, and at least top_k"
            )
        if not 0 <= self.length_normalization < float("inf"):
            raise ValueError(
                f"length_normalization is {self.length_normalization}: it must be a number of "
                "at least 0"
            )
        if isinstance(self.lexicon, str):
            raise ValueError("the lexicon is a list of words, not one text")

    @property
    def is_plain(self) -> bool:
        """Return whether only the best class of each step is asked for."""
        return self == Search()

    @property
    def width(self) -> int:
        """Return the number of beams."""
        if self.beam_width is not None:
            return self.beam_width
        greedy = self.top_k == 1 and self.lexicon is None and not self.length_normalization
        return 1 if greedy else max(_USUAL_WIDTH, self.top_k)


class BeamSearch:
    """Search with a tokenizer's classes."""

    def __init__(self, tokenizer: Tokenizer, search: Search) -> None:
        self.tokenizer, self.search = tokenizer, search
        self.is_ctc = isinstance(tokenizer, CTCTokenizer)
        self.following = constraint(
            tokenizer.charset, whitelist=search.whitelist, lexicon=search.lexicon
        ).following

    def decode(self, logits: Floats) -> list[Decoded]:
        """Decode logits (B, T, C) of a CTC model, or of an attention model's steps that do not
        depend on each other.
        """
        logs = log_softmax(logits)
        if self.is_ctc:
            return self._ctc(logs)
        return self.decode_steps(
            lambda step, tokens, parents: logs[:, step, None], len(logs), logs.shape[1]
        )

    def decode_steps(self, steps: Steps, batch: int, length: int) -> list[Decoded]:
        """Decode with an attention model that returns the log-probabilities of a step, given the
        step before.
        """
        width, classes = self.search.width, self.following.shape[1]
        scores = np.full((batch, width), _NEVER)
        scores[:, 0] = 0
        states = np.zeros((batch, width), dtype=np.int64)
        ended = np.zeros((batch, width), dtype=bool)
        tokens, parents = np.zeros_like(states), np.broadcast_to(np.arange(width), states.shape)
        rows = np.arange(batch)[:, None]
        history: list[tuple[Ids, Ids, Floats]] = []
        for step in range(length):
            step_logs = steps(step, tokens, parents)
            logs = np.broadcast_to(step_logs, (batch, width, step_logs.shape[-1]))
            allowed = self.following[states] >= 0  # (B, K, C)
            candidates = np.where(
                allowed & ~ended[..., None], scores[..., None] + logs[..., :classes], _NEVER
            )
            candidates[..., 0] = np.where(
                ended, scores, candidates[..., 0]
            )  # what has ended stays as it is
            scores, indices = _best(candidates.reshape(batch, -1), width)
            parents, tokens = indices // classes, indices % classes
            history.append((parents, tokens, logs[rows, parents, tokens]))
            ended = ended[rows, parents] | (tokens == 0)
            states = np.where(
                ended, states[rows, parents], self.following[states[rows, parents], tokens]
            )
            if ended[np.isfinite(scores)].all():
                break
        # A text that has used up all steps did not have to say that it ends; it must be one that
        # may.
        scores = np.where(ended | (self.following[states, 0] >= 0), scores, _NEVER)
        return self._readings(scores, history)

    def _ctc(self, logs: Floats) -> list[Decoded]:
        """Run prefix search: a beam is a text, whatever alignment of characters and blanks gives
        it.
        """
        batch, length, _ = logs.shape
        width, classes = self.search.width, self.following.shape[1]
        rows = np.arange(batch)[:, None]
        blank = np.full(
            (batch, width), _NEVER
        )  # log-probability of the text, the last step being blank
        blank[:, 0] = 0
        other = np.full((batch, width), _NEVER)  # or its last character
        states, last = (
            np.zeros((batch, width), dtype=np.int64),
            np.zeros((batch, width), dtype=np.int64),
        )
        names = np.zeros(
            (batch, width), dtype=np.uint64
        )  # of texts, and of texts less their last character
        before = np.full((batch, width), np.uint64(1))
        names[:, 1:] = 2  # of no text at all, as 1 is of what comes before no text
        history: list[tuple[Ids, Ids, Floats]] = []
        for step in range(length):
            now = logs[:, step]  # (B, C)
            both = np.logaddexp(blank, other)
            stays_blank = both + now[:, :1]
            stays_other = np.where(last > 0, other + np.take_along_axis(now, last, 1), _NEVER)
            longer = both[..., None] + now[:, None, :]  # (B, K, C)
            again = (
                np.take_along_axis(now, last, 1) + blank
            )  # the same character twice needs a blank between
            np.put_along_axis(longer, last[..., None], again[..., None], 2)
            longer = np.where(self.following[states] >= 0, longer, _NEVER)
            longer[..., 0] = _NEVER
            # A longer text that another beam holds already is added to that beam.
            same = before[:, None, :] == names[:, :, None]  # (B, K shorter, K longer)
            added = np.where(
                same,
                np.take_along_axis(longer, np.broadcast_to(last[:, None], same.shape), 2),
                _NEVER,
            )
            stays_other = np.logaddexp(stays_other, added.max(1))
            image, shorter, held = np.nonzero(same)
            longer[image, shorter, last[image, held]] = _NEVER

            stays = np.logaddexp(stays_blank, stays_other)
            candidates = np.concatenate([stays, longer.reshape(batch, -1)], axis=1)
            scores, indices = _best(candidates, width)
            kept = indices < width
            parents = np.where(kept, indices, (indices - width) // classes)
            tokens = np.where(kept, 0, (indices - width) % classes)
            blank = np.where(kept, stays_blank[rows, parents], _NEVER)
            other = np.where(kept, stays_other[rows, parents], scores)
            before = np.where(kept, before[rows, parents], names[rows, parents])
            names = np.where(kept, names[rows, parents], _longer_name(names[rows, parents], tokens))
            last = np.where(kept, last[rows, parents], tokens)
            dead = ~np.isfinite(
                scores
            )  # fewer texts than beams: must not be taken for prefixes or extensions of others
            names, before = (
                np.where(dead, np.uint64(2), names),
                np.where(dead, np.uint64(1), before),
            )
            states = np.where(
                kept, states[rows, parents], self.following[states[rows, parents], tokens]
            )
            # Also for texts that stay the same, the probability of the last character at this step.
            history.append((parents, tokens, np.take_along_axis(now, last, 1)))
        scores = np.where(self.following[states, 0] >= 0, np.logaddexp(blank, other), _NEVER)
        return self._readings(scores, history)

    def _readings(self, scores: Floats, history: list[tuple[Ids, Ids, Floats]]) -> list[Decoded]:
        """Map scores (B, K), and the way to each beam, to the best texts of each image."""
        batch, width = scores.shape
        rows, beams = np.arange(batch)[:, None], np.broadcast_to(np.arange(width), scores.shape)
        tokens, logs = [], []
        for parents, taken, log in reversed(history):
            tokens.append(taken[rows, beams])
            logs.append(log[rows, beams])
            beams = parents[rows, beams]
        ids, sure = (
            np.stack(tokens[::-1], axis=-1),
            np.exp(np.stack(logs[::-1], axis=-1)),
        )  # (B, K, T)
        lengths = (ids > 0).sum(-1)
        ranked = scores / ((5 + lengths) / 6) ** self.search.length_normalization
        order = np.argsort(-ranked, axis=1, kind="stable")[:, : self.search.top_k]
        return [self._reading(ids[row], sure[row], scores[row], order[row]) for row in range(batch)]

    def _reading(self, ids: Ids, sure: Floats, scores: Floats, order: Ids) -> Decoded:
        found = [beam for beam in order if np.isfinite(scores[beam])]
        texts = [self.tokenizer.text_of(ids[beam][ids[beam] > 0]) for beam in found]
        confidences = [
            called(text, min(1.0, float(np.exp(scores[beam]))))
            for beam, text in zip(found, texts, strict=True)
        ]
        if not found:  # nothing that may be read was among the beams
            return Decoded("", 0.0, np.zeros(0, dtype=np.float32))
        characters = self._characters(ids[found[0]], sure[found[0]]).astype(np.float32)
        several = tuple(zip(texts, confidences, strict=True)) if self.search.top_k > 1 else ()
        return Decoded(texts[0], confidences[0], characters, several)

    def _characters(self, ids: Ids, sure: Floats) -> Floats:
        """Return the confidence of each character of a text; ids, sure: (T,), of its steps.

        A prefix search adds a character as soon as it may have begun: its confidence is the
        greatest until the next one.
        """
        starts = np.flatnonzero(ids > 0)
        if not self.is_ctc or not len(starts):
            return sure[starts]
        surest: Floats = np.maximum.reduceat(sure, starts)
        return surest


def beam_search(tokenizer: Tokenizer, options: Mapping[str, Any]) -> BeamSearch | None:
    """Return a search by the options of `Search`, or none if the best class of each step is all
    that is asked for.

    `ValueError` for an option that there isn't.
    """
    options = take_renamed(options, RENAMED)
    check_options(options, [field.name for field in fields(Search)], "a search")
    search = Search(**options)
    return None if search.is_plain else BeamSearch(tokenizer, search)


def _best(candidates: Floats, count: int) -> tuple[Floats, Ids]:
    """Return the greatest of each row (B, N), and their places; what is missing is never
    reached.
    """
    missing = count - candidates.shape[1]
    if missing > 0:
        candidates = np.pad(candidates, ((0, 0), (0, missing)), constant_values=_NEVER)
    indices = (
        np.argpartition(-candidates, count - 1, axis=1)[:, :count]
        if count < candidates.shape[1]
        else (np.broadcast_to(np.arange(count), (len(candidates), count)))
    )
    values = np.take_along_axis(candidates, indices, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(values, order, 1), np.take_along_axis(indices, order, 1)


def _longer_name(names: npt.NDArray[np.uint64], tokens: Ids) -> npt.NDArray[np.uint64]:
    """Return the names of texts with one more character: mixed so well that no two texts will ever
    share one (splitmix64).
    """
    with np.errstate(over="ignore"):
        mixed = (
            names * np.uint64(0x100000001B3)
            + tokens.astype(np.uint64)
            + np.uint64(0x9E3779B97F4A7C15)
        )
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        longer: npt.NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return longer
