"""Write drawn words to an LMDB folder: `python -m strhub.data.synth data/val/drawn --count 2000 --seed 1`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL.Image import Image

from strhub.data.lmdb import write_lmdb
from strhub.data.synth import DrawnWords
from strhub.text import CHARSET_94


def _samples(words: DrawnWords, count: int) -> Iterator[tuple[Image, str]]:
    for index in range(count):
        yield words.draw(index)
        if sys.stderr.isatty() and index % 100 == 0:
            print(f"\r{index} of {count}", end="", file=sys.stderr)


def main() -> None:
    """Parse, draw, write."""
    parser = argparse.ArgumentParser(prog="python -m strhub.data.synth", description=__doc__)
    parser.add_argument("folder", type=Path, help="LMDB folder to make")
    parser.add_argument("--count", type=int, default=2000, help="words")
    parser.add_argument("--seed", type=int, default=1, help="the same seed draws the same words")
    parser.add_argument("--difficulty", type=float, default=0.5, help="0, clean, to 1")
    parser.add_argument("--charset", default=CHARSET_94, help="characters to use")
    parser.add_argument("--max_length", type=int, default=25, help="of a word, in characters")
    given = parser.parse_args()
    try:
        words = DrawnWords(
            charset=given.charset, max_length=given.max_length, seed=given.seed, difficulty=given.difficulty
        )
        print(f"wrote {write_lmdb(given.folder, _samples(words, given.count))} words to {given.folder}")
    except ValueError as error:
        sys.exit(f"draw: {error}")
    except KeyboardInterrupt:
        sys.exit("\ndraw: stopped; nothing was written")


if __name__ == "__main__":
    main()
