"""Score a model of the contrastive ablation on features of the test words, which its frozen
convolutions have computed once.
"""

import json
import time
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from ablation import stored
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor
from torch.nn import functional as F

from strhub.clip.contrastive import Contrastive
from strhub.clip.spelling import SpellingFeatures
from strhub.clip.words import KeptFeatures, WordSpace
from strhub.data.loading.features import FeatureStore
from strhub.data.module import SceneTextDataModule
from strhub.data.synth import RenderedWords
from strhub.images.options import image_options
from strhub.models.light_ctc import Network
from strhub.text import CHARSET_36, CharsetAdapter, CTCTokenizer
from strhub.training.cached_features import compute_features

BATCH = 128
HEIGHT = 48
PROBED = 2000  # training words that the linear probe of retrieval is fitted to
EVERY = 4  # photograph is blurred and covered, too
CANDIDATES = 10_000  # most frequent training words that an image's word is looked for among
BLURS, BARS = (2.0, 3.5), (0.06, 0.12)  # pixels of 48; fraction of the width


class Words(NamedTuple):
    """Words of one kind: what the trunk made of each image, (N, D) in 16 bits, and its label."""

    features: list[Tensor]
    labels: list[str]


def blurred(image: Image.Image, radius: float, _: int) -> Image.Image:
    """Return an image 48 pixels high, blurred."""
    width = max(8, round(image.width * HEIGHT / image.height))
    return image.resize((width, HEIGHT)).filter(ImageFilter.GaussianBlur(radius))


def covered(image: Image.Image, fraction: float, seed: int) -> Image.Image:
    """Return an image with a gray bar of that fraction of its width over it, anywhere."""
    image = image.copy()
    bar = max(1, round(image.width * fraction))
    left = int(np.random.default_rng(seed).integers(max(1, image.width - bar)))
    ImageDraw.Draw(image).rectangle((left, 0, left + bar - 1, image.height), fill=(128, 128, 128))
    return image


def kinds(val: Path | None, rendered: int) -> dict[str, list[tuple[Image.Image, str]]]:
    """Return images and labels to score on, by kind: so many rendered words, and photographs, if
    there are any.
    """
    renderer = RenderedWords(charset=CHARSET_36, max_length=15, seed=11, difficulty=(0.3, 1.0))
    found = {"rendered": [renderer.render(index) for index in range(rendered)]}
    if val is None:
        return found
    photographs = [word for word in stored(val) if word[1]]
    found["val"] = photographs
    for name, distort, strengths in (("blur", blurred, BLURS), ("bar", covered, BARS)):
        for strength in strengths:
            found[f"{name} {strength}"] = [
                (distort(photographs[number][0], strength, number), photographs[number][1])
                for number in range(0, len(photographs), EVERY)
            ]
    return found


def words_to_score(
    path: Path, network: Network, hparams: Any, val: Path | None, rendered: int
) -> dict[str, Words]:
    """Return the words to score on, by kind, computed once and kept in a file."""
    if not path.exists():
        transform = SceneTextDataModule.get_transform(**image_options(hparams))
        words = {}
        for kind, found in kinds(val, rendered).items():
            features: list[Tensor] = []
            for start in range(0, len(found), 64):
                images = [transform(image) for image, _ in found[start : start + 64]]
                features += [one.half() for one in compute_features(network, images, half=True)]
            words[kind] = (features, [label for _, label in found])
            print(f"{kind}: {len(found)} words", flush=True)
        partial = path.with_suffix(".partial")
        torch.save(words, partial)
        partial.replace(path)
    return {kind: Words(*found) for kind, found in _load(path).items()}


@lru_cache(maxsize=1)
def _load(path: Path) -> dict[str, tuple[list[Tensor], list[str]]]:
    loaded: dict[str, tuple[list[Tensor], list[str]]] = torch.load(path, weights_only=True)
    return loaded


class Read(NamedTuple):
    """What a model makes of words: texts, confidences, and the mean of each image's columns (n,
    D).
    """

    texts: list[str]
    confidences: list[float]
    pooled: Tensor


@torch.inference_mode()
def read(network: Network, tokenizer: CTCTokenizer, features: Sequence[Tensor]) -> Read:
    """Read words from their features; those of one length together."""
    texts, confidences = [""] * len(features), [0.0] * len(features)
    pooled = torch.zeros(len(features), network.head.in_features)
    by_length: dict[int, list[int]] = {}
    for number, one in enumerate(features):
        by_length.setdefault(len(one), []).append(number)
    for numbers in by_length.values():
        for start in range(0, len(numbers), BATCH):
            part = numbers[start : start + BATCH]
            tokens = network.tokens(torch.stack([features[n] for n in part]).float())
            found, sure = tokenizer.decode(network.head(tokens).softmax(-1))
            pooled[part] = tokens.mean(1)
            for number, text, each in zip(part, found, sure, strict=True):
                texts[number], confidences[number] = text, float(np.prod(np.asarray(each)))
    return Read(texts, confidences, pooled)


