"""The arguments of ./read.py."""

from __future__ import annotations

import argparse

from strhub.cli.arguments import (
    SEARCH,
    SPEED,
    device_argument,
    read_arguments,
)
from strhub.cli.program import command_parser, version_argument

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
    """Return the command line of read.py."""
    parser = command_parser(
        "read",
        "Read the word in each image, and print a line for each: path, text, confidence. The "
        "models in the package and .onnx files need no PyTorch.",
        EXAMPLES,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="checkpoint | file.onnx | pretrained=<id> | name:type=value",
        help="model to read with, strhub-small by default, and its options, such as "
        "refine_iters:int=2",
    )
    kinds = "files, folders, globs, http(s) addresses, and - for an image on standard input"
    parser.add_argument("--images", nargs="+", default=[], metavar="PATH", help=kinds)
    photo = (
        "whole photographs: find, read and order their words; --output names a drawing (.png, "
        ".jpg), a text (.txt, "
    )
    photo += ".json, .tsv, .md, .html for hOCR, .xml for ALTO), or a folder for both"
    parser.add_argument("--photo", nargs="+", default=[], metavar="PATH", help=photo)
    read_arguments(parser, "batch_size", "turn_tall", "reread_below", "upside_down", "lines")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON lines, with the confidence of each character",
    )
    device_argument(parser)
    read_arguments(parser, *SPEED, *SEARCH)
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
    bulk.add_argument("--workers", type=int, help="workers of Ray; by default as many as fit")
    bulk.add_argument("--cpus", type=float, default=1, help="CPUs for each worker of Ray")
    bulk.add_argument(
        "--gpus",
        type=float,
        default=0,
        help="GPUs for each worker of Ray; a fraction such as 0.25 is allowed",
    )
    bulk.add_argument("--per_part", type=int, default=2000, help="images a file")
    bulk.add_argument(
        "--address", help="of a Ray cluster; by default Ray is started on this machine"
    )
    version_argument(parser, "read")
    return parser
