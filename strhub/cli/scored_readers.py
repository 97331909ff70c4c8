"""What is scored: a reader by its name or file, with its options, or what others have read."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from strhub.cli.arguments import SEARCH, model_options, read_options

if TYPE_CHECKING:
    from strhub.evaluation.report.content import Maps
    from strhub.evaluation.scoring import Evaluation


EXPORTED = (".onnx", ".pt2")

TABLE = ".tsv"


def _reader(
    args: argparse.Namespace,
    parser: argparse.ArgumentParser,
    stack: ExitStack,
    source: str,
    name: str,
    options: Sequence[str],
) -> tuple[Any, str | None, Maps | None]:
    """Return a reader, the charset that it knows, and what draws where it read characters."""
    if source.endswith(TABLE):
        from strhub.evaluation.predictions import Predictions
        from strhub.evaluation.readers import PredictionsReader
        from strhub.evaluation.results.provenance import file_hash

        predictions = stack.enter_context(Predictions(source))
        facts = {"name": name, "kind": "predictions", "file": source, "sha256": file_hash(source)}
        return (
            PredictionsReader(predictions, {**facts, "confidences": predictions.has_confidences}),
            None,
            None,
        )
    from strhub.cli import scored_models

    wanted = args.reader or Path(source).suffix in EXPORTED
    if wanted or any(getattr(args, one) != parser.get_default(one) for one in of_reader()):
        if args.rotation:
            raise ValueError("--rotation is for a bare network: it has no effect with --reader")
        names = ("turn_tall", "reread_below", *SEARCH)
        own = read_options(args, *names).keywords()
        chosen = {**{name: own[name] for name in names}, **model_options(options)}
        return scored_models.recognizer(args, source, name, chosen)
    return scored_models.network(args, source, name, model_options(options))


def _tables(args: argparse.Namespace, found: Evaluation, asked: Sequence[str]) -> str:
    from strhub.evaluation.report import format_own, format_protocols

    reader = found.reader
    head = ", ".join(
        [
            str(reader["name"]),
            *([f"computed in {reader['precision']}"] if "precision" in reader else []),
        ]
    )
    head += f" on {reader['device']}" if "device" in reader else ""
    named = [] if asked else list(found)
    scores = dict(found.scores[found.charset])
    tables = [head, format_protocols(scores, asked, named)]
    tables += [
        format_own(dict(scores), own, list(found))
        for own, scores in found.scores.items()
        if own != found.charset
    ]
    return "\n\n".join(tables)


def of_reader() -> tuple[str, ...]:
    return ("reader", "no_turning", "reread_below", *SEARCH)
