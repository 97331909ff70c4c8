#!/usr/bin/env python3
"""Measure how well rendered lines of given lengths are read: exactly, and letter by letter.

python benchmarks/long_lines.py outputs/svtr-long/checkpoints/last.ckpt --lengths 5-25 26-40 41-60

Lines consist of lower-case letters, from a seed that training does not use. Prints the accuracy in
percent with its 95 % interval (Wilson), and 1 - NED: one minus the mean of the edit distance
divided by the length of the longer of line and reading.
"""

import argparse

from reading import interval

from strhub import Recognizer
from strhub.data.synth import RenderedWords
from strhub.evaluation.metrics import Score

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SEED = 60_000


def lengths_of(text: str) -> tuple[int, int]:
    """Parse `26-60` to two numbers."""
    least, _, most = text.partition("-")
    return int(least), int(most or least)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="id of a model, or path of a checkpoint")
    parser.add_argument(
        "--lengths", type=lengths_of, nargs="+", default=[(26, 60)], metavar="LEAST-MOST"
    )
    parser.add_argument(
        "--count", type=int, default=300, help="number of lines for each range of lengths"
    )
    parser.add_argument(
        "--difficulty", type=float, default=0.0, help="difficulty, from 0 (clean) to 1"
    )
    args = parser.parse_args()
    recognizer = Recognizer(args.model, device="cpu")
    print("| letters | lines | read exactly | 1 - NED |")
    print("| --- | --- | --- | --- |")
    for least, most in args.lengths:
        words = RenderedWords(
            charset=LETTERS,
            max_length=most,
            lengths=(least, most),
            seed=SEED,
            difficulty=args.difficulty,
        )
        lines = [words.render(index) for index in range(args.count)]
        score = Score()
        for reading, (_, line) in zip(
            recognizer([image for image, _ in lines]), lines, strict=True
        ):
            score.add(reading.text, line, reading.confidence)
        exact = interval(int(score.correct), args.count)
        print(
            f"| {least} to {most} | {args.count} | {exact} | {100 * score.one_minus_ned:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
