"""All pages and results.json of an evaluation, in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from strhub.data.sources.word_sets import WordSet
from strhub.evaluation.report.content import Maps
from strhub.evaluation.report.names import described
from strhub.evaluation.report.report_page import report_page
from strhub.evaluation.report.suspects_page import suspects_page
from strhub.evaluation.results.provenance import write_results
from strhub.evaluation.scoring import Evaluation
from strhub.utils.files import write_whole

__all__ = ["write_pages"]

SUSPECTS = "suspects.html"
REPORT = "report.html"


def write_pages(
    found: Evaluation,
    sets: Sequence[WordSet],
    folder: str | Path,
    *,
    command: Sequence[str] = (),
    maps: Maps | None = None,
) -> Path:
    """Write results.json, report.html and suspects.html to a folder; return the report's path.

    command: as it was typed; maps: draws where in an image each character was read.
    """
    folder = Path(folder)
    paths = {one.name: one.path for one in sets}
    facts = write_results(found, folder, command=command, data=paths)
    suspects = suspects_page(
        found.combined.suspects,
        sets,
        reader=described(found.reader),
        words=int(found.combined.samples),
    )
    write_whole(folder / SUSPECTS, suspects)
    page = report_page(found, sets, facts, maps=maps, suspects_page=SUSPECTS)
    write_whole(folder / REPORT, page)
    return folder / REPORT
