#!/usr/bin/env python3
"""Compare reading a folder of images with the model alone, and watch memory over time.

python benchmarks/end_to_end.py images/of/words
python benchmarks/end_to_end.py images/of/words --model parseq.ckpt --count 10000 --rounds 1

Prints words per second of the model alone, on images that are ready in memory, and of the reader,
from files to texts; the fraction of the model's speed that the reader reaches, in wall and in
processor time; and resident memory after each tenth of the words. The two take turns in rounds, so
that other work on the machine affects both alike.
"""

import argparse
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from strhub import Recognizer
from strhub.images.find import find_images


def resident() -> float:
    """Return the MiB that this process holds now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def bare(recognizer: Recognizer, arrays: list[Any]) -> None:
    """Run the model as fast as it goes: batches in all of the engine's lanes."""
    engine, size = recognizer.engine, recognizer.batch_size
    batches = [arrays[at : at + size] for at in range(0, len(arrays), size)]
    with engine.side_by_side() as decode, ThreadPoolExecutor(engine.lanes) as pool:
        list(pool.map(decode if engine.lanes > 1 else engine.decode, batches))


def timed(call: Any) -> tuple[float, float]:
    """Return seconds and processor seconds."""
    begin, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - begin, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "images",
        nargs="+",
        help="files, folders and globs; the images are repeated until there are --count",
    )
    parser.add_argument("--model", default="strhub-tiny")
    parser.add_argument(
        "--device", help="device of the model; strhub-tiny runs on the CPU unless --torch is set"
    )
    parser.add_argument("--torch", action="store_true", help="run strhub-tiny with PyTorch")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    paths = list(itertools.islice(itertools.cycle(find_images(args.images)), args.count))
    if not paths:
        parser.error(f"no images found in {', '.join(args.images)}")
    model: Any = args.model
    if args.torch:
        from strhub import load

        model = load(args.model)
    recognizer = Recognizer(
        model, device=args.device, batch_size=args.batch_size, threads=args.threads, reread_below=0
    )  # a re-reading depends on what is read
    start = resident()
    held = [start]
    for number, reading in enumerate(recognizer.read(paths), 1):
        if reading.error is not None:  # the model alone would have fewer words to read
            parser.error(f"{reading.source}: {reading.error}")
        if number % max(1, len(paths) // 10) == 0:
            held.append(resident())
    print("resident MiB: " + " ".join(f"{value:.0f}" for value in held))
    if args.rounds < 2:
        return
    # Tall images are read on their sides, too: that is the model's work on both sides of the
    # comparison.
    arrays = [
        array
        for views in recognizer.prepare(paths)
        if isinstance(views, dict)
        for array in views.values()
    ]
    bare(recognizer, arrays)  # what is made when first needed is there
    rounds = [
        (timed(lambda: bare(recognizer, arrays)), timed(lambda: recognizer(paths)))
        for _ in range(args.rounds)
    ]
    for name, column in (("wall", 0), ("processor", 1)):
        alone, whole = ([sides[side][column] for sides in rounds] for side in (0, 1))
        fraction = median(one / other for one, other in zip(alone, whole, strict=True))
        print(
            f"{name} time: model alone {len(paths) / median(alone):.0f} words/s, files to texts "
            f"{len(paths) / median(whole):.0f} words/s, {100 * fraction:.1f} % of it"
        )


if __name__ == "__main__":
    main()
