"""One curve over all parts of a run."""

import csv
from pathlib import Path

import pytest

from strhub.training.loggers import ContinuedCSVLogger


def rows(folder: Path) -> list[tuple[int, str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [
            (int(row["step"]), row.get("loss", ""), row.get("accuracy", ""))
            for row in csv.DictReader(file)
        ]


def part(folder: Path, steps: range, loss: float) -> None:
    logger = ContinuedCSVLogger(folder, name="", version="")
    for step in steps:
        logger.log_metrics({"loss": loss}, step)
    logger.save()


def log_and_save(folder: Path, metrics: dict[str, float], step: int) -> None:
    logger = ContinuedCSVLogger(folder, name="", version="")
    logger.log_metrics(metrics, step)
    logger.save()


def test_a_part_goes_on_where_it_starts(tmp_path: Path) -> None:
    part(tmp_path, range(10), 1.0)
    part(tmp_path, range(6, 8), 2.0)
    expected = [(step, "1.0", "") for step in range(6)] + [(step, "2.0", "") for step in (6, 7)]
    assert rows(tmp_path) == expected


def test_new_metrics_in_a_later_part(tmp_path: Path) -> None:
    part(tmp_path, range(2), 1.0)
    logger = ContinuedCSVLogger(tmp_path, name="", version="")
    logger.log_metrics({"accuracy": 50.0}, 2)
    logger.save()
    assert rows(tmp_path) == [(0, "1.0", ""), (1, "1.0", ""), (2, "", "50.0")]


def test_nothing_is_lost_before_the_first_row(tmp_path: Path) -> None:
    """A part that is killed before it logs anything leaves the curve as it was."""
    part(tmp_path, range(3), 1.0)
    before = rows(tmp_path)
    assert ContinuedCSVLogger(tmp_path, name="", version="").experiment is not None
    assert rows(tmp_path) == before


def test_a_line_that_was_cut_off(tmp_path: Path) -> None:
    part(tmp_path, range(3), 1.0)
    path = tmp_path / "metrics.csv"
    path.write_text(path.read_text()[:-3])
    part(tmp_path, range(3, 4), 2.0)
    assert [row[0] for row in rows(tmp_path)] in ([0, 1, 3], [0, 1, 2, 3])
    path.write_text("")
    part(tmp_path, range(1), 3.0)
    assert rows(tmp_path) == [(0, "3.0", "")]


def test_a_step_that_is_done_again_has_one_row(tmp_path: Path) -> None:
    """The learning rate has a row of its own before the loss: the step's earlier loss does not stay
    beside it.
    """
    for steps in (
        range(5),
        range(3, 6),
    ):  # killed after the rows were written and before the state was
        logger = ContinuedCSVLogger(tmp_path, name="", version="")
        for step in steps:
            logger.log_metrics({"lr-AdamW": 0.1}, step)
            logger.log_metrics({"loss": 1.0}, step)
        logger.save()
    assert [step for step, loss, _ in rows(tmp_path) if loss] == list(range(6))
    assert [step for step, loss, _ in rows(tmp_path) if not loss] == list(range(6))


def test_a_part_that_starts_with_a_validation(tmp_path: Path) -> None:
    """The training's rows of that step stay, an earlier part's validation does not."""
    for accuracy in (1.0, 2.0):
        logger = ContinuedCSVLogger(tmp_path, name="", version="")
        if accuracy == 1.0:
            logger.log_metrics({"loss": 1.0}, 0)
        logger.log_metrics({"val_accuracy": accuracy}, 0)
        logger.save()
    with (tmp_path / "metrics.csv").open() as file:
        found = [(row["loss"], row["val_accuracy"]) for row in csv.DictReader(file)]
    assert found == [("1.0", ""), ("", "2.0")]


def test_nothing_is_lost_while_the_file_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed while it adds a column, or while it drops rows, leaves the file as it
    was.
    """
    part(tmp_path, range(3), 1.0)
    before = (tmp_path / "metrics.csv").read_bytes()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", killed)
    for metrics, step in (({"val_accuracy": 50.0}, 2), ({"loss": 2.0}, 1)):
        with pytest.raises(KeyboardInterrupt):
            log_and_save(tmp_path, metrics, step)
        assert (tmp_path / "metrics.csv").read_bytes() == before
