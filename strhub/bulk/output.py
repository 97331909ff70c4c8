"""The output of bulk reading: a folder of Parquet files, one a unit of work, each there as a whole
or not at all.

The folder is one table to programs that read Parquet, since all else in it has a name that they
pass over. What is done is told from the parts alone, so that no record of progress can contradict
them.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from strhub.bulk.inputs import FILES, LMDB, PARQUET, TAR, Span, Unit, input_name, lmdb_size
from strhub.bulk.parquet import parquet_groups
from strhub.inference.reading import Reading
from strhub.utils.files import replacing, write_whole
from strhub.utils.json_text import load_json
from strhub.utils.regular_files import read_regular_text

__all__ = [
    "COLUMNS",
    "JOB",
    "Row",
    "check_job",
    "count",
    "done_parts",
    "failures",
    "missing_units",
    "write_part",
]

COLUMNS: Final = ("source", "text", "confidence", "character_confidences", "error")
# begins with an underscore, so that programs that open the folder as one table skip it
JOB: Final = "_job.json"
FORMER_JOB: Final = "job.json"
# parts with inputs that could not be opened, which the next run tries again
FAILED: Final = "failed-"
SPANNED: Final = re.compile(r"((?:lmdb|parquet)-[0-9a-f]{16})-(\d+)-(\d+)")

Row = tuple[str, Reading]  # source and what was read there


def check_job(folder: Path, job: Mapping[str, Any]) -> None:
    """Note what reads to this folder; `ValueError` if it holds another model's readings, or
    something else.
    """
    path = folder / JOB
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists() and (folder / FORMER_JOB).exists():
        (folder / FORMER_JOB).replace(path)
    if not path.exists():
        if any(item for item in folder.iterdir() if not item.name.startswith(".")):
            raise ValueError(
                f"{folder} contains something other than readings: choose an empty or a new folder"
            )
        write_whole(path, json.dumps(job, indent=1))
        return
    try:
        before = load_json(read_regular_text(path))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(before, dict):
        raise ValueError(f"{path} is damaged: it is not a JSON object")
    for name, value in job.items():
        if before.get(name) != value:
            raise ValueError(
                f"{folder} holds readings with {name} {before.get(name)!r:.300}, not "
                f"{value!r:.300}: "
                "give another folder"
            )


def write_part(folder: Path, name: str, rows: Sequence[Row]) -> None:
    """Write the readings of a unit, all or nothing, and have the disk know of it."""
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema(
        [
            ("source", pyarrow.string()),
            ("text", pyarrow.string()),
            ("confidence", pyarrow.float32()),
            ("character_confidences", pyarrow.list_(pyarrow.float32())),
            ("error", pyarrow.string()),
        ]
    )
    columns = [
        [os.fsencode(source).decode("utf-8", "replace") for source, _ in rows],
        [reading.text for _, reading in rows],
        [reading.confidence for _, reading in rows],
        [reading.character_confidences for _, reading in rows],
        [reading.error for _, reading in rows],
    ]
    table = pyarrow.table(
        [pyarrow.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
    with replacing(folder / f"{name}.parquet") as partial:
        parquet.write_table(table, partial, compression="zstd")


def done_parts(folder: Path) -> set[str]:
    """Return the names of the parts that are there; what a killed run left half done is removed."""
    for leftover in folder.glob(".*.partial"):
        with suppress(OSError):
            leftover.unlink()
    for failed in folder.glob(f"{FAILED}*.parquet"):
        failed.unlink()
    return {path.stem for path in folder.glob("*.parquet")}


def missing_units(
    found: Mapping[str, Sequence[str]], folder: Path, *, per_part: int
) -> tuple[list[Unit], dict[str, str]]:
    """Return the units that are still to be read, of about `per_part` images, and why the inputs
    without any have none.
    """
    done = done_parts(folder)
    spans = defaultdict(list)
    for name in done:
        if match := SPANNED.fullmatch(name):
            spans[match[1]].append(Span(int(match[2]), int(match[3])))
    units, problems = [], dict[str, str]()
    for kind, sizes in ((LMDB, _lmdb_spans), (PARQUET, _parquet_spans)):
        for path in found[kind]:
            try:
                for span in sizes(path, spans[input_name(kind, path)], per_part):
                    units.append(Unit(kind, path, span))
            except (ValueError, OSError) as error:
                problems[path] = str(error)
    units += [unit for path in found[TAR] if (unit := Unit(TAR, path)).name not in done]
    read = _sources(folder, done)
    files = [
        name for name in found[FILES] if os.fsencode(name).decode("utf-8", "replace") not in read
    ]
    units += [
        Unit(FILES, files=tuple(files[at : at + per_part])) for at in range(0, len(files), per_part)
    ]
    return units, problems


def failures(folder: Path, problems: Mapping[str, str]) -> None:
    """List inputs that could not be opened at all."""
    if problems:
        rows = [(path, Reading("", 0.0, error=reason)) for path, reason in problems.items()]
        write_part(folder, f"{FAILED}{uuid4().hex}", rows)


def count(folder: Path) -> tuple[int, int]:
    """Return how many rows all parts have together, and how many of them are of images that could
    not be read.
    """
    from pyarrow.parquet import ParquetFile

    rows = unreadable = 0
    for path in folder.glob("*.parquet"):
        with ParquetFile(path) as part:
            metadata = part.metadata
            rows += metadata.num_rows
            for group in range(metadata.num_row_groups):
                column = metadata.row_group(group).column(COLUMNS.index("error"))
                unreadable += metadata.row_group(group).num_rows - column.statistics.null_count
    return rows, unreadable


def _lmdb_spans(path: str, done: Sequence[Span], per_part: int) -> list[Span]:
    """Return the records that no part has yet, as spans."""
    spans, start = [], 0
    for span in [*sorted(done), Span(size := lmdb_size(path), size)]:
        while start < span.start:
            stop = min(start + per_part, span.start)
            spans.append(Span(start, stop))
            start = stop
        start = max(start, span.stop)
    return spans


def _parquet_spans(path: str, done: Sequence[Span], per_part: int) -> list[Span]:
    """Return rows that no part has yet, in spans of whole row groups."""
    spans: list[Span] = []
    for group in parquet_groups(path):
        if group.start == group.stop or any(
            part.start <= group.start and group.stop <= part.stop for part in done
        ):
            continue
        if spans and spans[-1].stop == group.start and group.stop - spans[-1].start <= per_part:
            spans[-1] = Span(spans[-1].start, group.stop)
        else:
            spans.append(group)
    return spans


def _sources(folder: Path, done: set[str]) -> set[str]:
    """Return the images in files that have been read."""
    from pyarrow import parquet

    names: set[str] = set()
    for name in done:
        if name.startswith(f"{FILES}-"):
            names.update(
                parquet.read_table(folder / f"{name}.parquet", columns=["source"])[
                    "source"
                ].to_pylist()
            )
    return names
