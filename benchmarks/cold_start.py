#!/usr/bin/env python3
"""Measure the cost of the first word: new processes that import strhub, load a model and read one
image.

python benchmarks/cold_start.py                  # the model in the package
python benchmarks/cold_start.py --also last.ckpt words.onnx

Prints wall time, processor time and peak resident memory: medians with minimum and maximum. The
models take turns, so that other work on the machine affects them alike; it affects processor time
least.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

CODE = (
    "import sys; from strhub import Recognizer; print(Recognizer(sys.argv[1])(sys.argv[2])[0].text)"
)
IMAGE = Path(__file__).parents[1] / "demo_images" / "04.png"


def measure(python: str, model: str) -> dict[str, float]:
    """Read one image in a new process: seconds, processor seconds, MB at the peak."""
    begin = time.perf_counter()
    process = subprocess.Popen([python, "-c", CODE, model, str(IMAGE)], stdout=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{model} could not read {IMAGE}")
    seconds = time.perf_counter() - begin
    return {"s": seconds, "cpu s": used.ru_utime + used.ru_stime, "MB": used.ru_maxrss / 1000}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--also", nargs="*", default=[], help="further models to measure")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--python", default=sys.executable, help="Python of the environment to measure"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    models = ["strhub-tiny", *args.also]
    runs: dict[str, list[dict[str, float]]] = {model: [] for model in models}
    for number in range(args.repeats + 1):
        for model in models:
            result = measure(args.python, model)
            if number:  # the first run reads the files from the disk
                runs[model].append(result)
    for model, results in runs.items():
        figures = {name: [result[name] for result in results] for name in results[0]}
        if args.json:
            print(json.dumps({"model": model, **figures}))
            continue
        cells = [
            f"{median(values):.2f} {name} ({min(values):.2f} to {max(values):.2f})"
            for name, values in figures.items()
        ]
        print(f"{model}: " + ", ".join(cells))


if __name__ == "__main__":
    main()
