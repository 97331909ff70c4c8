"""Show many words in one image: rendered ones, those of a data set, or both side by side."""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path

from PIL.Image import Image

from strhub.data.curation.charsets import named_charset
from strhub.data.synth.options import add_render_arguments, rendered_words
from strhub.data.synth.sheet import beside, sheet, tree_words
from strhub.utils.files import write_whole
from strhub.utils.progress import progress

_MEASURED = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of sheet."""
    parser.add_argument("output", type=Path, help="PNG file to write")
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="TREE",
        help="data set, or tree of them, to show in place of rendered words",
    )
    parser.add_argument(
        "--beside",
        type=Path,
        metavar="TREE",
        help="data set, or tree of them, to show on the right",
    )
    parser.add_argument("--count", type=int, default=96, help="number of words from each set")
    parser.add_argument("--columns", type=int, default=8, help="words per row")
    parser.add_argument("--labels", action="store_true", help="write the label below each word")
    parser.add_argument(
        "--statistics",
        type=int,
        nargs="?",
        const=_MEASURED,
        metavar="N",
        help="with --beside: compare brightness, contrast, size and so on over N words of each "
        f"set, by default {_MEASURED}, and print the result",
    )
    add_render_arguments(parser)


def run(arguments: argparse.Namespace) -> None:
    """Read or draw, lay out, write the PNG; print statistics where asked for."""
    arguments.charset = named_charset(arguments.charset)
    if arguments.statistics is not None and arguments.beside is None:
        raise ValueError("--statistics compares two sets: set the second one with --beside")
    shown = max(1, arguments.count)
    wanted = max(shown, arguments.statistics or 0)
    first = _words(arguments, arguments.source, wanted)
    if arguments.beside is None:
        image = sheet(first, columns=arguments.columns, labels=arguments.labels)
    else:
        second = _words(arguments, arguments.beside, wanted)
        image = beside(
            first[:shown], second[:shown], columns=arguments.columns, labels=arguments.labels
        )
        if arguments.statistics is not None:
            _print_statistics(arguments, first, second)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    file = BytesIO()
    image.save(file, format="PNG")
    write_whole(arguments.output, file.getvalue())
    print(
        f"{arguments.output}: {min(shown, len(first))} "
        f"words{'' if arguments.beside is None else ' beside as many'}"
    )


def _words(
    arguments: argparse.Namespace, tree: Path | None, wanted: int
) -> list[tuple[Image, str]]:
    if tree is not None:
        return tree_words(tree, wanted, seed=arguments.seed)
    words = rendered_words(arguments)
    return list(map(words.render, progress(range(wanted), "words rendered")))


def _print_statistics(
    arguments: argparse.Namespace, first: list[tuple[Image, str]], second: list[tuple[Image, str]]
) -> None:
    from strhub.data.curation.statistics import as_table, compare, measure_all

    names = (
        str(arguments.source or f"rendered, difficulty {arguments.difficulty}"),
        str(arguments.beside),
    )
    measured = [measure_all(progress(words, "words measured")) for words in (first, second)]
    print(as_table(compare(*measured), names=names))
