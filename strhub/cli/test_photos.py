"""`test.py --photos`: scores on whole photographs, of reading and of finding text."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from strhub.cli.extras import needs
from strhub.errors import ConfigError
from strhub.utils.files import write_whole
from strhub.utils.progress import progress


def photo_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for photographs."""
    group = parser.add_argument_group(
        "whole photographs",
        "Photographs are read by the embedded model by default, without PyTorch.",
    )
    group.add_argument(
        "--photos",
        type=Path,
        metavar="FOLDER",
        help="folder of photographs and their annotated words to score on",
    )
    group.add_argument(
        "--truth",
        type=Path,
        metavar="FOLDER",
        help="folder of the annotations; by default that of the photographs",
    )
    group.add_argument(
        "--detection",
        choices=("icdar2015", "icdar2013", "totaltext"),
        help="score only the detector, by this protocol",
    )
    group.add_argument("--html", type=Path, metavar="FILE", help="HTML page of all errors to write")
    group.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="JSON lines file to write, a line per photograph",
    )


def run_photos(args: argparse.Namespace, models: list[str]) -> str:
    """Score and return the table. Raises `ValueError` for bad arguments or missing data."""
    from strhub.data.sources.annotated_photos import find_annotated
    from strhub.evaluation.photographs import (
        evaluate_detector,
        evaluate_photographs,
        format_detection,
        format_score,
        total,
        write_results,
    )

    photos = find_annotated(args.photos, args.truth)
    if args.detection:
        from strhub.evaluation.detection import DetectionScore
        from strhub.spotting.detector import EmbeddedDetector

        if args.html or args.results or models:
            raise ConfigError(
                "--detection scores only the detector: leave out the model, --html and --results"
            )
        scores = evaluate_detector(photos, EmbeddedDetector(threads=args.threads), args.detection)
        score = sum(_shown(scores, len(photos)), DetectionScore())
        return format_detection(score, len(photos), args.detection)
    if args.html:
        with needs("eval"):
            from strhub.evaluation.report.photographs_page import photographs_page
    from strhub.inference.recognizer import EMBEDDED
    from strhub.spotting.spotter import Spotter

    model = models[0].removeprefix("pretrained=") if models else EMBEDDED
    spotter = Spotter(reader=model, threads=args.threads, keep_images=False)
    pages = spotter.read([photo.path for photo in photos])
    results = list(
        evaluate_photographs(photos, pages, progress=lambda pages: _shown(pages, len(photos)))
    )
    if args.results:
        write_results(args.results, results)
    if args.html:
        write_whole(args.html, photographs_page(results, f"{model} on {args.photos}"))
    unreadable = sum(result.page.error is not None for result in results)
    remark = (
        f"\n{unreadable} photographs could not be read; their words count as missed"
        if unreadable
        else ""
    )
    return f"{model}, end to end\n{format_score(total(results), len(results))}{remark}"


def _shown(some: Iterable[Any], count: int) -> Iterator[Any]:
    return progress(some, "images", total=count)
