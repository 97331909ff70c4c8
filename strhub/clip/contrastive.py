"""The contrastive objective: a word's image and CLIP's text embedding of the word come to lie
together.

InfoNCE (van den Oord et al. 2018) as CLIP is trained with it (Radford et al. 2021, figure 3), with
negatives that teach
spelling: the vocabulary's words nearest to the label in text space, and what the model itself reads
when it is wrong. The text tower is frozen (`strhub.clip.words`). What is learned here serves
training alone.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from strhub.clip.gather import RowGatherer
from strhub.clip.words import KeptFeatures, WordSpace, fold, word_keys
from strhub.utils.options import check_options

_LARGEST_SCALE = 100.0  # as in CLIP: a lower temperature makes training unstable


@dataclass(frozen=True)
class ContrastiveOptions:
    """The options. With weight 0 there is no contrastive objective.

    weight: lambda, of the contrastive loss beside the permutation loss, which is always counted in
        full.
    warmup_steps: in which lambda rises to it from nothing. temperature: at the start; it is
        learned.
    nearest: how many of the vocabulary's words nearest to each label are negatives.
    vocabulary: file of words, one a line; None: the labels of the training sets. vocabulary_size:
        words of it at most, the most frequent ones. refresh_every: steps after which the words are
        placed anew by the adapter.
    own_errors: what the model reads is a negative where it is wrong.
    adapter: hidden units of a learned change to the text features; None: they stay CLIP's.
    text_weights: file or name of the CLIP whose text tower it is; None: the encoder's
        (`pretrained_encoder`); `spelling`: none, words are placed by their letters alone, see
        `strhub.clip.spelling`.
    text_dim: size of the text features; None: told by the weights, 256 for `spelling`.
    merges: table of CLIP's tokens; None: open_clip's.
    """

    weight: float = 0.0
    warmup_steps: int = 1000
    temperature: float = 0.07
    nearest: int = 0
    vocabulary: str | None = None
    vocabulary_size: int = 100_000
    refresh_every: int = 1000
    own_errors: bool = False
    adapter: int | None = None
    text_weights: str | None = None
    text_dim: int | None = None
    merges: str | None = None

    @classmethod
    def from_options(cls, options: Mapping[str, Any] | None) -> ContrastiveOptions:
        """Build the options from a mapping; `ValueError` for an unknown option or a value out of
        range.
        """
        options = dict(options or {})
        check_options(options, cls.__dataclass_fields__, "contrastive")
        parsed = cls(**options)
        ranges = {
            "weight": 0,
            "warmup_steps": 0,
            "nearest": 0,
            "vocabulary_size": 1,
            "refresh_every": 1,
        }
        for name, least in ranges.items():
            value = getattr(parsed, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not least <= value < math.inf
            ):
                raise ValueError(
                    f"contrastive.{name} is {value}: it must be a number, at least {least}"
                )
        if not 1 / _LARGEST_SCALE <= parsed.temperature <= 10:
            raise ValueError(
                f"contrastive.temperature is {parsed.temperature}: it must be from 0.01 to 10"
            )
        if parsed.adapter is not None and parsed.adapter < 1:
            raise ValueError(
                f"contrastive.adapter is {parsed.adapter}: it must be a number of hidden units, or "
                "null"
            )
        return parsed

    def weight_at(self, step: int) -> float:
        """Return lambda at an optimizer step, counted from 0."""
        return self.weight * min(1.0, (step + 1) / max(1, self.warmup_steps))


class Adapter(nn.Module):
    """Adds what CLIP's text does not know of spelling: a residual of one hidden layer, nothing at
    first.
    """

    def __init__(self, *, text_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(text_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, text_dim)
        nn.init.zeros_(self.fc2.weight)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Map (..., E) to (..., E)."""
        return features + self.fc2(F.gelu(self.fc1(F.normalize(features, dim=-1))))


class Negatives(NamedTuple):
    """Words beside the batch's that a row's image is not of. directions: (B, X, E), normalized;
    hidden: (B, X), true for those that the row must not count.
    """

    directions: Tensor
    hidden: Tensor


