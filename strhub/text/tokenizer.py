"""Text to token ids and a model's output back to text, for attention models and for CTC models.

Attention models (PARSeq, ViTSTR, TRBA, ABINet): id 0 is [E], end of sequence; then the charset;
then [B], begin; then [P], padding. Heads predict neither [B] nor [P]. CTC models (CRNN, TRBC): id 0
is the blank, then the charset.

The decoding side takes NumPy arrays or torch tensors and needs neither: it works on the best id of
each step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import numpy as np
import numpy.typing as npt

from strhub.text.charset import check_charset

if TYPE_CHECKING:
    import torch

Ids = npt.NDArray[np.int64]
Probabilities = npt.NDArray[np.float32]


def best_of_each_step(distribution: Any) -> tuple[Ids, Probabilities]:
    """Map probabilities (B, L, C), array or tensor on any device, to the best ids and their
    probabilities, (B, L) each.
    """
    if hasattr(distribution, "detach"):
        probabilities, ids = distribution.detach().float().max(-1)
        return ids.cpu().numpy(), probabilities.cpu().numpy()
    array = np.asarray(distribution)
    return array.argmax(-1), array.max(-1)


class Tokenizer(ABC):
    """What both kinds share: numbering the charset, and decoding a batch row by row."""

    def __init__(self, charset: str, *, before: Sequence[str], after: Sequence[str] = ()) -> None:
        self.charset = check_charset(charset)
        self._tokens = (*before, *charset, *after)
        self._ids = {token: number for number, token in enumerate(self._tokens)}

    def __len__(self) -> int:
        return len(self._tokens)

    def ids_of(self, label: str) -> list[int]:
        """Return ids of a label's characters; `ValueError` names the first character that the
        charset lacks.
        """
        try:
            return [self._ids[character] for character in label]
        except KeyError as error:
            raise ValueError(
                f"label {label!r} has {error.args[0]!r}, which is not in the charset of "
                f"{len(self.charset)} characters"
            ) from None

    def text_of(self, ids: Sequence[int] | Ids) -> str:
        """Return the text that a row of ids spells, special tokens included as [E], [B] and [P]."""
        return "".join(self._tokens[number] for number in ids)

    @abstractmethod
    def encode_array(self, labels: Sequence[str]) -> Ids:
        """Map labels to ids, (B, L), padded."""

    @abstractmethod
    def select(self, ids: Ids) -> tuple[Ids, int]:
        """Map a row of best ids (L,) to the steps that hold its characters and the number of steps
        the sequence took.
        """

    def encode(
        self, labels: Sequence[str], device: torch.device | str | None = None
    ) -> torch.Tensor:
        """Map labels to a tensor of ids, (B, L), as a model is trained on."""
        import torch

        return torch.from_numpy(self.encode_array(labels)).to(device)

    @overload
    def decode(
        self, distribution: Any, raw: Literal[False] = False
    ) -> tuple[list[str], list[Any]]: ...

    @overload
    def decode(
        self, distribution: Any, raw: Literal[True]
    ) -> tuple[list[list[str]], list[Any]]: ...

    def decode(self, distribution: Any, raw: bool = False) -> tuple[list[Any], list[Any]]:
        """Decode probabilities (B, L, C) to texts and, per text, the probability of each step that
        made it.

        The confidence of a text is the product of its steps': for attention models of those up to
        and including [E], for CTC models of all. They are tensors, on the same device, if tensors
        were given, else arrays. With `raw`, instead of a text there is a list of all steps' tokens,
        special ones included.
        """
        best, probabilities = best_of_each_step(distribution)
        steps_of: Any = (
            distribution.detach().amax(-1) if hasattr(distribution, "detach") else probabilities
        )
        texts: list[Any] = []
        confidences = []
        for row, confidence in zip(best, steps_of, strict=True):
            steps, used = (np.arange(len(row)), len(row)) if raw else self.select(row)
            tokens = [self._tokens[number] for number in row[steps]]
            texts.append(tokens if raw else "".join(tokens))
            confidences.append(confidence[:used])
        return texts, confidences

    def decode_characters(self, distribution: Any) -> list[tuple[str, float, Probabilities]]:
        """Decode probabilities (B, L, C) to (text, confidence of the text, confidence of each
        character) per row.
        """
        best, probabilities = best_of_each_step(distribution)
        readings = []
        for row, confidence in zip(best, probabilities, strict=True):
            steps, used = self.select(row)
            readings.append(
                (self.text_of(row[steps]), float(confidence[:used].prod()), confidence[steps])
            )
        return readings

    def located(self, probabilities: Probabilities) -> list[tuple[str, int, float]]:
        """Return the characters that probabilities (L, C) spell, each with its step and its
        probability.
        """
        ids, sure = best_of_each_step(probabilities)
        steps, _ = self.select(ids)
        return [(self.text_of(ids[[step]]), int(step), float(sure[step])) for step in steps]


class AttentionTokenizer(Tokenizer):
    """Tokens of the sequence models: [E], the charset, [B], [P]."""

    def __init__(self, charset: str) -> None:
        super().__init__(charset, before=("[E]",), after=("[B]", "[P]"))
        self.eos_id = 0
        self.bos_id = len(charset) + 1
        self.pad_id = len(charset) + 2

    def encode_array(self, labels: Sequence[str]) -> Ids:
        """Map labels to ids, (B, 1 + longest + 1): [B], the characters, [E], then [P]."""
        rows = [self.ids_of(label) for label in labels]
        array = np.full(
            (len(rows), max(map(len, rows), default=0) + 2), self.pad_id, dtype=np.int64
        )
        for target, row in zip(array, rows, strict=True):
            target[: len(row) + 2] = [self.bos_id, *row, self.eos_id]
        return array

    def select(self, ids: Ids) -> tuple[Ids, int]:
        ends = np.flatnonzero(ids == self.eos_id)
        length = int(ends[0]) if len(ends) else len(ids)
        characters = np.flatnonzero(
            ids[:length] <= len(self.charset)
        )  # TRBA's head can also predict [B] and [P]
        return characters, min(length + 1, len(ids))


class CTCTokenizer(Tokenizer):
    """Tokens of the CTC models: the blank, then the charset."""

    def __init__(self, charset: str) -> None:
        super().__init__(charset, before=("[blank]",))
        self.blank_id = 0

    def encode_array(self, labels: Sequence[str]) -> Ids:
        """Map labels to ids, (B, longest), padded with the blank."""
        rows = [self.ids_of(label) for label in labels]
        array = np.full((len(rows), max(map(len, rows), default=0)), self.blank_id, dtype=np.int64)
        for target, row in zip(array, rows, strict=True):
            target[: len(row)] = row
        return array

    def select(self, ids: Ids) -> tuple[Ids, int]:
        changed = np.ones(len(ids), dtype=bool)
        changed[1:] = ids[1:] != ids[:-1]
        return np.flatnonzero(changed & (ids != self.blank_id)), len(ids)


TOKENIZERS: Final[dict[str, type[AttentionTokenizer] | type[CTCTokenizer]]] = {
    "attention": AttentionTokenizer,
    "ctc": CTCTokenizer,
}
"""By the names that networks and exported files give of what their ids mean."""
