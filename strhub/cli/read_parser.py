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
        "Read the word in each image, and print a line with path, text and confidence for each. "
        "The embedded models and .onnx files need no PyTorch.",
        EXAMPLES,
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="checkpoint | file.onnx | pretrained=<id> | name:type=value",
        help="model to read with, by default strhub-small, and its options, such as "
        "refine_iters:int=2",
    )
    kinds = "files, folders, globs and http(s) URLs of images; - reads one from standard input"
    parser.add_argument("--images", nargs="+", default=[], metavar="PATH", help=kinds)
    photo = (
        "whole photographs, whose words are found, read and put in reading order; --output names "
        "an annotated image (.png, .jpg), a text file (.txt, .json, .tsv, .md, .html for hOCR, "
        ".xml for ALTO), or a folder for both"
    )
    parser.add_argument("--photo", nargs="+", default=[], metavar="PATH", help=photo)
    read_arguments(parser, "batch_size", "turn_tall", "reread_below", "upside_down", "lines")
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON lines, with a confidence for each character",
    )
    device_argument(parser)
    read_arguments(parser, *SPEED, *SEARCH)
    bulk = parser.add_argument_group(
        "very many images",
        "Write the readings to Parquet files. The same command resumes a run that was stopped.",
    )
    bulk.add_argument(
        "--output",
        metavar="FOLDER",
        help="folder to write to; --images may then name LMDB folders, Parquet files and tars, too",
    )
    bulk.add_argument(
        "--engine",
        choices=("plain", "ray"),
        help="read in this process (plain), or in workers on one machine or a cluster (ray); by "
        "default plain",
    )
    bulk.add_argument(
        "--workers", type=int, help="number of Ray workers; by default as many as fit"
    )
    bulk.add_argument("--cpus", type=float, default=1, metavar="N", help="CPUs per Ray worker")
    bulk.add_argument(
        "--gpus",
        type=float,
        default=0,
        metavar="N",
        help="GPUs per Ray worker; fractions such as 0.25 are allowed",
    )
    bulk.add_argument("--per_part", type=int, default=2000, help="images per Parquet file")
    bulk.add_argument(
        "--address", help="address of a Ray cluster; by default Ray is started on this machine"
    )
    version_argument(parser, "read")
    return parser
