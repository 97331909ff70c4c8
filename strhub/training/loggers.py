"""Logs of training that go on where a stopped run's end.

Lightning's CSV logger begins its file anew whenever a run starts; here a resumed run keeps what came before its step.
"""

from __future__ import annotations

import csv
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers.csv_logs import CSVLogger, ExperimentWriter
from pytorch_lightning.utilities import rank_zero_only


class ContinuedCSVLogger(CSVLogger):
    """`metrics.csv` in the log folder, one curve over all parts of a run: a row for each step that logs something.

    The rows of a part that was stopped stay, but for those from the step on at which the next part starts, since that
    part does these steps anew. If it starts with a validation, what that step's training logged stays.
    """

    _started = False

    @property
    def experiment(self) -> Any:
        """Lightning's writer, made when first asked for, with the earlier rows back in the file."""
        if self._experiment is None:
            path = Path(self.log_dir) / "metrics.csv"
            earlier = _rows(path)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Experiment logs directory")  # it says that they will be deleted
                writer = super().experiment
            if earlier and isinstance(writer, ExperimentWriter):  # not on other devices
                writer.metrics = list(map(_filled, earlier))
                writer.save()
        return super().experiment

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Add a row."""
        writer = self.experiment
        if not self._started and step is not None:
            self._started = True
            rows = _rows(Path(self.log_dir) / "metrics.csv")
            kept = [filled for row in rows if _stays(filled := _filled(row), step, metrics)]
            if len(kept) < len(rows):
                Path(writer.metrics_file_path).unlink()
                writer.metrics = kept
                writer.save()
        super().log_metrics(dict(metrics), step)


def _rows(path: Path) -> list[dict[str, str]]:
    """The rows of an earlier part; a last line that was cut off is left out."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if None not in row.values() and None not in row]
    except FileNotFoundError:  # there is none, or the first device is just writing it anew
        return []
    return [row for row in rows if row.get("step", "").isdigit()]


def _stays(row: Mapping[str, Any], step: int, metrics: Mapping[str, Any]) -> bool:
    """Return whether an earlier part's row stays when the next one begins at `step` by logging `metrics`."""
    at = int(row["step"])
    return at < step or (at == step and not row.keys() & (metrics.keys() - {"epoch", "step"}))


def _filled(row: Mapping[str, str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value}
