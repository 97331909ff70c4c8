"""Texts without images, for a language model: from word lists, or such as rendered words have.

In: UTF-8 files, a word or more a line. Out: a data module like `SceneTextDataModule`, whose batches
have their texts as labels and images of shape (B, 0).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from strhub.data.module import SceneTextDataModule
from strhub.data.sources.dataset import Word
from strhub.data.synth.text import TextSampler
from strhub.text import DroppedLabel, LabelPreparation
from strhub.utils.regular_files import open_regular

log = logging.getLogger(__name__)

HELD_OUT = 20  # every so many-th word of a list is validated on, if there is no other list
RENDERED_VALIDATION = 2000


class TextDataModule(SceneTextDataModule):
    """The texts of a run.

    words: file of words to train on, an epoch being one pass; None: `render.words` texts an
        epoch, of the same mixture of words, names, numbers and signs as rendered images.
    val_words: file of words to validate on; None: every 20th of `words`, which is then not trained
        on, or rendered texts.
    options: those of `SceneTextDataModule`, of which what concerns images and their sets is not
        used.
    """

    def __init__(
        self,
        *,
        words: str | Path | None = None,
        val_words: str | Path | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.words, self.val_words = words, val_words
        if words is None and self.render.words < 1:
            raise ValueError(
                "there are no texts to train on: set data.words to a file, or data.render.words to "
                "their number"
            )

    @property
    def train_dataset(self) -> Any:
        """Return the texts for training; `ValueError` if there are none."""
        return self._datasets[0]

    @property
    def val_dataset(self) -> Any:
        """Return the texts for validation; `ValueError` if there are none."""
        return self._datasets[1]

    @cached_property
    def _datasets(self) -> tuple[Dataset[Word], Dataset[Word]]:
        """Return the texts for training and for validation."""
        training = [] if self.words is None else self._read_words(self.words)
        validation = [] if self.val_words is None else self._read_words(self.val_words)
        if training and not validation:
            validation = training[HELD_OUT - 1 :: HELD_OUT]
            training = [word for number, word in enumerate(training, start=1) if number % HELD_OUT]
            if not validation:
                raise ValueError(
                    f"{self.words} has fewer than {HELD_OUT} usable words: give data.val_words as "
                    "well"
                )
        if training:
            return ListedTexts(training), ListedTexts(validation)
        longest = self.render.longest(self.max_label_length)
        sampler = TextSampler(charset=self.charset_train, max_length=longest)
        rendered = SampledTexts(sampler, self.render.words)
        if validation:
            return rendered, ListedTexts(validation)
        return rendered, SampledTexts(sampler, RENDERED_VALIDATION)

    def _read_words(self, path: str | Path) -> list[str]:
        """Return the words of a file, brought to the charset; `ValueError` if it cannot be read or
        has none.
        """
        prepare = LabelPreparation(
            self.charset_train, max_length=self.max_label_length, fold_ascii=self.fold_ascii
        )
        kept, dropped = [], Counter[str]()
        try:
            with TextIOWrapper(open_regular(path), encoding="utf-8-sig") as lines:
                for word in (word for line in lines for word in self._words_of(line)):
                    try:
                        kept.append(prepare(word))
                    except DroppedLabel as reason:
                        dropped[reason.reason] += 1
        except OSError as error:
            raise ValueError(f"the word list {path} cannot be read: {error}") from error
        except UnicodeDecodeError as error:
            raise ValueError(
                f"the word list {path} is not UTF-8 ({error}): save it as UTF-8"
            ) from error
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.most_common())
        log.info("%s: %d words%s", path, len(kept), f"; dropped: {reasons}" if reasons else "")
        if not kept:
            raise ValueError(f"the word list {path} has no word to use: {reasons or 'it is empty'}")
        return kept

    def _words_of(self, line: str) -> list[str]:
        """Return a line as one text if the charset has a space, otherwise its words."""
        return [line.strip()] if " " in self.charset_train and line.strip() else line.split()


class ListedTexts(Dataset[Word]):
    """The texts of a list; an item's key is index, or (index, seed)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, key: int | tuple[int, int]) -> Word:
        return _without_image(self.texts[key if isinstance(key, int) else key[0]])


class SampledTexts(Dataset[Word]):
    """`size` rendered texts; an item is a function of its key, index or (index, seed)."""

    def __init__(self, sampler: TextSampler, size: int) -> None:
        self.sampler, self.size = sampler, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: int | tuple[int, int]) -> Word:
        entropy = [key] if isinstance(key, int) else [key[1], key[0], 1]
        return _without_image(self.sampler(np.random.default_rng(entropy)))


def _without_image(text: str) -> Word:
    return Word(torch.empty(0), text, 0)
