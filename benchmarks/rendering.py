#!/usr/bin/env python3
"""Measure how fast words are rendered: words per second on one core by difficulty, and the fraction
of time that each step takes.

Images are as high as the style makes them, by default 36 pixels in the median. Times are processor
time, and the difficulties are timed in turn, so that other work on the machine affects them little
and alike. The figures are medians.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import fields, replace
from statistics import median
from typing import Any

from strhub.data.synth import RenderedWords
from strhub.data.synth.scene import Step
from strhub.data.synth.steps import Stages
from strhub.text import CHARSET_94

DIFFICULTIES = (0.0, 0.3, 0.5, 1.0)


def words_at(difficulty: float, style: str) -> RenderedWords:
    return RenderedWords(
        charset=CHARSET_94, max_length=25, seed=0, difficulty=difficulty, style=style
    )


def seconds(words: RenderedWords, indexes: range) -> tuple[float, float]:
    """Time and pixels of style these."""
    begin, pixels = time.process_time(), 0
    for index in indexes:
        image, _ = words.render(index)
        pixels += image.width * image.height
    return time.process_time() - begin, pixels


def timed(step: Step[Any], spent: Counter[str]) -> Step[Any]:
    def apply(*arguments: Any) -> None:
        begin = time.process_time()
        step.apply(*arguments)
        spent[step.name] += time.process_time() - begin

    return replace(step, apply=apply)


def timed_method(method: Callable[..., Any], name: str, spent: Counter[str]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        begin = time.process_time()
        result = method(*arguments)
        spent[name] += time.process_time() - begin
        return result

    return call


def fractions(difficulty: float, style: str, count: int) -> None:
    """Print the fraction of time of every step; layout and ground are given less the steps in
    them.
    """
    spent: Counter[str] = Counter()
    words = words_at(difficulty, style)
    seconds(words, range(count))
    for stage in fields(Stages):
        steps = tuple(timed(step, spent) for step in getattr(words.renderer.stages, stage.name))
        words.renderer.stages = replace(words.renderer.stages, **{stage.name: steps})
    renderer: Any = words.renderer
    for name in ("_lay_out", "_paint_ground", "_choose_font"):
        setattr(renderer, name, timed_method(getattr(renderer, name), name.strip("_"), spent))
    words.sampler = timed_method(words.sampler, "text", spent)  # type: ignore[assignment]
    total, _ = seconds(words, range(count))
    print(
        f"fraction of time at difficulty {difficulty} (layout and ground with the steps in them):"
    )
    for name, part in spent.most_common():
        print(f"  {name:16} {100 * part / total:5.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="words per round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--style", default="default", help="style: a name or a file")
    parser.add_argument(
        "--steps",
        action="store_true",
        help="also print the fraction of time of each step, at difficulty 0.5",
    )
    args = parser.parse_args()
    sets = {difficulty: words_at(difficulty, args.style) for difficulty in DIFFICULTIES}
    for words in sets.values():
        seconds(words, range(args.count))  # opens fonts, fills caches
    times: dict[float, list[tuple[float, float]]] = {difficulty: [] for difficulty in sets}
    for number in range(1, args.rounds + 1):
        for difficulty, words in sets.items():
            times[difficulty].append(
                seconds(words, range(number * args.count, (number + 1) * args.count))
            )
    for difficulty, rounds in times.items():
        speed = median(args.count / spent for spent, _ in rounds)
        pixels = sum(size for _, size in rounds) / args.count / len(rounds)
        print(
            f"difficulty {difficulty}: {speed:.0f} words/s, {pixels:.0f} pixels a word", flush=True
        )
    if args.steps:
        fractions(0.5, args.style, args.count)


if __name__ == "__main__":
    main()
