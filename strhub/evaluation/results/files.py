"""Samples on disk: a TSV that any program reads, and Parquet beside it. Written as they come, read
as a stream.

In a TSV, `\\t`, `\\n`, `\\r` and `\\\\` stand for a tab, the ends of lines and a backslash; lists
are JSON; what is not known is empty. Files have their names once they are complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from strhub.errors import DataError
from strhub.evaluation.results.sample import FIELDS, Sample
from strhub.utils.files import replacing
from strhub.utils.json_text import load_json
from strhub.utils.regular_files import open_regular

__all__ = ["SAMPLES", "SampleWriter", "escaped", "read_samples", "unescaped"]

SAMPLES: Final = "samples"  # the files' name before the suffix
DERIVED: Final = ("correct", "edits")  # columns that follow from the others
ROWS: Final = 4096  # held in memory before they are written
_ESCAPES: Final = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


class SampleWriter:
    """Write samples to `folder`/samples.tsv, and to samples.parquet if pyarrow is there; a context
    manager.

    name: of the files, before the suffix. parquet: whether to write that, too.
    """

    def __init__(self, folder: Path, *, name: str = SAMPLES, parquet: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._open = ExitStack()
        self._parquet: Any = None
        self._rows: list[dict[str, Any]] = []
        with ExitStack() as opening:
            partial = opening.enter_context(replacing(folder / f"{name}.tsv"))
            self._tsv: IO[str] = opening.enter_context(
                partial.open("w", encoding="utf-8", newline="\n")
            )
            self._tsv.write("\t".join([*FIELDS, *DERIVED]) + "\n")
            if parquet:
                from pyarrow import parquet as writing

                partial = opening.enter_context(replacing(folder / f"{name}.parquet"))
                self._parquet = writing.ParquetWriter(partial, _schema(), compression="zstd")
                opening.callback(self._parquet.close)
            self._open = opening.pop_all()

    def write(self, sample: Sample) -> None:
        """Write one sample."""
        values = {name: getattr(sample, name) for name in FIELDS}
        edits = json.dumps([list(edit) for edit in sample.edits], ensure_ascii=False)
        cells = [_cell(value) for value in values.values()]
        self._tsv.write("\t".join([*cells, str(int(sample.correct)), escaped(edits)]) + "\n")
        if self._parquet is not None:
            self._rows.append(values | {"correct": sample.correct, "edits": edits})
            if len(self._rows) == ROWS:
                self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._rows:
            self._parquet.write_table(pyarrow.Table.from_pylist(self._rows, schema=_schema()))
            self._rows = []

    def __enter__(self) -> SampleWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._parquet is not None:
            try:
                self._flush()
            except BaseException as problem:
                self._open.__exit__(type(problem), problem, problem.__traceback__)
                raise
        self._open.__exit__(kind, error, trace)


def read_samples(path: Path) -> Iterator[Sample]:
    """Yield the samples of a TSV that `SampleWriter` wrote, in order. `DataError` says what is
    wrong and where.
    """
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8", newline="\n") as file:
            names = file.readline().rstrip("\n").split("\t")
            if names[: len(FIELDS)] != list(FIELDS):
                raise DataError(
                    f"{path} holds no samples of an evaluation: make it with test.py --output"
                )
            for number, line in enumerate(file, 2):
                cells = line.rstrip("\n").split("\t")
                if len(cells) != len(names) or not line.endswith("\n"):
                    raise DataError(
                        f"{path}:{number}: the line has {len(cells)} columns of {len(names)}: is "
                        "it cut?"
                    )
                try:
                    yield _sample(cells)
                except ValueError as error:
                    raise DataError(f"{path}:{number}: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {error}") from error


def _sample(cells: list[str]) -> Sample:
    text = dict(zip(FIELDS, cells, strict=False))
    return Sample(
        set=unescaped(text["set"]),
        index=int(text["index"]),
        source=unescaped(text["source"]),
        image=unescaped(text["image"]),
        stored_label=unescaped(text["stored_label"]),
        raw_text=unescaped(text["raw_text"]),
        label=unescaped(text["label"]),
        text=unescaped(text["text"]),
        confidence=_number(text["confidence"]),
        character_confidences=tuple(map(float, load_json(text["character_confidences"] or "[]"))),
        width=int(text["width"]),
        height=int(text["height"]),
        slant=_number(text["slant"]),
        sharpness=_number(text["sharpness"]),
        rotation=int(text["rotation"]),
        error=unescaped(text["error"]) or None,
    )


def escaped(text: str) -> str:
    """Return a text without tabs and ends of lines, which `unescaped` brings back."""
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


def unescaped(text: str) -> str:
    """Return what `escaped` was given."""
    if "\\" not in text:
        return text
    characters = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}
    parts = iter(text)
    return "".join(characters.get(next(parts, ""), "") if one == "\\" else one for one in parts)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return json.dumps(value)
    return escaped(value) if isinstance(value, str) else repr(value)


def _number(text: str) -> float | None:
    return float(text) if text else None


def _schema() -> Any:
    import pyarrow

    kinds = {
        "index": pyarrow.int64(),
        "confidence": pyarrow.float64(),
        "width": pyarrow.int32(),
        "height": pyarrow.int32(),
        "rotation": pyarrow.int32(),
        "slant": pyarrow.float32(),
        "sharpness": pyarrow.float32(),
        "character_confidences": pyarrow.list_(pyarrow.float32()),
        "correct": pyarrow.bool_(),
    }
    return pyarrow.schema(
        [(name, kinds.get(name, pyarrow.string())) for name in (*FIELDS, *DERIVED)]
    )
