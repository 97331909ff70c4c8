"""Measure a model's accuracy, calibration, errors on images without text, and latency.

It prints the accuracy in percent with 95 % intervals (Wilson) on rendered words and on sets, in
36 and in 94 characters, with and without re-reading of doubtful words, for models that decode
step by step both that way (AR, one refinement) and all at once (NAR); the calibration error; the
fraction of images without text, rendered ones and crops of --photographs, that are read with a
confidence above 0.5; and the milliseconds per word.

example:
  strhub-model measure strhub-tiny --data_root data --sets IIIT5k SVT IC15 IC03
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from strhub.cli.model_words import Word, rendered_words, stored_words, word_arguments
from strhub.data.synth import RenderedWords
from strhub.evaluation.calibration import expected_calibration_error
from strhub.evaluation.charsets import charset_named
from strhub.evaluation.fitting import scored
from strhub.images.find import find_images
from strhub.utils.progress import progress
from strhub.utils.renamed_option import former_option

if TYPE_CHECKING:
    from strhub.inference.reading import Reading
    from strhub.inference.recognizer import Recognizer

BATCH = 64  # images between two lines of progress


def interval(right: int, count: int) -> str:
    """Return `accuracy [low, high]` in percent, with the 95 % interval of Wilson."""
    from strhub.evaluation.results.intervals import wilson

    rate, low, high = (100 * value for value in wilson(right, count))
    return f"{rate:.1f} [{low:.1f}, {high:.1f}]"


def empty_images(count: int, seed: int) -> Iterator[Image.Image]:
    """Yield flat colors, slopes, noise, and rendered backgrounds without words, in turn."""
    rendered = RenderedWords(
        charset=charset_named("94"), max_length=12, seed=seed, difficulty=(0.0, 1.0), blanks=1.0
    )
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        height, width = int(rng.integers(16, 64)), int(rng.integers(24, 200))
        color, other = rng.uniform(0, 255, (2, 1, 1, 3))
        flat = np.broadcast_to(color, (height, width, 3))
        if index % 5 == 0:
            pixels = flat
        elif index % 5 == 1:
            pixels = flat + (other - flat) * np.linspace(0, 1, width)[None, :, None]
        elif index % 5 == 2:
            pixels = flat + rng.normal(0, rng.uniform(2, 60), (height, width, 3))
        else:
            yield rendered.render(index)[0]
            continue
        yield Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def random_crops(folder: Path, count: int, seed: int) -> Iterator[Image.Image]:
    """Yield rectangles of the shapes of words, anywhere in the photographs of a folder, in turn."""
    photographs = [Image.open(path).convert("RGB") for path in find_images([str(folder)])]
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        photograph = photographs[index % len(photographs)]
        height = int(rng.integers(16, min(160, photograph.height)))
        width = min(int(height * rng.uniform(1, 5)), photograph.width)
        left, top = (
            rng.integers(photograph.width - width + 1),
            rng.integers(photograph.height - height + 1),
        )
        yield photograph.crop((int(left), int(top), int(left) + width, int(top) + height))


def ways_of(model: str) -> dict[str, Recognizer]:
    """Return readers of a model, by what each does: re-read or not, and how it decodes."""
    from strhub.checkpoint.zoo import load
    from strhub.inference.recognizer import Recognizer

    decodings: dict[str, dict[str, Any]] = {"": {}}
    if "decode_ar" in load(model).hparams:
        decodings = {
            "AR": {"decode_ar": True, "refine_iters": 1},
            "NAR": {"decode_ar": False, "refine_iters": 0},
        }
    return {
        f"{way}, {views}".removeprefix(", "): Recognizer(model, reread_below=below, **options)
        for way, options in decodings.items()
        for views, below in (("re-read", None), ("one look", 0))
    }


def read_all(recognizer: Recognizer, images: list[Image.Image], what: str) -> list[Reading]:
    """Return the readings of images, and say how far that has come."""
    found = []
    for start in progress(range(0, len(images), BATCH), f"batches of {BATCH}, {what}"):
        found += recognizer(images[start : start + BATCH])
    return found


def print_accuracy(sets: dict[str, list[Word]], model: str) -> None:
    """Print a row for each set, and how far confidences are from the truth on all of them."""
    ways = ways_of(model)
    charsets = {size: scored(charset_named(str(size))) for size in (36, 94)}
    print(
        "| set | words | "
        + " | ".join(f"{way}, {size}" for way in ways for size in charsets)
        + " |"
    )
    print("| --- " * (2 + len(ways) * len(charsets)) + "|")
    verdicts: dict[str, list[tuple[float, bool]]] = {
        way: [] for way in ways
    }  # with confidences, all 94 characters
    for name, words in sets.items():
        cells = []
        for way, recognizer in ways.items():
            readings = read_all(recognizer, [original for original, _ in words], name)
            for size, adapt in charsets.items():
                right = [
                    adapt(one.text) == adapt(label)
                    for one, (_, label) in zip(readings, words, strict=True)
                ]
                cells.append(interval(sum(right), len(words)))
                if size == 94:
                    verdicts[way] += [
                        (reading.confidence, is_right)
                        for reading, is_right in zip(readings, right, strict=True)
                    ]
        print(f"| {name} | {len(words):,} | " + " | ".join(cells) + " |", flush=True)
    errors = [
        f"{way} {100 * expected_calibration_error(*zip(*pairs, strict=True)):.1f} %"
        for way, pairs in verdicts.items()
    ]
    print(f"\ncalibration error of all these: {', '.join(errors)}")


def print_latency(originals: list[Image.Image], model: str, threads: int, repeats: int) -> None:
    """Print milliseconds per word, from images in memory to texts: as `Recognizer` does it by
    itself, with one look at each image, and by PyTorch.
    """
    from strhub.checkpoint.zoo import load
    from strhub.inference.recognizer import Recognizer

    ways: dict[str, tuple[Any, float | None]] = {
        "by default": (model, None),
        "one look": (model, 0),
        "PyTorch, one look": (load(model), 0),
    }
    for batch_size in (1, 32):
        chosen = originals[:: max(1, len(originals) // (100 if batch_size == 1 else 256))]
        readers = {
            way: Recognizer(
                one, device="cpu", batch_size=batch_size, threads=threads, reread_below=below
            )
            for way, (one, below) in ways.items()
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for turn in progress(range(1 + repeats), f"rounds timed, batches of {batch_size}"):
            for way, reader in readers.items():
                time.sleep(0.5)
                start = time.perf_counter()
                for original in chosen if batch_size == 1 else [chosen]:
                    reader(original)
                if turn:  # the first warms up
                    times[way].append(1000 * (time.perf_counter() - start) / len(chosen))
        for way in ways:
            low, middle, high = np.quantile(times[way], [0, 0.5, 1])
            title = f"{way}, {threads} threads, " + (
                "alone" if batch_size == 1 else f"batches of {batch_size}"
            )
            print(f"{title}: {middle:.2f} ms a word ({low:.2f} to {high:.2f})")


def fraction_above(originals: Iterable[Image.Image], model: str, threshold: float) -> float:
    """Return the fraction of images that come back with a confidence above a threshold."""
    from strhub.inference.recognizer import Recognizer

    readings = read_all(Recognizer(model), list(originals), "images without text")
    return sum(reading.confidence > threshold for reading in readings) / len(readings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of measure."""
    parser.add_argument("model", help="id or path of the model")
    word_arguments(parser)
    parser.add_argument("--rendered", type=int, default=1000, help="number of words to render")
    former_option(parser, "--drawn", "rendered")
    parser.add_argument("--empty", type=int, default=1000, help="number of images without text")
    parser.add_argument(
        "--photographs",
        type=Path,
        metavar="FOLDER",
        help="folder of photographs without text, from which as many crops are taken",
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads for the latency")
    parser.add_argument("--repeats", type=int, default=7, help="timed runs for the latency")


def words_of(args: argparse.Namespace) -> dict[str, list[Word]]:
    """Return the words of each set that has any; `ValueError` if none has."""
    rendered = rendered_words(charset_named("94"), args.rendered, 30_000)
    sets = {"rendered, difficulty 0 to 0.8": list(rendered)}
    for name in args.sets:
        sets[name] = [
            (Image.new("RGB", (32, 32)) if image is None else image, label)
            for image, label in stored_words(args.data_root, name)
        ]
    if not any(sets.values()):
        raise ValueError("there are no words to measure on: name --sets, or some --rendered ones")
    return {name: words for name, words in sets.items() if words}


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    sets = words_of(args)
    print_accuracy(sets, args.model)
    outcome = "read with a confidence above 0.5"
    if args.empty:
        fraction = fraction_above(empty_images(args.empty, 40_000), args.model, 0.5)
        print(f"\n{args.empty} images with nothing to read: {100 * fraction:.1f} % {outcome}")
    if args.photographs and args.empty:
        fraction = fraction_above(
            random_crops(args.photographs, args.empty, 50_000), args.model, 0.5
        )
        print(f"{args.empty} crops of photographs: {100 * fraction:.1f} % {outcome}")
    photographed = [words for name, words in sets.items() if name in args.sets] or sets.values()
    originals = [original for words in photographed for original, _ in words]
    print_latency(originals, args.model, args.threads, args.repeats)
