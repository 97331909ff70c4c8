"""`read.py`: pictures to text on the command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from strhub.cli.arguments import (
    device_argument,
    parse_options,
    search_arguments,
    search_options,
    speed_arguments,
    split_words,
)

if TYPE_CHECKING:
    from strhub.recognizer import Reading

EXAMPLES = """examples:
  ./read.py --images demo_images/*
  ./read.py words.onnx --images demo_images/*
  ./read.py outputs/parseq/last.ckpt --images words/ refine_iters:int=2 decode_ar:bool=false
  ./read.py pretrained=parseq --images 'scans/**/*.png' --json > readings.jsonl
  ./read.py --images meters/ --whitelist 0123456789 --top_k 3"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of read.py."""
    parser = argparse.ArgumentParser(
        prog="read.py",
        description="Read the word in each picture. Prints one line a picture: path, text, confidence. The embedded "
        "model and .onnx files need no PyTorch.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="checkpoint | file.onnx | pretrained=<id> | name:type=value",
        help="model to read with (by default the embedded one) and options of it, such as refine_iters:int=2",
    )
    parser.add_argument("--images", nargs="+", required=True, metavar="PATH", help="files, folders and globs")
    parser.add_argument("--batch_size", type=int, default=32, help="pictures at a time")
    parser.add_argument("--json", action="store_true", help="print JSON lines, with the confidence of each character")
    device_argument(parser)
    speed_arguments(parser)
    search_arguments(parser)
    return parser


def run(arguments: Sequence[str] | None = None) -> int:
    """Read and print; 0 if every picture was read, 1 if some were not. Raises `ValueError` for bad arguments."""
    parser = build_parser()
    given = parser.parse_intermixed_args(arguments)
    options, sources = split_words(given.words)
    in_images, patterns = split_words(given.images)  # options may follow the pictures on the line
    if len(sources) > 1:
        parser.error(f"one model at a time, not {' and '.join(sources)}; pictures go after --images")
    from strhub.images import find_images
    from strhub.recognizer import Recognizer

    paths = find_images(patterns)
    if not paths:
        raise ValueError(f"no pictures found in {', '.join(patterns)}")
    recognizer = Recognizer(
        sources[0] if sources else "strhub-tiny",
        device=given.device,
        batch_size=given.batch_size,
        threads=given.threads,
        precision=given.precision,
        compile=given.compile,
        **search_options(given),
        **parse_options([*options, *in_images]),
    )
    failures = 0
    for reading in recognizer.read(paths):
        failures += reading.error is not None
        _print(reading, as_json=given.json)
    if failures:
        print(f"read.py: {failures} of {len(paths)} pictures could not be read", file=sys.stderr)
    return 1 if failures else 0


def _print(reading: Reading, *, as_json: bool) -> None:
    if as_json:
        record = {
            "path": reading.source,
            "text": reading.text,
            "confidence": round(reading.confidence, 6),
            "character_confidences": [round(value, 6) for value in reading.character_confidences],
            "error": reading.error,
        }
        if reading.alternatives:
            record["alternatives"] = [[text, round(sure, 6)] for text, sure in reading.alternatives]
        print(json.dumps(record, ensure_ascii=False), flush=True)
    elif reading.error is not None:
        print(f"{reading.source}: unreadable: {reading.error}", file=sys.stderr, flush=True)
    else:
        best = reading.alternatives or ((reading.text, reading.confidence),)
        print(f"{reading.source}: " + "  ".join(f"{text}  {sure:.4f}" for text, sure in best), flush=True)


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    try:
        sys.exit(run())
    except (ValueError, ImportError) as error:
        sys.exit(f"read.py: {error}")
    except KeyboardInterrupt:
        sys.exit("\nread.py: stopped")
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        sys.stderr.close()
        sys.exit(0)
