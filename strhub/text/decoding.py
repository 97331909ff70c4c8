"""From what a network computes to text, confidence and alternatives: the one place, for every
runtime.

In: logits, as arrays of ONNX Runtime or tensors of PyTorch on any device; of tensors, only the best
ids of each step are copied. Out: what they say of each image. NumPy alone is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from strhub.errors import CheckpointError
from strhub.text.tokenizer import Tokenizer
from strhub.text.word_prior import with_prior

if TYPE_CHECKING:
    import torch

__all__ = ["Decoded", "Decoding", "Searcher", "as_array", "called", "log_softmax", "softmax"]

Floats = npt.NDArray[np.float32]
Numbers: TypeAlias = "Floats | torch.Tensor"


class Decoded(NamedTuple):
    """What is read in an image: text, its confidence, that of each character, further readings, and
    the words of a line, if lines are read, as `strhub.inference.lines.Span`.
    """

    text: str
    confidence: float
    characters: Floats
    alternatives: tuple[tuple[str, float], ...] = ()
    words: tuple[Any, ...] = ()

    def called(self, confidence: float) -> Decoded:
        """Return the same with another confidence, in (0, 1]; those of characters and further
        readings go along.
        """
        if not 0 < self.confidence < 1 or not 0 < confidence < 1:
            return self._replace(confidence=confidence)
        power, ratio = log(confidence) / log(self.confidence), confidence / self.confidence
        characters = (self.characters**power).astype(np.float32)
        alternatives = tuple((text, min(1.0, one * ratio)) for text, one in self.alternatives)
        return Decoded(self.text, confidence, characters, alternatives, self.words)


class Searcher(Protocol):
    """Finds texts by more than the best class of each step, such as
    `strhub.inference.beam_search.BeamSearch`.
    """

    def decode(self, logits: Floats) -> list[Decoded]:
        """Return the best texts of logits (B, L, C)."""
        ...


@dataclass(frozen=True)
class Decoding:
    """How a model's logits are read.

    temperature: what logits are divided by. word_prior: weight of known words against what is read
    with doubt, in nats, see `strhub.text.word_prior`; 0: none. search: finds texts instead of the
    best class of each step. source: whose logits they are, for errors.
    """

    tokenizer: Tokenizer
    temperature: float = 1.0
    word_prior: int = 0
    search: Searcher | None = None
    source: str = "the model"

    def __call__(self, logits: Numbers) -> list[Decoded]:
        """Return what logits (B, L, C) say of each image; `CheckpointError` if they are not finite.

        Where nothing is read, the confidence is 0, however sure the model is that there is nothing.
        """
        if self.search is not None:
            return self.search.decode(self._scaled(as_array(logits)))
        probabilities = self.probabilities(logits)
        readings: Sequence[tuple[str, float, Floats]] = self.tokenizer.decode_characters(
            probabilities
        )
        if self.word_prior:
            readings = with_prior(
                readings, as_array(probabilities), self.tokenizer, self.word_prior
            )
        return [
            Decoded(text, called(text, confidence), characters)
            for text, confidence, characters in readings
        ]

    def probabilities(self, logits: Numbers) -> Numbers:
        """Return the probabilities (B, L, C) of logits (B, L, C), array for array, tensor for
        tensor.
        """
        scaled = self._scaled(logits)
        return softmax(scaled) if isinstance(scaled, np.ndarray) else scaled.softmax(-1)

    def log_probabilities(self, logits: Numbers) -> Floats:
        """Return the log-probabilities (..., C) of logits (..., C)."""
        return log_softmax(self._scaled(as_array(logits)))

    def _scaled(self, logits: Any) -> Any:
        """Return logits over the temperature. Of others than finite ones '' would be read without a
        word.
        """
        scaled = logits / self.temperature
        finite = np.isfinite(scaled) if isinstance(scaled, np.ndarray) else scaled.isfinite()
        if not finite.all():
            raise CheckpointError(
                f"{self.source} returns numbers that are infinite or NaN: its weights or its "
                "temperature are damaged, or too large for the precision"
            )
        return scaled


def called(text: str, confidence: float) -> float:
    """Return how sure a text may be called: no text is no confidence."""
    return confidence if text else 0.0


def as_array(numbers: Numbers) -> Floats:
    """Return an array as it is, a tensor of any device and precision as an array of float32."""
    return numbers if isinstance(numbers, np.ndarray) else numbers.detach().float().cpu().numpy()


def softmax(logits: Floats) -> Floats:
    """Return the probabilities of logits, over the last axis."""
    powers: Floats = np.exp(logits - logits.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def log_softmax(logits: Floats) -> Floats:
    """Return the log-probabilities of logits, over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
