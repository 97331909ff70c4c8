"""Each extra brings what the modules that it is for import: nothing is missing, nothing idle."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "strhub"

# What each extra is for, below strhub/; "" is what comes without any.
FOR = {
    "": ["__init__.py", "onnx.py", "cli/read.py", "cli/photo.py", "inference/onnx_engine.py"],
    "torch": ["checkpoint/zoo.py", "inference/torch_engine.py", "models/**/*.py"],
    "train": [
        "training/run.py",
        "training/systems/*.py",
        "training/callbacks/*.py",
        "cli/train.py",
        "cli/model_commands/*.py",
    ],
    "data": ["cli/data_commands/*.py", "data/synth/*.py", "data/curation/*.py"],
    "eval": ["evaluation/**/*.py", "cli/test.py", "cli/test_photos.py", "cli/scoring.py"],
    "tune": ["training/tuning*.py", "cli/tune.py"],
    "spot": ["spotting/pdf*.py", "spotting/documents.py"],
    "bulk": ["bulk/*.py", "cli/photo_bulk.py"],
    "serve": ["serving/*.py", "cli/serve.py"],
    "demo": ["cli/demo.py"],
    "clip": ["clip/*.py", "explain/*.py"],
    "hub": ["checkpoint/hub.py", "checkpoint/cards.py"],
    "timm": ["models/parseq/encoders.py", "models/layers/*.py"],
    "export": ["export/*.py", "cli/export.py"],
    "openvino": ["export/openvino.py"],
    "coreml": ["export/coreml.py"],
    "bench": ["benchmark/*.py", "cli/bench*.py"],
    "convert": ["data/published/*.py", "cli/data_commands/convert.py"],
}
# Extras for people who work on strhub, and the empty one: no module imports what they bring.
FOR_TOOLS = {"test", "docs", "dev", "onnx"}

DISTRIBUTION = {
    "PIL": "pillow",
    "anyio": "fastapi",
    "lightning_fabric": "pytorch-lightning",
    "markupsafe": "jinja2",
    "pydantic": "fastapi",
    "pydantic_core": "fastapi",
    "python_multipart": "python-multipart",
    "hydra": "hydra-core",
    "multipart": "python-multipart",
    "open_clip": "open_clip_torch",
    "prometheus_client": "prometheus-client",
    "pytorch_lightning": "pytorch-lightning",
    "starlette": "fastapi",
    "yaml": "pyyaml",
}
# What only one command or option of several needs, which names the extra; PyTorch brings jinja2.
ELSEWHERE = {
    "train": {"matplotlib", "onnx", "jinja2"},
    "bench": {"onnx"},
    "serve": {"torch", "ray"},
}
# Brought for what others import: uvicorn runs on them, Lightning logs by them, Ray and PyTorch.
FOR_OTHERS = {"httptools", "uvloop", "tensorboard", "optuna", "onnxscript"}


@pytest.fixture(scope="module")
def declared() -> dict[str, set[str]]:
    """What each extra brings with what it builds on, by names of distributions."""
    tomllib: Any = pytest.importorskip("tomllib")  # of Python 3.11
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = {**project["optional-dependencies"], "": project["dependencies"]}

    def brought(extra: str) -> set[str]:
        found: set[str] = set()
        for line in lines[extra]:
            name, more = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", line).groups()  # type: ignore[union-attr]
            if name == "strhub":
                found = found.union(*map(brought, more.split(",")))
            else:
                found.add(name)
        return found

    return {extra: brought(extra) | brought("") for extra in lines}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
def imported(path: Path, *, everywhere: bool, guarded: bool = False) -> list[str]:
    """Modules that a file imports: when it is imported itself, or anywhere but for types and where
    it says which extra is missing, or goes on without. guarded: those, too.
    """
    found: list[str] = []
    waiting: list[ast.AST] = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.With) and "needs(" in ast.unparse(node.items[0]) and not guarded:
            continue
        if isinstance(node, ast.Try) and not guarded and "Error" in caught(node):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not everywhere:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        if not isinstance(node, ast.expr):
            waiting += ast.iter_child_nodes(node)
    return found


def caught(node: ast.Try) -> str:
    """The errors of imports that are caught; '' if none."""
    kinds = " ".join(ast.unparse(handler.type) for handler in node.handlers if handler.type)
    return kinds if "ImportError" in kinds or "ModuleNotFoundError" in kinds else ""


@cache
def file_of(module: str) -> Path | None:
    """The file of a module of strhub; None if it is no module."""
    path = ROOT.joinpath(*module.split("."))
    found = [one for one in (path.with_suffix(".py"), path / "__init__.py") if one.is_file()]
    return found[0] if found else None


def needed(paths: list[Path]) -> dict[str, str]:
    """Distributions that files need, and the first file that imports each: what they import
    anywhere, and what those of strhub that come with them import at once.
    """
    found: dict[str, str] = {}
    waiting, seen = [*paths], set(paths)
    while waiting:
        path = waiting.pop()
        for module in imported(path, everywhere=path in paths):
            top = module.partition(".")[0]
            if top == "strhub":
                other = file_of(module)
                if other is not None and other not in seen:
                    seen.add(other)
                    waiting.append(other)
            elif top not in sys.stdlib_module_names:
                found.setdefault(DISTRIBUTION.get(top, top), path.relative_to(ROOT).as_posix())
    return found


def files(patterns: list[str]) -> list[Path]:
    found = [path for pattern in patterns for path in sorted(PACKAGE.glob(pattern))]
    assert len(found) >= len(patterns), f"{patterns}: not all of these are there"
    return found


def test_every_extra_is_for_something(declared: dict[str, set[str]]) -> None:
    assert {*FOR} | FOR_TOOLS == {*declared}


@pytest.mark.parametrize("extra", sorted(FOR))
def test_an_extra_brings_what_its_modules_import(extra: str, declared: dict[str, set[str]]) -> None:
    missing = {
        name: path
        for name, path in needed(files(FOR[extra])).items()
        if name not in declared[extra] | ELSEWHERE.get(extra, set())
    }
    assert not missing


def test_nothing_is_brought_that_is_not_imported(declared: dict[str, set[str]]) -> None:
    used = {
        DISTRIBUTION.get(name.partition(".")[0], name.partition(".")[0])
        for path in PACKAGE.rglob("*.py")
        for name in imported(path, everywhere=True, guarded=True)
    }
    text = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py"))
    named = set(re.findall(r'import_(?:extra|module)\(\s*"(\w+)', text))
    brought = set[str]().union(*(declared[extra] for extra in FOR))
    assert brought - used - {DISTRIBUTION.get(name, name) for name in named} == FOR_OTHERS


WITHOUT = """
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "hydra", "lmdb", "yaml", "fastapi", "pyarrow", "jinja2", "rapidfuzz"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refused())
from importlib import import_module
for line in sys.stdin.read().splitlines():
    command, *words = line.split()
    sys.argv = [f"strhub-{command}", *words]
    try:
        import_module(f"strhub.cli.{command}").main()
    except SystemExit as error:
        print(str(error.code).rpartition("[")[2])
"""
COMMANDS = {
    "train +experiment=german": "train",
    "tune tune.num_samples=2": "tune",
    "bench model=crnn": "bench",
    "test strhub-tiny --sets a": "eval",
    "export strhub-tiny words.onnx": "export",
    "explain attention strhub-tiny --images demo_images/01.png": "torch",
    "explain retrieve last.ckpt --images demo_images/01.png --vocabulary words.txt": "clip",
    "data suspects demo_images suspects.html": "data",
    "model make strhub-tiny": "train",
    "read --images demo_images --output readings": "bulk",
    "serve": "serve",
    "demo": "demo",
}


def test_a_command_names_the_one_extra_that_it_needs() -> None:
    """In an interpreter that has what reading needs, and nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input="\n".join(COMMANDS),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    named = [line.partition("]")[0] for line in done.stdout.splitlines()]
    assert dict(zip(COMMANDS, named, strict=True)) == COMMANDS
