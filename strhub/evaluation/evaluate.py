"""`evaluate(model, data, names)`: a model's score on each benchmark, and the tables of the field's protocols."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
import yaml

from strhub.checkpoint.scene_text_model import SceneTextModel
from strhub.configs import CONFIG_DIR
from strhub.evaluation.metrics import Score
from strhub.text import CharsetAdapter

Progress = Callable[[Iterable[Any], str], Iterable[Any]]


def protocols() -> dict[str, list[str]]:
    """Benchmarks of each protocol: subset, full and new."""
    content: dict[str, list[str]] = yaml.safe_load((CONFIG_DIR / "evaluation.yaml").read_text("utf-8"))
    return content


def evaluate_batches(
    model: SceneTextModel, batches: Iterable[Any], charset_test: str, device: torch.device | str
) -> Score:
    """Score a model on batches of (images, labels, unreadable, lost labels), in the charset that is tested."""
    adapter = CharsetAdapter(charset_test)
    score = Score()
    for images, labels, _, lost_labels in batches:
        readings: Sequence[tuple[str, float, Any]] = []
        if labels:
            with torch.inference_mode():
                readings = model.read(images.to(device))
        score.add_batch(readings, labels, lost_labels, adapter)
    return score


def evaluate(
    model: SceneTextModel,
    data: Any,
    names: Sequence[str],
    *,
    device: torch.device | str = "cpu",
    progress: Progress = lambda batches, name: batches,
) -> dict[str, Score]:
    """Score a model on the named benchmarks of a `SceneTextDataModule`; `progress` wraps the batches of each."""
    model.eval().to(device)
    return {
        name: evaluate_batches(model, progress(data.test_dataloader(name), name), data.charset_test, device)
        for name in names
    }


def format_table(scores: Mapping[str, Score]) -> str:
    """A table of scores, in percent, with "Combined" weighing by samples."""
    rows = {**scores, "Combined": reduce(add, scores.values(), Score())}
    width = max(len("Combined"), *map(len, rows))
    lines = [
        f"| {'Dataset':<{width}} | # samples | Accuracy | 1 - NED | Confidence | Label Length |",
        f"|:{'-' * width}-|----------:|---------:|--------:|-----------:|-------------:|",
    ]
    for name, score in rows.items():
        lines.append(
            f"| {name:<{width}} | {score.samples:>9.0f} | {100 * score.accuracy:>8.2f} | "
            f"{100 * score.one_minus_ned:>7.2f} | {100 * score.mean_confidence:>10.2f} | "
            f"{score.mean_label_length:>12.2f} |"
        )
    return "\n".join(lines)


def format_protocols(scores: Mapping[str, Score], asked: Sequence[str]) -> str:
    """The tables of the asked protocols over the benchmarks that were scored, naming those that are absent."""
    parts = []
    for protocol in asked:
        names = protocols()[protocol]
        present = {name: scores[name] for name in names if name in scores}
        absent = [name for name in names if name not in scores]
        title = f"{protocol} protocol" + (f" (absent: {', '.join(absent)})" if absent else "")
        parts.append(f"{title}\n{format_table(present) if present else 'none of its sets is there'}")
    others = {name: score for name, score in scores.items() if not any(name in protocols()[p] for p in asked)}
    if others:
        parts.append(f"other sets\n{format_table(others)}")
    unreadable = sum(score.unreadable for score in scores.values())
    if unreadable:
        parts.append(f"{unreadable:.0f} pictures could not be read and count as wrong")
    return "\n\n".join(parts)
