#!/usr/bin/env python3
"""Write docs/results.md, and README's table, from the figures in docs/results.json.

Milliseconds come from benchmarks/compare.py --update.

python benchmarks/results.py             # after a figure in docs/results.json has changed
python benchmarks/results.py --check     # exit with status 1 if the documents differ
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "results.json"
START, END = "<!-- results: written by benchmarks/results.py -->", "<!-- end of results -->"
HEAD = """# Results

Percentage of words read right; only letters and digits count, and case is ignored.

"""
SOURCES = """
## Where the figures come from

"""
NOTES = """
## What they mean

**Scene words**: 1,515 words from photographs in the training splits of IIIT5k, SVT, IC15 and IC03;
no word of these photographs was trained on. With 95 % intervals (Wilson).

**Test words**: the 7,672 words of the published test sets (IIIT5k, SVT, IC13, IC15, SVTP, CUTE80).

**Documents**: words cropped from scanned forms (FUNSD) and receipts (CORD), read exactly, including
case and punctuation. Only docTR publishes these, and it publishes none of the others, so its rows
cannot be compared with those above them.

**ms**: milliseconds per word, measured by `benchmarks/compare.py` with 150 words of IC15 on two
threads of one CPU, one at a time (the median word) and in batches of 32 (the mean): medians of five
rounds in which new processes took turns. By default, doubtful words are re-read, which shows in the
mean but not in the median. Milliseconds depend on the machine; their ratios depend on it less.
PARSeq's authors report 14.9 ms per image on their GPU.

![Words of IC15 read right, against milliseconds](figures/compare.png)

`strhub-tiny` has seen most of these words in training, so only its milliseconds mean anything.

**Install**: MiB of the installed packages on Linux with Python 3.12, without Python itself: for
strhub NumPy, Pillow, ONNX Runtime and the models; for `rapidocr` the wheel and ONNX Runtime.

**Photographs**: 160 photographs of ICDAR 2015's training split, on which nothing was chosen. The
harmonic mean of precision and recall, by letters and digits, is 0.710 for `Spotter`, which takes
188 ms per photograph, and 0.536 (0.561 with its best threshold) for the `rapidocr` wheel, which
takes 665 ms, in one run of `benchmarks/photographs.py` on two threads. Crops of most of these
photographs were among the training words of `strhub-small`; on the 41 without any, it reaches
0.702, `rapidocr` 0.491. In a new process, one photograph takes 0.85 s and 247 MiB.

A dash means: not measured, or not published.
"""
COLUMNS = {
    "scene words": "scene",
    "test words": "test",
    "documents": "documents",
    "ms alone": "alone_ms",
    "ms in batches": "batch_ms",
    "install, MiB": "install_mib",
}


def table(readers: list[dict[str, Any]]) -> str:
    """Return the readers as a Markdown table."""
    names = ["", *COLUMNS]
    lines = [names, ["---"] * len(names), *map(_row, readers)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def sources(readers: list[dict[str, Any]]) -> str:
    """Return where each reader's figures come from, as a Markdown list."""
    return "".join(f"- {reader['name']}: {reader['source']}\n" for reader in readers)


def _row(reader: dict[str, Any]) -> list[str]:
    figures = {name: _figure(reader[name]) for name in COLUMNS.values()}
    if reader["scene_interval"]:
        low, high = reader["scene_interval"]
        figures["scene"] += f" [{low:.1f}, {high:.1f}]"
    if reader["install_mib"]:
        figures["install_mib"] = str(reader["install_mib"])
    return [reader["name"], *figures.values()]


def _figure(value: float | list[float] | None) -> str:
    """Return one figure, or several of different sets, as the table shows them."""
    if value is None:
        return "–"
    return " / ".join(f"{one:.1f}" for one in (value if isinstance(value, list) else [value]))


def documents() -> dict[Path, str]:
    """Return what each document should say."""
    readers = json.loads(FIGURES.read_text("utf-8"))["readers"]
    readme = ROOT / "README.md"
    before, rest = readme.read_text("utf-8").split(START)
    after = rest.split(END)[1]
    return {
        ROOT / "docs" / "results.md": HEAD + table(readers) + SOURCES + sources(readers) + NOTES,
        readme: f"{before}{START}\n{table(readers)}{END}{after}",
    }


def main() -> None:
    """Write the documents, or check them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only compare; write nothing")
    args = parser.parse_args()
    wanted = documents()
    stale = [
        path
        for path, text in wanted.items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    if args.check:
        sys.exit(
            "\n".join(
                f"{path.relative_to(ROOT)} is not what docs/results.json says" for path in stale
            )
            or 0
        )
    for path in stale:
        path.write_text(wanted[path], "utf-8")


if __name__ == "__main__":
    main()
