"""Words with labels and readings for tests of evaluation: some in memory, some in small sets on
disk.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from strhub.data.sources.lmdb import write_lmdb
from strhub.evaluation.readers import Opened
from strhub.evaluation.results import Sample
from strhub.evaluation.results.sample import WordReading

# Label, text, confidence. Counted by hand: 30 words, 151 characters in labels; 20 are right.
# Substituted: 0/o, 1/l, b/8, s/5, e/c, m/n, r/n (7). Lost: r, l, l, the 4 of "late" and the 3 of
# "bus" (10).
# Added: m of "comma", s of "cats", 2 of "24h" (3). Together 20 edits.
HAND = (
    ("exit", "exit", 0.99), ("hotel", "hotel", 0.98), ("open", "open", 0.97), ("stop", "stop",
        0.96),
    ("coffee", "coffee", 0.95), ("market", "market", 0.94), ("street", "street", 0.93), ("station",
        "station", 0.92),
    ("library", "library", 0.91), ("museum", "museum", 0.90), ("bakery", "bakery", 0.89), ("school",
        "school", 0.88),
    ("garden", "garden", 0.87), ("office", "office", 0.86), ("cinema", "cinema", 0.85), ("bridge",
        "bridge", 0.84),
    ("police", "police", 0.83), ("metro", "metro", 0.82), ("bank", "bank", 0.81), ("shop", "shop",
        0.80),
    ("r0om", "room", 0.95), ("1ane", "lane", 0.75), ("bar", "8ar", 0.65), ("sale", "5alc", 0.55),
    ("farmer", "fanne", 0.45), ("mall", "ma", 0.35), ("late", "", 0.0), ("bus", "", 0.0),
    ("coma", "comma", 0.25), ("cat4h", "cats24h", 0.15),
)  # fmt: skip


def samples(
    words: Iterable[tuple[str, str, float]] = HAND, *, set_name: str = "hand"
) -> list[Sample]:
    """Return words as samples of one set."""
    return [
        Sample(set_name, index, "here", f"image-{index + 1:09d}", label, text, label, text,
            confidence,
               tuple([confidence] * len(text)), 60, 20, 0.0, 12.0)
        for index, (label, text, confidence) in enumerate(words)
    ]  # fmt: skip


def image_of(text: str) -> Image.Image:
    """Return an image of a text, as far as the default font has it."""
    image = Image.new("RGB", (12 + 8 * max(1, len(text)), 24), (40, 60, 90))
    ImageDraw.Draw(image).text((6, 6), text.encode("ascii", "replace").decode(), fill="white")
    return image


def write_words(folder: Path, words: Sequence[str]) -> Path:
    """Write an LMDB with these labels and return its folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_lmdb(folder, [(image_of(word), word) for word in words])
    return folder


def write_folder(folder: Path, rows: Sequence[tuple[str, str]]) -> Path:
    """Write a folder of images with labels.csv of these rows of name and label, and return it."""
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows(rows)
    for name, label in rows:
        image_of(label).save(folder / name)
    return folder


def write_table(
    path: Path, rows: Iterable[Sequence[str]], head: Sequence[str] = ("image", "text", "confidence")
) -> Path:
    """Write a TSV of predictions and return its path."""
    path.write_text("".join("\t".join(row) + "\n" for row in (head, *rows)), "utf-8")
    return path


class Told:
    """A reader that is told what to read, by label, and else reads what the label says."""

    def __init__(
        self, readings: Mapping[str, tuple[str, float]] | None = None, name: str = "told"
    ) -> None:
        self.readings = readings or {}
        self.description: Mapping[str, Any] = {"name": name, "precision": "float32"}

    def read(self, set_name: str, words: Iterable[Opened]) -> Iterator[tuple[Opened, WordReading]]:
        for word in words:
            text, confidence = self.readings.get(word.word.label, (word.word.label, 0.9))
            yield (
                word,
                WordReading(text, confidence, tuple([confidence] * len(text)), error=word.error),
            )
