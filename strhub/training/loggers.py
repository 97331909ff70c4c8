"""A CSV log of training that continues where a stopped run ended.

Lightning's CSV logger begins its file anew whenever a run starts; here a resumed run keeps what
came before its step.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers.csv_logs import CSVLogger, ExperimentWriter
from pytorch_lightning.utilities import rank_zero_only

from strhub.utils.files import write_whole
from strhub.utils.regular_files import check_regular

__all__ = ["ContinuedCSVLogger"]


class _Writer(ExperimentWriter):
    """Lightning's writer, but an earlier file stays, and whatever is written anew replaces the old
    file as a whole.
    """

    def _check_log_dir_exists(self) -> None:
        """Keep the files of the earlier parts, which Lightning's writer would remove."""

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self.replace(_rows(Path(self.metrics_file_path)), fieldnames)

    def replace(self, rows: Sequence[Mapping[str, Any]], fieldnames: list[str]) -> None:
        """Write the file anew: a run that is killed in here leaves the old one."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, fieldnames)
        table.writeheader()
        table.writerows(rows)
        write_whole(self.metrics_file_path, text.getvalue())

    def begin(self, step: int, validating: bool) -> None:
        """Drop what earlier parts wrote of the steps that this part does again, and a last line
        that was cut off.
        """
        path = Path(self.metrics_file_path)
        if not path.exists():
            return
        check_regular(path)
        kept = [row for row in _rows(path) if _stays(row, step, validating)]
        self.metrics_keys = sorted({name for row in kept for name, value in row.items() if value})
        if kept:
            filled = [{name: row.get(name) for name in self.metrics_keys} for row in kept]
            self.replace(filled, self.metrics_keys)
        else:
            path.unlink()


class ContinuedCSVLogger(CSVLogger):
    """`metrics.csv` in the log folder, one curve over all parts of a run: a row for each step that
    logs something.

    The rows of a part that was stopped stay, but for those from the step on at which the next part
    starts, since that part does these steps anew. If it starts with a validation, what that step's
    training logged stays.
    """

    _begun = False

    @property
    @rank_zero_experiment
    def experiment(self) -> _Writer:
        """Return the file's writer, made when first asked for."""
        if not isinstance(self._experiment, _Writer):
            self._experiment = _Writer(log_dir=self.log_dir)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row."""
        if not self._begun and step is not None:
            self._begun = True
            self.experiment.begin(step, any(name.startswith("val_") for name in metrics))
        super().log_metrics(dict(metrics), step)


def _rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of earlier parts; a last line that was cut off is left out."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row.values() and None not in row]
    return [row for row in rows if row.get("step", "").isdigit()]


def _stays(row: Mapping[str, str], step: int, validating: bool) -> bool:
    """Return whether an earlier part's row stays when the next one begins at `step`, validating or
    training.
    """
    at = int(row["step"])
    validated = any(value and name.startswith("val_") for name, value in row.items())
    return at < step or (at == step and validating and not validated)
