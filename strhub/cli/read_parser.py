"""The arguments of ./read.py."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from strhub.cli.arguments import (
    device_argument,
    search_arguments,
    speed_arguments,
)
from strhub.cli.program import examples, program, version_argument
from strhub.utils.renamed_option import RenamedOption

if TYPE_CHECKING:
    pass


EXAMPLES = """examples:
  ./read.py --images demo_images/*
  ./read.py words.onnx --images demo_images/*
  ./read.py --photo street.jpg --output street.png
  ./read.py outputs/parseq/last.ckpt --images words/ refine_iters:int=2 decode_ar:bool=false
  ./read.py pretrained=parseq --images 'scans/**/*.png' --json > readings.jsonl
  ./read.py --images words/ shards/*.tar table.parquet --output readings/ --engine ray
  curl -s "$address" | ./read.py --images -
  ./read.py --images meters/ --whitelist 0123456789 --top_k 3"""


def build_parser() -> argparse.ArgumentParser:
    """The command line of read.py."""
    parser = argparse.ArgumentParser(
        prog=program("read"),
        description="Read the word in each image. Prints one line an image: path, text, "
        "confidence. The embedded "
        "model and .onnx files need no PyTorch.",
        epilog=examples(EXAMPLES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="checkpoint | file.onnx | pretrained=<id> | name:type=value",
        help="model to read with (by default the embedded one) and options of it, such as "
        "refine_iters:int=2",
    )
    kinds = "files, folders, globs, http(s) addresses, and - for an image by standard input"
    parser.add_argument("--images", nargs="+", default=[], metavar="PATH", help=kinds)
    photo = (
        "whole photographs: find, read and order their words; --output names a drawing (.png, "
        ".jpg), a text (.txt, "
    )
    photo += ".json, .tsv, .md, .html for hOCR, .xml for ALTO), or a folder for both"
    parser.add_argument("--photo", nargs="+", default=[], metavar="PATH", help=photo)
    parser.add_argument("--batch_size", type=int, default=32, help="images at a time")
    parser.add_argument(
        "--no_turning",
        action="store_true",
        help="read tall images upright only, not on their sides",
    )
    parser.add_argument(
        "--reread_below",
        type=float,
        metavar="CONFIDENCE",
        help="read again, in other ways, what is read with less confidence (0.7); 0: never",
    )
    parser.add_argument(
        "--second_look",
        dest="reread_below",
        type=float,
        action=RenamedOption,
        help=argparse.SUPPRESS,
    )
    parser.add_argument(
        "--upside_down", action="store_true", help="then read it turned by 180 degrees, too"
    )
    parser.add_argument(
        "--lines", action="store_true", help="each image is a line of words: read its spaces, too"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON lines, with the confidence of each character",
    )
    device_argument(parser)
    speed_arguments(parser)
    search_arguments(parser)
    bulk = parser.add_argument_group(
        "very many images", "to Parquet files; a stopped run is resumed by the same call"
    )
    bulk.add_argument(
        "--output", metavar="FOLDER", help="--images may then be LMDB, Parquet and tar as well"
    )
    bulk.add_argument(
        "--engine",
        choices=("plain", "ray"),
        help="this process, or workers on a machine or a cluster",
    )
    bulk.add_argument("--workers", type=int, help="of ray; by default as many as fit")
    bulk.add_argument("--cpus", type=float, default=1, help="of ray, for each worker")
    bulk.add_argument(
        "--gpus",
        type=float,
        default=0,
        help="of ray, for each worker; a fraction such as 0.25 is allowed",
    )
    bulk.add_argument("--per_part", type=int, default=2000, help="images a file")
    bulk.add_argument(
        "--address", help="of a Ray cluster; by default Ray is started on this machine"
    )
    version_argument(parser, "read")
    return parser
