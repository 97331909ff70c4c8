"""What the pages show of words: images, label and text side by side, slices; each word once,
however often it is shown.

In: samples, and where their images are. Out: dictionaries fit for JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from PIL import Image

from strhub.data.sources.word_sets import WordSet
from strhub.evaluation.report.shell import data_uri, shown
from strhub.evaluation.results.sample import Sample, align
from strhub.evaluation.results.slices import slices_of

__all__ = ["MAPS", "Maps", "WordList", "key_of"]

Maps = Callable[[Image.Image], Image.Image | None]
"""Draws where in an image each character was read; None if the reader cannot tell."""

MAPS: Final = 60  # words with such a drawing, at most
MAP_SIZE: Final = (640, 400)


class WordList:
    """The words of a page; `add` gives the key that a script finds one by."""

    def __init__(self) -> None:
        self.words: dict[str, dict[str, Any]] = {}
        self._samples: dict[str, Sample] = {}

    def add(self, sample: Sample, *, reader: str = "") -> str:
        """Take in a word, or another reader's reading of it, and return its key."""
        key = key_of(sample)
        word = self.words.setdefault(
            key,
            {
                "key": key,
                "image": key,
                "set": shown(sample.set),
                "name": shown(sample.image),
                "source": sample.source,
                "label": shown(sample.label),
                "stored_label": shown(sample.stored_label),
                "slices": slices_of(sample),
                "readings": [],
            },
        )
        self._samples[key] = sample
        if all(one["reader"] != shown(reader) for one in word["readings"]):
            word["readings"].append(
                {
                    "reader": shown(reader),
                    "text": shown(sample.text),
                    "raw_text": sample.raw_text,
                    "confidence": None
                    if sample.confidence is None
                    else round(sample.confidence, 4),
                    "correct": sample.correct,
                    "pairs": [
                        [shown(one), shown(other), kind]
                        for one, other, kind in align(sample.label, sample.text)
                    ],
                }
            )
        return key

    def images(
        self, sets: Iterable[WordSet], maps: Maps | None = None, mapped: Sequence[str] = ()
    ) -> dict[str, str]:
        """Return the images as data, by key, as far as they can be read again.

        maps, mapped: of which words to draw where the characters were read, the first 60 of them.
        """
        found: dict[str, str] = {}
        with_maps = set(list(dict.fromkeys(mapped))[:MAPS])
        for words in sets:
            own = {
                (one.source, one.image): key
                for key, one in self._samples.items()
                if one.set == words.name
            }
            for index, image in words.open(own).items():
                key = own[index]
                found[key] = data_uri(image)
                map_ = maps(image) if maps is not None and key in with_maps else None
                if map_ is not None:
                    self.words[key]["map"] = data_uri(map_, MAP_SIZE)
        return found


def key_of(sample: Sample) -> str:
    """Return a word's key on a page."""
    return f"{sample.set}/{sample.index}"
