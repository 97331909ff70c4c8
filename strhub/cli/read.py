"""`read.py`: images to text on the command line."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from strhub.cli.arguments import (
    model_options,
    read_options,
    split_words,
)
from strhub.cli.entry import end_with, results_alone
from strhub.cli.extras import needs
from strhub.cli.program import program
from strhub.cli.read_parser import build_parser
from strhub.inference.options import ReadOptions
from strhub.utils.progress import ProgressLine, progress
from strhub.utils.telemetry import switch_off_telemetry
from strhub.utils.terminal import PlainFormatter, json_line, printable

STANDARD_INPUT = "-"

if TYPE_CHECKING:
    from strhub.cli.photo_bulk import PhotoReaders
    from strhub.inference.recognizer import Reading


def run(arguments: Sequence[str] | None = None) -> int:
    """Read and print; 0 if every image was read, 1 if some were not. Raises `ValueError` for bad
    arguments.
    """
    parser = build_parser()
    args = parser.parse_intermixed_args(arguments)
    options, sources = split_words(args.words)
    in_images, patterns = split_words(
        [*args.images, *args.photo]
    )  # options may follow the images on the line
    if len(sources) > 1:
        parser.error(f"one model at a time, not {' and '.join(sources)}; images go after --images")
    if bool(args.images) == bool(args.photo):
        parser.error("give --images with crops of words, or --photo with whole photographs")
    if args.photo:
        return _read_photos(args, parser, sources, patterns, [*options, *in_images])
    unused = _set_without_use(parser, args)
    if unused:
        raise ValueError(unused)
    if args.output:
        from strhub.inference.recognizer import EMBEDDED

        return _read_all(
            args, sources[0] if sources else EMBEDDED, patterns, [*options, *in_images]
        )
    from strhub.inference.recognizer import EMBEDDED, Recognizer

    inputs = _inputs(patterns)
    if not inputs:
        raise ValueError(f"no images found in {', '.join(patterns)}")
    recognizer = Recognizer(
        sources[0] if sources else EMBEDDED,
        device=args.device,
        **read_options(args, *ReadOptions.names()).keywords(),
        **model_options([*options, *in_images]),
    )
    failures = 0
    alone = not sys.stdout.isatty()  # otherwise the readings themselves show the progress
    readings = progress(
        recognizer.read([*inputs.values()]), "images", total=len(inputs), shown=alone
    )
    for name, reading in zip(inputs, readings, strict=True):
        failures += reading.error is not None
        _print(name, reading, recognizer.precision, as_json=args.json)
    if failures:
        print(
            f"{parser.prog}: {failures} of {len(inputs)} images could not be read", file=sys.stderr
        )
    return 1 if failures else 0


def _read_photos(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    sources: Sequence[str],
    patterns: Sequence[str],
    options: Sequence[str],
) -> int:
    from strhub.cli.photo import read_photos

    usable: tuple[str, ...] = ("words", "images", "photo", "output", "json", "threads")
    if args.engine:
        usable += ("engine", "workers", "cpus", "gpus", "address", "per_part")
    changed = [
        name
        for name, value in vars(args).items()
        if value != parser.get_default(name) and name not in usable
    ]
    if changed or options:
        raise ValueError(
            f"{f'--{changed[0]}' if changed else options[0]} has no effect with --photo"
        )
    if args.engine:
        from strhub.cli.photo_bulk import PhotoReaders
        from strhub.inference.recognizer import EMBEDDED

        if not args.output:
            raise ValueError("--engine needs --output, the folder for the readings")
        model = sources[0] if sources else EMBEDDED
        threads = args.threads or (max(1, int(args.cpus)) if args.engine == "ray" else None)
        return _read_all(args, model, patterns, [], PhotoReaders(model, threads, args.json))
    inputs = _inputs(patterns, also=(".pdf",))
    if not inputs:
        raise ValueError(f"no images found in {', '.join(patterns)}")
    return read_photos(
        inputs,
        output=args.output,
        as_json=args.json,
        model=sources[0] if sources else None,
        threads=args.threads,
        command=parser.prog,
    )


def _inputs(patterns: Sequence[str], *, also: Sequence[str] = ()) -> dict[str, Any]:
    """Return what to read, by name: paths, addresses as they are, and for `-` what comes by
    standard input.
    """
    from strhub.images.find import find_images
    from strhub.images.sources import is_address

    found: dict[str, Any] = {}
    for pattern in patterns:
        if pattern == STANDARD_INPUT:
            if sys.stdin.isatty():
                raise ValueError(
                    f"{pattern} is standard input, and that is a terminal: send an image there, by "
                    "< or |"
                )
            found[pattern] = sys.stdin.buffer
        elif is_address(pattern):
            found[pattern] = pattern
        else:
            found.update((str(path), path) for path in find_images([pattern], also=also))
    return found


def _set_without_use(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str | None:
    """Return what to say of an argument that would do nothing beside the others, if there is
    one.
    """
    changed = [name for name, value in vars(args).items() if value != parser.get_default(name)]
    of_ray, of_lines = ("workers", "cpus", "gpus", "address"), ("json", "top_k")
    for name in changed:
        if not args.output and name in ("engine", "per_part", *of_ray):
            return f"--{name} needs --output, the folder for the readings"
        if args.engine != "ray" and name in of_ray:
            return f"--{name} needs --engine ray"
        if args.output and name == "lines":
            return "--lines is not for --output: the files have one text an image"
        if args.output and name in of_lines:
            return (
                f"--{name} is not for --output: the files have one reading an image, and are "
                "Parquet"
            )
    return None


def _read_all(
    args: argparse.Namespace,
    model: str,
    inputs: Sequence[str],
    options: Sequence[str],
    photos: PhotoReaders | None = None,
) -> int:
    """Read to Parquet; 0 if every image was read, 1 if some were not.

    photos: makes what reads whole photographs, if the images are such.
    """
    handler, line = logging.StreamHandler(), ProgressLine()
    handler.setFormatter(PlainFormatter("%(message)s"))

    def clear_before(record: logging.LogRecord) -> bool:
        line.clear()
        return True

    handler.addFilter(clear_before)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if STANDARD_INPUT in inputs:
        raise ValueError(
            "- is not for --output: a run that is stopped could not read standard input again"
        )
    switch_off_telemetry()
    with needs("bulk"):
        import pyarrow  # noqa: F401

        if args.engine == "ray":
            import ray.data  # noqa: F401
    from strhub.bulk import read_all

    apart = ("batch_size", "threads", "lines")  # by arguments of their own, or not for files
    names = [name for name in ReadOptions.names() if name not in apart]
    own = read_options(args, *names).changed()
    if photos is not None:  # another kind of readings must not be resumed in the same folder
        own["photos"] = "json" if photos.as_json else "text"
    summary = read_all(
        inputs,
        args.output,
        model=model,
        options={**own, **model_options(options)},
        engine=args.engine or "plain",
        batch_size=args.batch_size,
        per_part=args.per_part,
        device=args.device,
        threads=args.threads,
        workers=args.workers,
        cpus=args.cpus,
        gpus=args.gpus,
        address=args.address,
        recognizer=photos,
        progress=lambda count: line.count(count, None, "images"),
    )
    line.clear()
    rate = summary.added / summary.seconds
    print(
        f"{printable(args.output)}: {summary.images} images, {summary.added} of them now, "
        f"{rate:.0f} a second"
    )
    if summary.unreadable:
        print(
            f"{program('read')}: {summary.unreadable} could not be read: see the column error",
            file=sys.stderr,
        )
    return 1 if summary.unreadable else 0


def _print(name: str, reading: Reading, precision: str, *, as_json: bool) -> None:
    if as_json:
        record: dict[str, Any] = {
            "path": name,
            "text": reading.text,
            "confidence": round(reading.confidence, 6),
            "character_confidences": [round(value, 6) for value in reading.character_confidences],
            "error": reading.error,
            "rotation": reading.rotation,
            "precision": precision,
        }
        if reading.alternatives:
            record["alternatives"] = [[text, round(sure, 6)] for text, sure in reading.alternatives]
        if reading.words:
            record["words"] = [
                {
                    "text": word.text,
                    "confidence": round(word.confidence, 6),
                    "start": word.start,
                    "end": word.end,
                }
                for word in reading.words
            ]
        print(json_line(record), flush=True)
    elif reading.error is not None:
        print(printable(f"{name}: unreadable: {reading.error}"), file=sys.stderr, flush=True)
    else:
        best = reading.alternatives or ((reading.text, reading.confidence),)
        print(
            printable(f"{name}: " + "  ".join(f"{text}  {sure:.4f}" for text, sure in best)),
            flush=True,
        )


def _run_alone() -> int:
    warnings.filterwarnings(
        "ignore", message="Image size .* exceeds limit"
    )  # Pillow's; the reading has the error
    with results_alone():
        return run()


def main() -> None:
    """Run the command; errors are one clear line, Ctrl-C is no traceback."""
    end_with(program("read"), _run_alone)


if __name__ == "__main__":
    main()
