"""`strhub-explain`: what a model looks at, and which words it takes an image for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from strhub.cli.arguments import device_argument, model_options, split_words
from strhub.cli.entry import end_with
from strhub.cli.extras import needs
from strhub.cli.program import HelpFormatter, command_parser, program, version_argument
from strhub.utils.progress import progress
from strhub.utils.terminal import json_line, printable

T = TypeVar("T")

EXAMPLES = """examples:
  strhub-explain attention strhub-tiny --images demo_images/* --output attention/
  strhub-explain attention outputs/<run> --images word.png --output . decode_ar:bool=false
  strhub-explain retrieve outputs/<run> --images demo_images/* --vocabulary words.txt --top 3"""


def build_parser() -> argparse.ArgumentParser:
    """Return the command line of strhub-explain."""
    parser = command_parser(
        "explain",
        "Show what a PARSeq model attends to for each character, or retrieve the words nearest to "
        "an image.",
        EXAMPLES,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    attention = commands.add_parser(
        "attention",
        help="write a PNG file for each image, with a tile for each character",
        description="Write a PNG file for each image that shows what the model attends to for each "
        "character.",
        formatter_class=HelpFormatter,
    )
    attention.add_argument(
        "--output",
        type=Path,
        default=Path("attention"),
        metavar="FOLDER",
        help="folder to write the PNG files to",
    )
    retrieve = commands.add_parser(
        "retrieve",
        help="print the words of a vocabulary that are nearest to each image in CLIP's space",
        description="Print the words of a vocabulary that are nearest to each image in CLIP's "
        "space. The model must have been trained with the contrastive objective.",
        formatter_class=HelpFormatter,
    )
    retrieve.add_argument(
        "--vocabulary", required=True, metavar="FILE", help="file of words, one per line"
    )
    retrieve.add_argument(
        "--top", type=int, default=5, help="number of words to print for each image"
    )
    retrieve.add_argument(
        "--clip",
        metavar="FILE",
        help="CLIP checkpoint with the text tower; by default the one that the model was trained "
        "with",
    )
    retrieve.add_argument(
        "--merges",
        metavar="FILE",
        help="CLIP's BPE merges; by default those of an installed open_clip",
    )
    retrieve.add_argument(
        "--json", action="store_true", help="print JSON lines, with cosine similarities"
    )
    for command in (attention, retrieve):
        command.add_argument(
            "words",
            nargs="+",
            metavar="model | name:type=value",
            help="id or path of the model, and its options",
        )
        command.add_argument(
            "--images", nargs="+", required=True, metavar="PATH", help="files, folders and globs"
        )
        device_argument(command)
    version_argument(parser, "explain")
    return parser


def run(arguments: Sequence[str] | None = None) -> int:
    """Explain; 0 if every image was read, 1 if some were not. Raises `ValueError` for bad
    arguments.
    """
    parser = build_parser()
    args, late = parser.parse_known_args(arguments)
    options, sources = split_words([*args.words, *late])  # options may stand anywhere
    if unknown := [word for word in late if word not in options]:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    in_images, patterns = split_words(args.images)
    if len(sources) != 1:
        parser.error(f"one model at a time, not {' and '.join(sources) or 'none'}")
    from strhub.images.find import find_images

    paths = find_images(patterns)
    if not paths:
        raise ValueError(f"no images found in {', '.join(patterns)}")
    decoding = [*options, *in_images]
    if args.command == "attention":
        return _attention(args, sources[0], paths, decoding)
    if decoding:
        raise ValueError(f"{decoding[0]}: options of decoding have no effect on retrieval")
    return _retrieve(args, sources[0], paths)


def _attention(
    args: argparse.Namespace, source: str, paths: Sequence[Path], decoding: Sequence[str]
) -> int:
    with needs("torch"):
        from strhub.checkpoint.zoo import load
        from strhub.explain.attention import attend, draw
        from strhub.inference.recognizer import choose_device

    model = load(source, **model_options(decoding))
    failures = 0
    taken: set[str] = set()
    attended_images = attend(model, paths, choose_device(args.device))
    for attended in _shown(attended_images, paths):
        if attended.error is not None:
            failures += 1
            print(
                printable(f"{attended.source}: unreadable: {attended.error}"),
                file=sys.stderr,
                flush=True,
            )
            continue
        target = args.output / f"{_free_name(Path(attended.source).stem, taken)}.png"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draw(attended).save(target)
        except OSError as error:
            raise ValueError(f"{target} cannot be written: {error.strerror or error}") from error
        print(
            printable(f"{attended.source}: {attended.text}  {attended.confidence:.4f}  {target}"),
            flush=True,
        )
    return 1 if failures else 0


def _shown(results: Iterable[T], paths: Sequence[Path]) -> Iterator[T]:
    """Return the same results; a line says how far it has come where they go elsewhere."""
    return progress(results, "images", total=len(paths), shown=not sys.stdout.isatty())


def _free_name(stem: str, taken: set[str]) -> str:
    """Return the stem, or with a number if another image of this call has it."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def _retrieve(args: argparse.Namespace, source: str, paths: Sequence[Path]) -> int:
    with needs("clip"):
        from strhub.explain.retrieval import Retriever
        from strhub.inference.recognizer import choose_device

    if args.top < 1:
        raise ValueError(f"--top is {args.top}: it must be at least 1")
    device = choose_device(args.device)
    retriever = Retriever.of_file(
        source, args.vocabulary, clip=args.clip, merges=args.merges, device=device
    )
    failures = 0
    for found in _shown(retriever(paths, count=args.top), paths):
        failures += found.error is not None
        if args.json:
            listed = [{"word": word, "cosine": round(cosine, 4)} for word, cosine in found.words]
            print(json_line({"path": found.source, "words": listed, "error": found.error}))
        elif found.error is not None:
            print(
                printable(f"{found.source}: unreadable: {found.error}"), file=sys.stderr, flush=True
            )
        else:
            nearest = ", ".join(f"{word} {cosine:.3f}" for word, cosine in found.words)
            print(printable(f"{found.source}: {nearest}"), flush=True)
    return 1 if failures else 0


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    end_with(program("explain"), run)


if __name__ == "__main__":
    main()
