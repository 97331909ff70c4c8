"""Model cards: what is known of a model, in its file for programs and as Markdown for people."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError, safe_open

import strhub
from strhub.checkpoint.formats import FORMAT, read_metadata

__all__ = ["new_card", "read_card", "readme"]

_LICENSES = ("apache-2.0", "mit", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0",
             "cc-by-nc-4.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense")  # fmt: skip


def new_card(
    metrics: Mapping[str, float] | None,
    provenance: Mapping[str, Any] | None,
    licence: str | None,
) -> dict[str, Any]:
    """Return the card of a model that is saved now, with the versions used; see
    `strhub.checkpoint.zoo.save` for the arguments.
    """
    versions = {
        "strhub": strhub.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    card: dict[str, Any] = {
        "measured": dict(metrics or {}),
        "provenance": {**(provenance or {}), "versions": versions},
    }
    if licence is not None:
        card["licence"] = licence
    return card


def read_card(path: Path) -> dict[str, Any]:
    """Return the card of a file of ours; nothing for other files.

    Raises:
        CheckpointError: the file is ours, and its card is damaged.
    """
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get("format")
    except (SafetensorError, OSError, ValueError):
        return read_metadata(path)[1]  # says what is wrong
    return read_metadata(path)[1] if written == FORMAT else {}


def readme(repository: str, hparams: Mapping[str, Any], card: Mapping[str, Any]) -> str:
    """Return the README.md of a repository on Hugging Face's hub: the front matter that it reads,
    and Markdown for people.

    repository: `owner/name`; hparams and card: of the model.
    """
    measured = card.get("measured") or {}
    front: dict[str, Any] = {
        "library_name": "strhub",
        "pipeline_tag": "image-to-text",
        "tags": ["ocr", "scene-text-recognition", str(hparams["architecture"])],
    }
    licence = str(card.get("licence", "")).lower()
    if licence in _LICENSES:
        front["license"] = licence
    elif licence:
        front["license"] = "other"
        front["license_name"] = re.sub(r"[^a-z0-9.-]+", "-", licence)[:60]
    if measured:
        front["model-index"] = [_index(repository, measured)]
    height, width = hparams["img_size"]
    wide = f"up to {width} wide" if hparams.get("keep_aspect") else f"{width} wide"
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---",
        f"# {repository.partition('/')[2]}",
        f"A recognizer of scene text ({hparams['architecture']}) made with strhub: "
        f"{len(hparams['charset_train'])} characters, images {height} pixels high and {wide}.",
        "```python\nfrom strhub import Recognizer  # pip install 'strhub[torch,hub]'\n\n"
        f'readings = Recognizer("hf://{repository}")(["a.png", "b.jpg"])\n```',
        f"Characters: {_code(hparams['charset_train'][:500])}",
    ]
    if measured:
        rows = [f"| {_cell(name)} | {100 * value:.1f} |" for name, value in measured.items()]
        parts.append("\n".join(["| test set | words read right, % |", "| --- | --- |", *rows]))
    known = {**(card.get("provenance") or {}), "licence": card.get("licence")}
    lines = [f"- {_cell(name)}: {_cell(value)}" for name, value in known.items() if value]
    if lines:
        parts.append("\n".join(["Where it comes from:", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _index(repository: str, measured: Mapping[str, float]) -> dict[str, Any]:
    """Return what the hub shows as results: percent by test set."""
    results = [
        {
            "task": {"type": "image-to-text"},
            "dataset": {"name": name, "type": re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")},
            "metrics": [
                {"type": "accuracy", "name": "word accuracy, %", "value": round(100 * value, 2)}
            ],
        }
        for name, value in measured.items()
    ]
    return {"name": repository.partition("/")[2], "results": results}


def _cell(value: Any) -> str:
    """Return a value in one line of Markdown that cannot become anything else."""
    if isinstance(value, Mapping):
        value = ", ".join(f"{name} {member}" for name, member in value.items())
    line = re.sub(r"\s+", " ", str(value))[:500]
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", line)


def _code(text: str) -> str:
    """Return a text as code in one line, whatever backticks it has."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}"
