"""Lines composed of word images side by side, for models that read spaces: a training set without
files.

In: data sets of single words. Out: images of two to six of them in a row, in one height, with room
between them, and their labels joined by spaces. Where the grounds of two words differ, the joint
would tell of the space; so most words are brought to the ground of the line's first one, and the
room between two fades from one ground to the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch.utils.data import Dataset

from strhub.data.sources.dataset import Found, Transform, Word, transform_words
from strhub.data.sources.mixture import SeededDataset

__all__ = ["ComposedLines", "compose", "is_vertical"]

Pixels = npt.NDArray[np.float32]

FEWEST: Final = 2  # words of a line
MOST: Final = 6
TALL: Final = 1.5  # height over width from which a word of several characters stands on end
WIDEST: Final = 20.0  # width over height that a line is not to exceed
_HEIGHTS: Final = (24, 64)  # pixels of a line, within the heights of its words
_ROOM: Final = (0.08, 0.8)  # between two words, in heights; most spaces are nearer to the first
_UNIFORM: Final = 0.7  # how likely a line's words are brought to one ground
_ATTEMPTS: Final = 4  # words tried for each that a line is to have


class ComposedLines(Dataset[Word]):
    """`size` lines an epoch, others in every epoch; an item is a pure function of its key, (index,
    seed).

    words: what lines are composed of: items whose images are PIL images, (index, seed) as their
    keys. max_length: of a line, in characters. transform: as of
    `strhub.data.sources.dataset.WordDataset`.
    """

    def __init__(
        self,
        words: SeededDataset,
        *,
        size: int,
        max_length: int,
        transform: Transform,
    ) -> None:
        self.words, self.size, self.max_length, self.transform = words, size, max_length, transform

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: tuple[int, int]) -> Word:
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Word]:
        """Return the lines for many keys, as torch's loaders ask for a batch."""
        return transform_words([self._find(*key) for key in keys], self.transform)

    def _find(self, index: int, seed: int) -> Found:
        rng = np.random.default_rng([seed, index])
        wanted = int(rng.integers(FEWEST, MOST + 1))
        asked = [
            (int(rng.integers(len(self.words))), int(rng.integers(2**62)))
            for _ in range(_ATTEMPTS * wanted)
        ]
        chosen: list[Word] = []
        length, width = -1, 0.0
        for key in asked:
            (word,) = self.words.__getitems__([key])
            aspect = word.image.width / word.image.height
            fits = (
                length + 1 + len(word.label) <= self.max_length
                and width + aspect + _ROOM[1] <= WIDEST
            )
            if is_vertical(word.image, word.label) or not fits:
                continue
            chosen.append(word)
            length, width = length + 1 + len(word.label), width + aspect + _ROOM[1]
            if len(chosen) == wanted:
                break
        if not chosen:  # nothing but words that stand on end, or are too long: any one of them
            chosen = self.words.__getitems__(asked[:1])
        image = (
            compose([word.image for word in chosen], rng) if len(chosen) > 1 else chosen[0].image
        )
        return Found(image, " ".join(word.label for word in chosen), 0, rng)


def is_vertical(image: Image.Image, label: str) -> bool:
    """Return whether a word of several characters is in an image too high for it to be read from
    left to right.
    """
    return len(label) > 1 and image.height > TALL * image.width


def compose(images: Sequence[Image.Image], rng: np.random.Generator) -> Image.Image:
    """Return RGB images, at least one, side by side as one line of text."""
    height = int(np.clip(np.median([image.height for image in images]), *_HEIGHTS))
    scaled = [
        np.asarray(
            image.resize((max(1, round(image.width * height / image.height)), height)),
            dtype=np.float32,
        )
        for image in images
    ]
    if rng.random() < _UNIFORM:
        ground = ground_of(scaled[0])
        scaled = [scaled[0], *(_on_ground(pixels, ground) for pixels in scaled[1:])]
    room = (
        _ROOM[0] + (_ROOM[1] - _ROOM[0]) * float(rng.random()) ** 2
    )  # one line's spaces are about alike
    parts = [scaled[0]]
    for pixels in scaled[1:]:
        columns = max(1, round(height * room * float(rng.uniform(0.8, 1.25))))
        parts += [_joint(parts[-1], pixels, columns, rng), pixels]
    return Image.fromarray(np.concatenate(parts, axis=1).clip(0, 255).astype(np.uint8))


def ground_of(pixels: Pixels) -> Pixels:
    """Return the usual color at the edges of an image (H, W, 3): its ground, mostly. (3)"""
    edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    color: Pixels = np.median(np.concatenate(edges), axis=0)
    return color


def _on_ground(pixels: Pixels, ground: Pixels) -> Pixels:
    """Return an image moved to another ground, inverted first where that is the nearer way."""
    own = ground_of(pixels)
    if abs(float((255 - own - ground).mean())) < abs(float((own - ground).mean())):
        pixels, own = 255 - pixels, 255 - own
    return pixels + (ground - own)


def _joint(left: Pixels, right: Pixels, columns: int, rng: np.random.Generator) -> Pixels:
    """Return what stands between two images: from the ground of one to that of the other, (H,
    columns, 3).
    """
    start, end = np.median(left[:, -2:], axis=(0, 1)), np.median(right[:, :2], axis=(0, 1))
    steps = np.linspace(0, 1, columns + 2, dtype=np.float32)[1:-1, None]
    fade = (1 - steps) * start + steps * end  # (columns, 3)
    grain = rng.standard_normal((len(left), columns, 1), dtype=np.float32) * np.float32(
        rng.uniform(0, 6)
    )
    joint: Pixels = fade[None] + grain
    return joint