def rights(read_texts: Sequence[str], labels: Sequence[str]) -> list[bool]:
    """Return which texts are right, in digits and lower case."""
    adapter = CharsetAdapter(CHARSET_36)
    return [adapter(text) == adapter(label) for text, label in zip(read_texts, labels, strict=True)]


def packed(values: Sequence[bool]) -> str:
    """Return verdicts as hexadecimal digits, the first the highest bit."""
    return np.packbits(np.asarray(values, np.uint8)).tobytes().hex()


def score(
    network: Network,
    tokenizer: CTCTokenizer,
    objective: Contrastive | None,
    words: dict[str, Words],
    store: FeatureStore,
    text: KeptFeatures | None = None,
) -> dict[str, Any]:
    """Return a run's figures: verdicts a word by kind, confidences, and how many images find their
    word. text: what the objective placed words with, if not by their letters.
    """
    network.eval()
    result: dict[str, Any] = {"right": {}, "accuracy": {}}
    kind = "val" if "val" in words else "rendered"
    readings = {}
    for name, (features, labels) in words.items():
        readings[name] = read(network, tokenizer, features)
        right = rights(readings[name].texts, labels)
        result["right"][name] = packed(right)
        result["accuracy"][name] = round(100 * sum(right) / len(right), 3)
    result["per_mille_sure"] = [round(1000 * one) for one in readings[kind].confidences]
    labels = words[kind].labels
    frequent = Counter(store.labels).most_common(CANDIDATES)
    candidates = [*dict.fromkeys(labels), *(word for word, _ in frequent)]
    space = WordSpace(candidates, SpellingFeatures())
    probe = fitted(network, tokenizer, store)
    result["found by probe"] = found(space, readings[kind].pooled @ probe, labels)
    if objective is not None:
        with torch.inference_mode():
            images = objective.image_directions(readings[kind].pooled[:, None])
        own = space if text is None else WordSpace(candidates, text)
        result["found by projection"] = found(own, images, labels)
    return result


def fitted(
    network: Network,
    tokenizer: CTCTokenizer,
    store: FeatureStore,
    text: KeptFeatures | None = None,
) -> Tensor:
    """Return the linear map (D, E) from the mean of an image's columns to its word's place that is
    best, by ridge regression on training words. text: what places them, if not their letters.
    """
    chosen = [store.read(index, 0) for index in range(min(PROBED, store.size))]
    pooled = read(network, tokenizer, [features for features, _ in chosen]).pooled
    targets = F.normalize((text or SpellingFeatures()).compute([w for _, w in chosen]), dim=-1)
    square = pooled.T @ pooled
    ridge = 1e-3 * square.diagonal().mean() * torch.eye(len(square))
    return torch.linalg.solve(square + ridge, pooled.T @ targets)


def found(space: WordSpace, images: Tensor, labels: Sequence[str]) -> float:
    """Return the percentage of images whose own word is the nearest."""
    best, _ = space.nearest(F.normalize(images, dim=-1), 1)
    names = [space.words[int(index)].casefold() for index in best[:, 0]]
    right = [name == label.casefold() for name, label in zip(names, labels, strict=True)]
    return round(100 * sum(right) / len(right), 3)


class Curve(pl.Callback):
    """Reads one test word of `of` while a run trains, and writes to a file what it read right
    after how many steps and seconds of training, processor time.
    """

    of = 3

    def __init__(self, *, words: str, kind: str, output: str, every: int) -> None:
        self.words, self.kind, self.output, self.every = Path(words), kind, Path(output), every
        self.points: list[dict[str, float]] = []
        self.begin = self.aside = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Score what it begins with."""
        self.begin = time.process_time()
        self.aside = 0.0
        self._add(0, pl_module)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Score every so many steps, and after the last."""
        step = trainer.global_step
        if step % self.every == 0 or step == trainer.max_steps:
            self._add(step, pl_module)

    def texts(self, system: Any, features: Any) -> list[str]:
        """Return what a system reads in features of words."""
        return read(system.model.eval(), system.tokenizer, features).texts

    def _add(self, step: int, system: Any) -> None:
        now = time.process_time()
        features, labels = _load(self.words)[self.kind]
        right = rights(self.texts(system, features[:: self.of]), labels[:: self.of])
        system.train()
        self.points.append(
            {
                "step": step,
                "seconds": round(now - self.begin - self.aside, 2),
                "accuracy": round(100 * sum(right) / len(right), 3),
            }
        )
        self.output.write_text(json.dumps(self.points), "utf-8")
        self.aside += time.process_time() - now
