"""`evaluate(model, data, names)`: a model's score on each benchmark, in one charset or several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from strhub.data.sources.word_sets import from_dataset, open_set
from strhub.evaluation import scoring
from strhub.evaluation.metrics import Score
from strhub.evaluation.readers import ReadingModel, network_reader
from strhub.evaluation.scoring import Evaluation
from strhub.text import ScoredText

if TYPE_CHECKING:
    from strhub.data.module import SceneTextDataModule

Progress = Callable[[Iterable[Any], str], Iterable[Any]]


def evaluate(
    model: ReadingModel,
    data: SceneTextDataModule,
    names: Sequence[str],
    *,
    device: torch.device | str = "cpu",
    output: str | Path | None = None,
    progress: Progress = lambda batches, name: batches,
) -> Evaluation:
    """Score a model on the named benchmarks of a `SceneTextDataModule`, in that one's
    `charset_test`.

    Returns the results by set, each a `Score` with intervals, slices and confusions; `samples()`
    has every word.
    output: a folder for the samples' files. progress: wraps the words of each set.
    """
    description = {"name": str(model.hparams.get("name", "")), "kind": "bare network"}
    reader = network_reader(model, data, description, data.batch_size, device)
    if data.min_image_dim:  # which makes images unreadable
        sets = [from_dataset(name, data.test_dataset(name, as_stored=True)) for name in names]
    else:
        sets = [open_set(data.root_dir / "test" / name, name) for name in names]
    return scoring.score(reader, sets, charset=data.charset_test, output=output, progress=progress)


def evaluate_in(
    model: ReadingModel,
    data: SceneTextDataModule,
    names: Sequence[str],
    charsets: Sequence[str],
    *,
    device: torch.device | str = "cpu",
    progress: Progress = lambda batches, name: batches,
) -> dict[str, dict[str, Score]]:
    """Return scores by charset and benchmark, of one reading of each word; see `evaluate`."""
    model.eval()
    model.to(device)
    texts = [ScoredText(charset) for charset in charsets]
    scores: dict[str, dict[str, Score]] = {charset: {} for charset in charsets}
    for name in names:
        batches = progress(data.test_dataloader(name, as_stored=True), name)
        for charset, score in zip(
            charsets, score_batches(model, batches, texts, device), strict=True
        ):
            scores[charset][name] = score
    return scores


def score_batches(
    model: ReadingModel,
    batches: Iterable[Any],
    texts: Sequence[ScoredText],
    device: torch.device | str,
) -> list[Score]:
    """Score a model on batches of (images, labels, unreadable, lost labels), labels as they are
    stored.

    texts: the charsets to score in; there is a score for each.
    """
    scores = [Score() for _ in texts]
    for images, labels, _, lost_labels in batches:
        readings: Sequence[tuple[str, float, Any]] = []
        if labels:
            with torch.inference_mode():
                readings = model.read(images.to(device))
        for score, text in zip(scores, texts, strict=True):
            score.add_batch(readings, labels, lost_labels, text)
            score.add_labels([*labels, *lost_labels], text)
    return scores


def any_samples(scores: Mapping[str, Mapping[str, Score]]) -> bool:
    """Return whether a word was scored in any of the charsets."""
    return any(score.samples for by_name in scores.values() for score in by_name.values())
