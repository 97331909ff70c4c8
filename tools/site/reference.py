"""Pages of reference, made from what they describe: the options' files, the commands' own help, the
code.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "strhub" / "configs"
TOP = {
    "main": "./train.py",
    "bench": "./bench.py",
    "tune": "./tune.py",
    "evaluation": "evaluation in Python",
}
FURTHER = (
    "strhub.onnx.Recognizer",
    "strhub.data.module.SceneTextDataModule",
    "strhub.models.network.Network",
    "strhub.models.layers.backbones.CustomEncoder",
    "strhub.training.run.train",
    "strhub.training.systems.base.System",
    "strhub.spotting.detector.Detector",
    "strhub.bulk.read_all",
    "strhub.export.export",
    "strhub.data.sources.word_sets.open_set",
    "strhub.evaluation.evaluate.evaluate",
    "strhub.evaluation.scoring.score",
    "strhub.evaluation.readers.RecognizerReader",
    "strhub.evaluation.scoring.Evaluation",
    "strhub.evaluation.results.SetResult",
    "strhub.evaluation.results.Sample",
    "strhub.evaluation.results.Edit",
    "strhub.evaluation.results.Interval",
)
"""Public names outside of `strhub.__all__`."""


def options() -> str:
    """Return a page with every option of every configuration file, its default and its comment."""
    lines = [
        "# Options",
        "",
        "Every option of every file in `configs`: its default, and what it means.",
    ]
    for name, command in TOP.items():
        lines += ["", f"## {name} ({command})", "", *_table(CONFIGS / f"{name}.yaml")]
    for group in sorted(
        path for path in CONFIGS.iterdir() if path.is_dir() and path.name != "__pycache__"
    ):
        lines += ["", f"## {group.name}"]
        for path in sorted(group.glob("*.yaml")):
            lines += ["", f"### {group.name}={path.stem}", "", *_table(path)]
    return "\n".join(lines) + "\n"


def commands() -> str:
    """Return a page with every command's own help."""
    lines = ["# Commands", "", "What each command says with `--help`."]
    for name, words in _programs():
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}
        done = subprocess.run(
            words,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        lines += [
            "",
            f"## {name}",
            "",
            "```text",
            done.stdout.replace(str(ROOT), ".").rstrip(),
            "```",
        ]
    return "\n".join(lines) + "\n"


def python() -> str:
    """Return a page that asks for the documentation of the public names, each at the address where
    it is defined.
    """
    code = (
        "import importlib, strhub, sys\n"
        "for address in [*('strhub.' + name for name in sorted(strhub.__all__)), *sys.argv[1:]]:\n"
        "    module, _, name = address.rpartition('.')\n"
        "    found = getattr(importlib.import_module(module), name)\n"
        "    if hasattr(found, '__qualname__'): print(found.__module__ + '.' + found.__qualname__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code, *FURTHER]
    names = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    lines = [
        "# Python",
        "",
        "`strhub.<name>`, and what other public names lead to. Anything else may change without "
        "notice.",
    ]
    return "\n".join([*lines, *(line for name in names for line in ("", f"::: {name}"))]) + "\n"


def _programs() -> Iterator[tuple[str, list[str]]]:
    for name in ("read", "train", "test", "bench", "tune", "export"):
        yield f"{name}.py", [sys.executable, f"{name}.py", "--help"]
    code = (
        "import sys; from strhub.cli.entry import {0}; sys.argv = ['strhub-{0}', *sys.argv[1:]]; "
        "{0}()"
    )
    for name in ("explain", "serve", "demo", "data"):
        yield f"strhub-{name}", [sys.executable, "-c", code.format(name), "--help"]
    folder = ROOT / "strhub" / "cli" / "data_commands"
    for path in sorted(folder.glob("[a-z]*.py")):
        if "def add_arguments" in path.read_text("utf-8"):
            yield (
                f"strhub-data {path.stem}",
                [sys.executable, "-c", code.format("data"), path.stem, "--help"],
            )


def _table(path: Path) -> list[str]:
    """Return a Markdown table of a YAML file's options, from its lines: comments are what the
    options mean.
    """
    rows: list[tuple[str, str, str]] = []
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    note: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        if line.lstrip().startswith("#"):
            said = line.strip().lstrip("# ")
            if rows and len(line) - len(line.lstrip()) > 16:  # the comment beside an option goes on
                rows[-1] = (*rows[-1][:2], f"{rows[-1][2]} {said}")
            elif not said.startswith("@package"):
                above.append(said)
            continue
        found = re.match(r"^(\s*)(- )?([\w/@ .-]+):(?:\s+(.*))?$", line)
        if not found:
            note = note or above
            above = []
            continue
        indent = len(found[1]) + len(found[2] or "")
        while parents and parents[-1][0] >= indent:
            parents.pop()
        key = found[3].strip()
        name = ".".join([*(parent for _, parent in parents), key])
        value, comment = _split_comment(found[4] or "")
        if not value:
            parents.append((indent, key))
        if name.split(".")[0] in ("defaults", "hydra"):
            note = note or above
        elif key not in ("_convert_", "_recursive_", "_target_"):
            meaning = " ".join([*above, comment]).strip()
            if value or meaning:
                rows.append((name, value, meaning))
        above = []
    head = [" ".join(note), ""] if note else []
    if not rows:
        return [*head, "Takes other groups' options as they are."]
    return [
        *head,
        "| option | default | meaning |",
        "| --- | --- | --- |",
        *(f"| `{name}` | {_code(value)} | {_escape(meaning)} |" for name, value, meaning in rows),
    ]


def _split_comment(text: str) -> tuple[str, str]:
    """Return a value and the comment behind it."""
    if text.startswith("#"):
        return "", text.lstrip("# ")
    value, _, comment = text.partition(" #")
    return value.strip(), comment.strip()


def _code(value: str) -> str:
    return f"`{_escape(value)}`" if value else ""


def _escape(text: str) -> str:
    return (
        text.replace("|", "\\|").replace("<", "&lt;")
        if "`" not in text
        else text.replace("|", "\\|")
    )
