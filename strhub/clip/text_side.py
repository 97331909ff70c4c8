"""The text side made ready for training: tower, tokenizer and vocabulary, from the options of a
run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from strhub.clip.contrastive import ContrastiveOptions
from strhub.clip.sources import find_clip
from strhub.clip.spelling import SPELLING, SpellingFeatures
from strhub.clip.tokenizer import load_tokenizer
from strhub.clip.weights import ClipWeights, read_clip
from strhub.clip.words import KeptFeatures, WordFeatures, WordSpace
from strhub.utils.regular_files import read_regular_text

log = logging.getLogger(__name__)


class TextSide(NamedTuple):
    """features: of words; space: the vocabulary, None if the objective has no use for it."""

    features: KeptFeatures
    space: WordSpace | None

    def to(self, device: torch.device) -> TextSide:
        """Move everything, in place."""
        self.features.to(device)
        if self.space is not None:
            self.space.to(device)
        return self


def text_size(
    options: ContrastiveOptions, hparams: Mapping[str, Any], pretrained_encoder: str | None
) -> int:
    """Return the size of the text features, from the weights if nothing else tells."""
    if options.text_dim is not None:
        return options.text_dim
    if options.text_weights == SPELLING:
        return SpellingFeatures().dim
    if options.text_weights is None and hparams.get("enc_embed_dim"):
        return int(hparams["embed_dim"])  # one CLIP: both towers project to one space
    clip, _ = _read({**hparams, "pretrained_encoder": pretrained_encoder}, options)
    return int(clip.text["projection.weight"].shape[0]) if clip.text else 0


def load_text_side(
    options: ContrastiveOptions,
    hparams: Mapping[str, Any],
    training_words: Callable[[], Counter[str]] | None,
) -> TextSide:
    """Load the text tower and, if nearest words are asked for, the vocabulary.

    hparams: `pretrained_encoder`, `encoder` and `enc_activation`. training_words: words of the
        training sets by number.
    Raises `ValueError` for weights, a tokenizer or a vocabulary that are not to be had, saying how
    to get them.
    """
    features = _features(options, hparams)
    if not options.nearest:
        return TextSide(features, None)
    if options.vocabulary is not None:
        words = read_words(options.vocabulary)
    elif training_words is not None:
        words = training_words()
    else:
        raise ValueError(
            "contrastive.nearest needs words: set contrastive.vocabulary to a file of them"
        )
    space = WordSpace([word for word, _ in words.most_common(options.vocabulary_size)], features)
    log.info("contrastive vocabulary: %d words", len(space.words))
    return TextSide(features, space)


def _features(options: ContrastiveOptions, hparams: Mapping[str, Any]) -> KeptFeatures:
    """Return what makes features of words."""
    if options.text_weights == SPELLING:
        return SpellingFeatures(**({"dim": options.text_dim} if options.text_dim else {}))
    clip, activation = _read(hparams, options)
    tower = clip.text_tower(activation)
    return WordFeatures(tower, load_tokenizer(options.merges, vocab_size=tower.vocab_size))


def read_words(path: str | Path) -> Counter[str]:
    """Return the words of a file, one or more a line, and how often each occurs; `ValueError` if
    there are none.
    """
    try:
        words = Counter(read_regular_text(path).split())
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the vocabulary {path} cannot be read: {error}") from error
    if not words:
        raise ValueError(f"the vocabulary {path} has no word")
    return words


def _read(hparams: Mapping[str, Any], options: ContrastiveOptions) -> tuple[ClipWeights, str]:
    """Return the CLIP whose text tower it is, and what activation that has."""
    source = options.text_weights or hparams.get("pretrained_encoder")
    if source is None:
        raise ValueError(
            "the contrastive objective needs a text tower: set contrastive.text_weights to a "
            "CLIP's file or name, "
            "or pretrained_encoder"
        )
    found = find_clip(source, hparams.get("encoder", ""))
    activation = found.activation or (
        None if options.text_weights else hparams.get("enc_activation")
    )
    return read_clip(found.path), activation or "quick_gelu"
