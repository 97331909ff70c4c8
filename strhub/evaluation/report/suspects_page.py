"""The page to go through suspected labels: keep, correct or remove each, and download what was
decided as a TSV.

`strhub-data correct` applies that TSV. The page needs no server and keeps what was decided until it
is downloaded.
"""

from __future__ import annotations

from collections.abc import Sequence

from strhub.data.sources.word_sets import WordSet
from strhub.evaluation.report.content import WordList
from strhub.evaluation.report.shell import render
from strhub.evaluation.results.sample import Sample

__all__ = ["suspects_page"]


def suspects_page(
    suspects: Sequence[Sample], sets: Sequence[WordSet], *, reader: str, words: int
) -> str:
    """Return the page. suspects: in the order to go through; reader: who suspects them; words: how
    many were read.
    """
    listed = WordList()
    keys = [listed.add(sample) for sample in suspects]
    for sample, key in zip(suspects, keys, strict=True):
        listed.words[key]["as_stored"] = {
            "source": sample.source,
            "image": sample.image,
            "label": sample.stored_label,
        }
    data = {"words": [listed.words[key] for key in keys], "images": listed.images(sets)}
    return render(
        "suspects.html",
        title="Suspected labels",
        reader=reader,
        count=len(keys),
        words=words,
        data=data,
    )
