#!/usr/bin/env python3
"""Find the thresholds of `strhub.Spotter`, one at a time, with which most words are found and read
right.

python tools/spotting_thresholds.py PHOTOS --every 5 --vary least_space least_confidence

PHOTOS: photographs and their words, as for `./test.py --photos`. --every: use only every N-th
photograph, so that the others can show how good the choice is. Prints end-to-end H-means by value,
with a star at the default; detection runs once. After a change of the reader's weights, vary
least_space, reread, least_confidence and least_alone, and make the best values the defaults:
`LEAST_SPACE` in strhub/inference/lines.py, `ReadingOptions` in strhub/spotting/reading.py. Those
of the detector are in `EmbeddedDetector`, strhub/spotting/detector.py. Differences of less than one
or two words in a hundred mean nothing.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from strhub import Recognizer
from strhub.data.sources.annotated_photos import Annotated, find_annotated
from strhub.evaluation.spotting import SpottingScore, score_image
from strhub.inference import lines
from strhub.spotting.detector import EmbeddedDetector
from strhub.spotting.reading import LineReader, ReadingOptions

GRID: dict[str, tuple[float, ...]] = {
    "threshold": (0.15, 0.2, 0.25, 0.3, 0.4),
    "least_score": (0.4, 0.5, 0.55, 0.6, 0.65, 0.7),
    "growth": (0.5, 0.6, 0.7, 0.8, 0.9),
    "least_space": (0.01, 0.02, 0.03, 0.05, 0.1),
    "reread": (0.0, 0.6, 0.7, 0.8, 0.9, 0.95),
    "least_confidence": (0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    "least_alone": (0.2, 0.5, 0.9),
}
OF_DETECTOR = ("threshold", "least_score", "growth")
OF_READING = ("reread", "least_confidence", "least_alone")


class StoredMaps(EmbeddedDetector):
    """A detector that computes the map of each image once."""

    def __init__(self, maps: dict[tuple[int, Any], Any], **options: Any) -> None:
        super().__init__(**options)
        self.maps, self.key = maps, 0

    def probabilities(self, image: Image.Image) -> Any:
        """Return the map of the image that `key` names."""
        key = (self.key, image.size)
        if key not in self.maps:
            self.maps[key] = super().probabilities(image).astype(np.float16)
        return self.maps[key].astype(np.float32)


def measure(
    photos: list[Annotated],
    images: list[Image.Image],
    reader: Recognizer,
    maps: Any,
    values: dict[str, float],
) -> tuple[SpottingScore, float]:
    """Return the counts with these values, and milliseconds of processor time a photograph."""
    lines.LEAST_SPACE = values.get("least_space", lines.LEAST_SPACE)
    detector = StoredMaps(maps, **{name: values[name] for name in OF_DETECTOR if name in values})
    options: dict[str, Any] = {name: values[name] for name in OF_READING if name in values}
    read = LineReader(reader, ReadingOptions(**options))
    total, began = SpottingScore(), time.process_time()
    for detector.key, (photo, image) in enumerate(zip(photos, images, strict=True)):
        words = [
            (word.quad, word.text) for line in read(image, detector(image)) for word in line.words
        ]
        total = total + score_image(photo.words, words)
    return total, 1000 * (time.process_time() - began) / len(photos)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--vary", nargs="+", choices=[*GRID], default=[*GRID])
    parser.add_argument("--model", default="strhub-small")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="other values than the defaults, as name=value",
    )
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    photos = find_annotated(args.photos)[:: args.every]
    images = [photo.open() for photo in photos]
    reader = Recognizer(args.model, threads=args.threads, reread_below=0)
    base = {name: float(value) for name, value in (pair.split("=", 1) for pair in args.set)}
    defaults = {
        **vars(ReadingOptions()),
        **vars(EmbeddedDetector()),
        "least_space": lines.LEAST_SPACE,
        **base,
    }
    maps: dict[tuple[int, Any], Any] = {}
    print(f"{len(photos)} photographs", *(f"{name}={value}" for name, value in base.items()))
    for name in args.vary:
        for value in GRID[name]:
            lines.LEAST_SPACE = defaults["least_space"]
            score, milliseconds = measure(photos, images, reader, maps, {**base, name: value})
            star = "*" if value == defaults[name] else " "
            counts = f"{score.right} of {score.true} right, {score.found} found"
            print(
                f"{name:>16} {value:<5}{star} end to end {score.end_to_end:.3f}  "
                f"found {score.detection:.3f}  {counts}, {milliseconds:.0f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
