"""Readings that another program made: a TSV with a line for each image of the test sets, in any
order.

The first line names the columns: `image` and `text` must be there, `set`, `source`, `confidence` (0
to 1) and `label` may. Images have the names that strhub gives them: `image-000000001` in an LMDB,
the path in a folder of labels, the number in a tar. The readings are kept in a temporary file, not
in memory.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from strhub.data.sources.annotation_lines import MAX_LINE, lines_of
from strhub.errors import DataError
from strhub.evaluation.results.files import unescaped
from strhub.evaluation.results.sample import WordReading
from strhub.utils.regular_files import open_regular

__all__ = ["Predictions"]

COLUMNS: Final = ("set", "source", "image", "text", "confidence", "label")
NAMES: Final = {
    "raw_text": "text",
    "stored_label": "label",
}  # of our own files, which may be given as well
_SHOWN: Final = 3  # examples in a message


class Predictions:
    """The readings of a file; a context manager that removes its temporary file.

    Raises:
        DataError: for a file that is no such table, a bad confidence, or two readings or labels of
            one image.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._folder = tempfile.TemporaryDirectory(prefix="strhub-predictions-")
        self._table = sqlite3.connect(
            Path(self._folder.name) / "predictions.db", isolation_level=None
        )
        try:
            self._table.execute("PRAGMA journal_mode = OFF")
            self._table.execute("PRAGMA synchronous = OFF")
            self._table.execute(
                "CREATE TABLE readings (set_ TEXT, source TEXT, image TEXT, text TEXT, confidence "
                "REAL, label TEXT,"
                " line INTEGER, used INTEGER DEFAULT 0)"
            )
            self._load()
        except sqlite3.Error as error:
            self.close()
            raise DataError(
                f"{self.path} cannot be kept in {tempfile.gettempdir()}: {error}"
            ) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Predictions:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the temporary file."""
        self._table.close()
        self._folder.cleanup()

    def find(self, set_name: str, source: str, image: str, label: str) -> WordReading:
        """Return the reading of an image.

        Raises:
            DataError: if there is none, or if it is one of an image with another label.
        """
        rows = self._table.execute(
            "SELECT rowid, text, confidence, label, line FROM readings WHERE image = ? AND set_ IN "
            "('', ?)"
            " AND source IN ('', ?)",
            (image, set_name, source),
        ).fetchall()
        if not rows:
            raise DataError(
                f"{self.path} has no reading of {image} in the set {set_name} ({source}): every "
                "image needs a line, "
                "with an empty text where nothing was read"
            )
        rowid, text, confidence, own_label, line = rows[0]
        if own_label is not None and own_label != label:
            raise DataError(
                f"{self.path}:{line}: {image} has the label {own_label!r} there and {label!r} in "
                f"the set {set_name}: "
                "the readings belong to other images"
            )
        self._table.execute("UPDATE readings SET used = 1 WHERE rowid = ?", (rowid,))
        return WordReading(text, 0.0 if confidence is None else confidence)

    @property
    def has_confidences(self) -> bool:
        """Return whether each reading has a confidence."""
        (missing,) = self._table.execute(
            "SELECT count(*) FROM readings WHERE confidence IS NULL"
        ).fetchone()
        return not missing

    def check_all_used(self) -> None:
        """Raise `DataError` if there are readings of images that no test set has."""
        condition = "FROM readings WHERE NOT used"
        (count,) = self._table.execute(f"SELECT count(*) {condition}").fetchone()
        if count:
            some = self._table.execute(
                f"SELECT line, image {condition} ORDER BY line LIMIT {_SHOWN}"
            ).fetchall()
            examples = ", ".join(f"{image} in line {line}" for line, image in some)
            raise DataError(
                f"{self.path} has {count} readings of images that are in none of the scored sets, "
                f"such as {examples}: "
                "name the sets that were read with --sets"
            )

    def _load(self) -> None:
        self._table.execute("BEGIN")
        self._table.executemany(
            "INSERT INTO readings (set_, source, image, text, confidence, label, line) VALUES (?, "
            "?, ?, ?, ?, ?, ?)",
            self._rows(),
        )
        self._table.execute("COMMIT")
        self._table.execute("CREATE INDEX by_image ON readings (image, set_, source, line)")
        twice = self._table.execute(
            "SELECT a.image, a.line, b.line, a.text = b.text, a.label IS b.label FROM readings a "
            "JOIN readings b"
            " ON a.image = b.image AND a.set_ = b.set_ AND a.source = b.source AND a.line < b.line "
            "LIMIT 1"
        ).fetchone()
        if twice:
            image, first, second, same_text, same_label = twice
            what = (
                "two labels"
                if not same_label
                else "the same reading twice"
                if same_text
                else "two readings"
            )
            raise DataError(
                f"{self.path}: {image} has {what}, in lines {first} and {second}: leave one of "
                "them out, or tell the "
                "sets apart by a column `set`"
            )

    def _rows(self) -> Iterator[tuple[str, str, str, str, float | None, str | None, int]]:
        with open_regular(self.path) as file:
            lines = lines_of(file)
            names = self._header(next(lines, b""))
            for number, line in enumerate(lines, 2):
                text = self._decoded(line, number)
                if not text:
                    continue
                cells = text.split("\t")
                if len(cells) != len(names):
                    raise DataError(
                        f"{self.path}:{number}: {len(cells)} columns where the first line has "
                        f"{len(names)}"
                    )
                row = {
                    name: unescaped(cell) for name, cell in zip(names, cells, strict=True) if name
                }
                confidence = self._confidence(row.get("confidence", ""), number)
                yield (
                    row.get("set", ""),
                    row.get("source", ""),
                    row["image"],
                    row["text"],
                    confidence,
                    row.get("label"),
                    number,
                )

    def _header(self, line: bytes) -> list[str]:
        """Return the name of each column, '' for those that are of no use."""
        names = self._decoded(line, 1).split("\t")
        ours = "raw_text" in names
        names = [
            "" if ours and name in ("text", "label") else NAMES.get(name, name) for name in names
        ]
        missing = [name for name in ("image", "text") if names.count(name) != 1]
        if missing:
            raise DataError(
                f"{self.path}: its first line must name the columns, separated by tabs, "
                f"{missing[0]!r} once among them: "
                "image and text are needed; set, source, confidence and label are used"
            )
        return [name if name in COLUMNS else "" for name in names]

    def _decoded(self, line: bytes, number: int) -> str:
        if len(line) > MAX_LINE:
            raise DataError(f"{self.path}:{number}: the line is over {MAX_LINE >> 20} MiB long")
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}:{number}: the line is not UTF-8") from error

    def _confidence(self, text: str, number: int) -> float | None:
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise DataError(
                f"{self.path}:{number}: the confidence is {text!r}: it must be a number from 0 to 1"
            )
        return value
