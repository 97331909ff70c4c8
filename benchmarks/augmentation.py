#!/usr/bin/env python3
"""Measure how fast training images are prepared on one core: decoded, augmented, resized,
normalized and collated.

Prints images per second and the fraction of time of each stage, for RandAugment implemented plainly
with Pillow and applied word by word, for the package's own, applied to 32 words at a time as
`WordTransform.batch` does, and for the strong preset; then the time of every operation of both. The
images are rendered words at their natural sizes, as JPEG and as PNG files. The implementations are
timed in turn, in processor time, so that other work on the machine affects them alike; the figures
are medians over repeats.
"""

import argparse
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.random import default_rng
from PIL import Image

from strhub.data.augment import operations as augment
from strhub.data.augment.operations import ArrayAugmentation, RandAugment, to_pixels
from strhub.data.augment.scene import SceneAugment
from strhub.data.synth import RenderedWords
from strhub.data.transforms import WordTransform
from strhub.images.open import open_bytes

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import reference_augment as plain

SIZE = (32, 128)
CHUNK = 32
Keyed = Sequence[tuple[int, bytes]]


class Clock:
    """Seconds of processor time by stage."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        self.last = time.process_time()

    def lap(self, stage: str) -> None:
        now = time.process_time()
        self.stages[stage] = self.stages.get(stage, 0.0) + now - self.last
        self.last = now


def word_by_word(words: Keyed) -> dict[str, float]:
    """Augment the plain way: every word goes through all stages before the next one."""
    clock, done, distort = Clock(), [], plain.RandAugment()
    for index, encoded in words:
        original = open_bytes(encoded)
        clock.lap("decode")
        rng = default_rng([0, index])
        original = distort(original, rng)
        clock.lap("augment")
        resized = original.resize((SIZE[1], SIZE[0]), Image.Resampling.BICUBIC)
        clock.lap("resize")
        pixels = np.asarray(resized, dtype=np.float32)
        done.append(
            torch.from_numpy(
                np.ascontiguousarray((pixels * np.float32(1 / 127.5) - 1).transpose(2, 0, 1))
            )
        )
        clock.lap("normalize")
    torch.stack(done)
    clock.lap("collate")
    return clock.stages


class Timed(ArrayAugmentation):
    """Measures what an augmentation takes of a `WordTransform`."""

    def __init__(self, inner: ArrayAugmentation) -> None:
        self.inner, self.seconds = inner, 0.0

    def distort(self, pixels: Any, rng: np.random.Generator) -> Any:
        begin = time.process_time()
        result = self.inner.distort(pixels, rng)
        self.seconds += time.process_time() - begin
        return result


def in_chunks(words: Keyed, inner: ArrayAugmentation) -> dict[str, float]:
    """Augment the package's way."""
    timed = Timed(inner)
    clock, transform, done = Clock(), WordTransform(SIZE, augment=timed), []
    for start in range(0, len(words), CHUNK):
        chunk = words[start : start + CHUNK]
        originals = [open_bytes(encoded) for _, encoded in chunk]
        clock.lap("decode")
        rngs = [default_rng([0, index]) for index, _ in chunk]
        clock.lap("augment")
        done.extend(transform.batch(originals, rngs))
        clock.lap("resize and normalize")
    torch.stack(done)
    clock.lap("collate")
    clock.stages["augment"] += timed.seconds
    clock.stages["resize and normalize"] -= timed.seconds
    return clock.stages


def compare(words: Keyed, repeats: int) -> None:
    sides: dict[str, Callable[[], dict[str, float]]] = {
        "plain": lambda: word_by_word(words),
        "default": lambda: in_chunks(words, RandAugment()),
        "strong": lambda: in_chunks(words, SceneAugment()),
    }
    for side in sides.values():
        side()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            runs[name].append(side())
    totals = {name: [sum(run.values()) for run in found] for name, found in runs.items()}
    for name, found in runs.items():
        stages = {stage: median(run[stage] for run in found) for stage in found[0]}
        whole = median(totals[name])
        fractions = ", ".join(
            f"{stage} {taken / sum(stages.values()):.0%}" for stage, taken in stages.items()
        )
        print(
            f"  {name:8} {len(words) / whole:6.0f} images/s, {1e6 * whole / len(words):5.0f} µs "
            f"each: {fractions}"
        )
    ratio = median(
        first / second for first, second in zip(totals["plain"], totals["default"], strict=True)
    )
    print(f"  default over plain: {ratio:.2f} times as fast (goal 2.0)", flush=True)


def compare_operations(originals: Sequence[Image.Image], repeats: int) -> None:
    print("operation, µs an image: plain, default")
    arrays, rng = [to_pixels(original) for original in originals], default_rng(0)
    for name, fast in augment.OPERATIONS.items():
        slow, pairs = plain.OPERATIONS[name], []
        for _ in range(repeats):
            clock = Clock()
            for original in originals:
                slow(original, 0.5, rng)
            clock.lap("plain")
            for pixels in arrays:
                fast(pixels, 0.5, rng)
            clock.lap("default")
            pairs.append(
                [1e6 * clock.stages[side] / len(originals) for side in ("plain", "default")]
            )
        before, after = (median(column) for column in zip(*pairs, strict=True))
        print(f"  {name:14} {before:5.0f} {after:5.0f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rendered = RenderedWords(charset="".join(map(chr, range(33, 127))), max_length=25, seed=0)
    originals = [rendered.render(index)[0] for index in range(args.images)]
    for kind in ("JPEG", "PNG"):
        words = []
        for index, original in enumerate(originals):
            file = io.BytesIO()
            original.save(file, kind)
            words.append((index, file.getvalue()))
        print(
            f"{kind}, {np.mean([original.width * original.height for original in originals]):.0f} "
            "pixels on average"
        )
        compare(words, args.repeats)
    compare_operations(originals[:128], args.repeats)


if __name__ == "__main__":
    main()
