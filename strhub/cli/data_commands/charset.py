"""Print the characters of a data set's labels, or of a dictionary file, as a charset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `charset`."""
    parser.add_argument(
        "input", type=Path, help="LMDB folder, label file, tree of them, or dictionary file"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="dictionary file to write, one character per line",
    )
    parser.add_argument(
        "--min_count",
        type=int,
        default=1,
        help="leave out characters that occur fewer times than this",
    )


def run(arguments: argparse.Namespace) -> None:
    """Count, print the charset; say on stderr how to use it and what was left out."""
    from strhub.data.curation.charsets import count_characters, read_charset, sorted_charset
    from strhub.utils.files import write_whole

    charset = read_charset(arguments.input)
    if arguments.min_count > 1:
        counts = count_characters(arguments.input)
        charset = sorted_charset(char for char in charset if counts[char] >= arguments.min_count)
        rare = [
            f"{char} {count}" for char, count in counts.most_common() if count < arguments.min_count
        ]
        if rare:
            print(f"left out: {', '.join(rare[:100])}", file=sys.stderr)
    print(charset)
    if arguments.output is not None:
        write_whole(arguments.output, "".join(f"{char}\n" for char in charset))
        print(
            f"{len(charset)} characters: model.charset_train=@{arguments.output}", file=sys.stderr
        )