class Contrastive(nn.Module):
    """What the objective learns: temperature, adapter, and a projection where the encoder has none
    of CLIP's.

    image_dim: of the encoder's tokens; class_token: whether the first of them stands for the image.
    """

    def __init__(
        self, options: ContrastiveOptions, *, image_dim: int, text_dim: int, class_token: bool
    ) -> None:
        super().__init__()
        self.options, self.class_token = options, class_token
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / options.temperature)))
        fits = class_token and image_dim == text_dim
        self.projection = None if fits else nn.Linear(image_dim, text_dim, bias=False)
        hidden_dim = options.adapter
        self.adapter = Adapter(text_dim=text_dim, hidden_dim=hidden_dim) if hidden_dim else None
        # The adapter as it was when the words were last placed: a resumed run finds the same
        # nearest words.
        self.placing = copy.deepcopy(self.adapter).requires_grad_(False) if self.adapter else None

    def image_directions(self, encoded: Tensor) -> Tensor:
        """Map the encoder's tokens (B, N, D) to a normalized vector an image (B, E): the class
        token, or their mean.
        """
        pooled = (encoded[:, 0] if self.class_token else encoded.mean(1)).float()
        return F.normalize(pooled if self.projection is None else self.projection(pooled), dim=-1)

    def text_directions(self, features: Tensor) -> Tensor:
        """Map frozen text features (..., E) to normalized vectors, through the adapter if there is
        one.
        """
        return F.normalize(features if self.adapter is None else self.adapter(features), dim=-1)

    def place(self, space: WordSpace) -> None:
        """Place the vocabulary by the adapter as it is now."""
        if self.adapter is not None and self.placing is not None:
            self.placing.load_state_dict(self.adapter.state_dict())
        self.place_as_before(space)

    def place_as_before(self, space: WordSpace) -> None:
        """Place the vocabulary by the adapter as it was when that was last done."""
        if self.placing is not None:
            space.refresh(self.placing)

    def negatives(
        self,
        labels: Sequence[str],
        texts: Tensor,
        features: KeptFeatures,
        space: WordSpace | None,
        read: Sequence[str],
    ) -> Negatives | None:
        """Return the hard negatives of each label: its nearest words, and what was read instead of
        it.

        texts: the labels' directions (B, E); read: a text a row, or none at all.
        """
        keys = word_keys(labels).to(texts.device)
        parts: list[Negatives] = []
        if self.options.nearest and space is not None:
            with torch.no_grad():
                indexes, cosines = space.nearest(texts, self.options.nearest, besides=keys)
            directions = self.text_directions(space.frozen[indexes])  # (B, k, E)
            parts.append(Negatives(directions, ~cosines.isfinite()))
        if read:
            right = [
                not text or fold(text) == fold(label)
                for text, label in zip(read, labels, strict=True)
            ]
            directions = self.text_directions(features(read)).unsqueeze(1)  # (B, 1, E)
            parts.append(
                Negatives(directions, torch.tensor(right, device=texts.device).unsqueeze(1))
            )
        if not parts:
            return None
        return Negatives(
            torch.cat([p.directions for p in parts], 1), torch.cat([p.hidden for p in parts], 1)
        )

    def loss(
        self,
        images: Tensor,
        texts: Tensor,
        labels: Sequence[str],
        negatives: Negatives | None,
        gatherer: RowGatherer,
    ) -> Tensor:
        """Return the mean of both directions' losses over this device's rows, among the words and
        images of all devices.

        images, texts: normalized, (B, E). A word equal to the row's own but for case is no negative
            of it.
        """
        scale = self.log_scale.exp().clamp(max=_LARGEST_SCALE)
        keys = word_keys(labels).to(images.device)
        all_keys, present, first = gatherer.rows(keys)
        all_images, all_texts = gatherer.vectors(images), gatherer.vectors(texts)  # (G, E)
        targets = first + torch.arange(len(keys), device=images.device)
        hidden = hidden_words(keys, all_keys, present, targets)  # (B, G)
        to_words = (scale * images @ all_texts.T).masked_fill(hidden, -torch.inf)
        to_images = (scale * texts @ all_images.T).masked_fill(hidden, -torch.inf)
        if negatives is not None:
            hard = scale * torch.einsum("be,bxe->bx", images, negatives.directions)  # (B, X)
            to_words = torch.cat([to_words, hard.masked_fill(negatives.hidden, -torch.inf)], dim=1)
        return (F.cross_entropy(to_words, targets) + F.cross_entropy(to_images, targets)) / 2


def hidden_words(keys: Tensor, all_keys: Tensor, present: Tensor, targets: Tensor) -> Tensor:
    """Return which words are not held against a row's image (B, G): those equal to its own but for
    case, and those that are not there.

    keys: of the rows' words, (B); all_keys: of all devices' words, (G); present: which of these are
    there, (G); targets: where each row's own word stands among them, (B). A row's own word is not
    hidden.
    """
    hidden = (keys[:, None] == all_keys[None]) | ~present
    return hidden.scatter(1, targets[:, None], torch.zeros_like(hidden[:, :1]))
