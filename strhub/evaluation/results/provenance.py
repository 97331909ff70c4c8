"""`results.json`: the scores of an evaluation, and all that is needed to get them again."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import strhub
from strhub.errors import DataError
from strhub.evaluation.results.intervals import Interval
from strhub.evaluation.results.summary import SetResult
from strhub.evaluation.scoring import Evaluation
from strhub.utils.files import write_whole
from strhub.utils.json_text import load_json
from strhub.utils.regular_files import open_regular, read_regular_text

__all__ = ["RESULTS", "file_hash", "read_results", "scores_of", "versions", "write_results"]

RESULTS: Final = "results.json"
FORMAT: Final = 1
PACKAGES: Final = ("numpy", "pillow", "onnxruntime", "torch", "rapidfuzz")
_BLOCK: Final = 1 << 20


def write_results(
    evaluation: Evaluation,
    folder: str | Path,
    *,
    command: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write results.json to a folder and return what is in it.

    command: as it was typed; data: the path of each set.
    """
    sets = {
        name: {
            "path": (data or {}).get(name, ""),
            "sha256": evaluation.digests.get(name, ""),
            **scores_of(result),
        }
        for name, result in evaluation.items()
    }
    content = {
        "format": FORMAT,
        "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": list(command),
        "reader": dict(evaluation.reader),
        "charset": evaluation.charset,
        "seed": 0,  # of the bootstrap; reading draws nothing
        "versions": versions(),
        "sets": sets,
        "combined": scores_of(evaluation.combined),
    }
    write_whole(Path(folder) / RESULTS, json.dumps(content, ensure_ascii=True, indent=1) + "\n")
    return content


def read_results(folder: str | Path) -> dict[str, Any]:
    """Return what is in a folder's results.json. `DataError` if it is not there, damaged or of a
    newer strhub.
    """
    path = Path(folder) / RESULTS
    try:
        content = load_json(read_regular_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}. Make it with test.py --output") from error
    if not isinstance(content, dict) or not isinstance(content.get("charset"), str):
        raise DataError(f"{path} is not the result of an evaluation: make it with test.py --output")
    sets, reader = content.get("sets"), content.get("reader")
    if (
        not isinstance(content.get("format", 0), int)
        or not isinstance(reader, dict)
        or not isinstance(sets, dict)
        or not all(isinstance(one, dict) for one in sets.values())
        or not all(isinstance(one.get("path", ""), str) for one in sets.values())
    ):
        raise DataError(f"{path} is damaged: evaluate again with test.py --output")
    if content.get("format", 0) > FORMAT:
        raise DataError(
            f"{path} has format {content['format']}, this strhub reads up to {FORMAT}: update "
            "strhub"
        )
    return content


def scores_of(result: SetResult) -> dict[str, Any]:
    """Return the numbers of a set, fit for JSON. Fractions are in [0, 1], intervals [low, high]."""
    intervals: dict[str, Interval] = {
        "accuracy": result.accuracy_interval,
        "one_minus_ned": result.ned_interval,
        "cer": result.cer,
        "wer": result.wer,
    }
    slices = {
        name: {part.part: {"words": part.words, "accuracy": part.accuracy.value} for part in parts}
        for name, parts in result.slices.items()
    }
    return {
        **{
            name: int(getattr(result, name))
            for name in ("samples", "correct", "unreadable", "untested", "shortened")
        },
        **{name: one.value for name, one in intervals.items()},
        "intervals": {name: [one.low, one.high] for name, one in intervals.items()},
        "confidence": result.mean_confidence,
        "label_length": result.mean_label_length,
        "ece": result.ece,
        "slices": slices,
    }


def versions() -> dict[str, str]:
    """Return the versions of what computes, as far as it is installed."""
    found = {
        "strhub": strhub.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found | {"platform": sys.platform}


def file_hash(path: str | Path) -> str:
    """Return the SHA-256 of a file. `OSError` if it cannot be read."""
    hashed = sha256()
    with open_regular(path) as file:
        while block := file.read(_BLOCK):
            hashed.update(block)
    return hashed.hexdigest()
