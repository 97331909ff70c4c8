"""Between packages there are types: what a network, an engine, a model or a system offers is
written in its class, with a default, and neither asked for by name at run time nor called `Any`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import strhub

PACKAGE = Path(strhub.__file__).parent
CHECKED = (
    "benchmark",
    "bulk",
    "checkpoint",
    "cli",
    "data",
    "evaluation",
    "explain",
    "export",
    "inference",
    "spotting",
    "training",
)
SEAMS = {
    "dataset", "engine", "loader", "model", "network", "pl_module", "reader", "recognizer",
    "sources", "system", "tokenizer", "transform",
}  # fmt: skip
# what is saved is a model of ours, or Lightning's module of one in training
ALLOWED = {("checkpoint/zoo.py", "model")}


def _last_name(node: ast.expr) -> str:
    """Return the last name of a dotted one: `network` of `model.network`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def faults_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of what is asked for by name or typed `Any`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last_name(node.func) in ("getattr", "hasattr"):
            if node.args and isinstance(node.args[1], ast.Constant):
                yield node.lineno, _last_name(node.args[0])
        elif isinstance(node, ast.arg) and node.annotation is not None:
            if _last_name(node.annotation) == "Any":
                yield node.lineno, node.arg
        elif isinstance(node, ast.AnnAssign) and _last_name(node.annotation) == "Any":
            yield node.lineno, _last_name(node.target)


@pytest.mark.parametrize("package", CHECKED)
def test_seams_have_types(package: str) -> None:
    found = []
    for path in (PACKAGE / package).rglob("*.py"):
        name = str(path.relative_to(PACKAGE))
        for line, what in faults_in(ast.parse(path.read_text("utf-8"))):
            if what in SEAMS and (name, what) not in ALLOWED:
                found.append(f"{name}:{line}: {what}")
    assert not found


def test_what_is_no_type_is_found() -> None:
    code = (
        "def f(model: Any, n: Any):\n    getattr(f.engine, 'a', 0)\n    hasattr(network, 'b')\n"
        "    getattr(network, name)\n    system: Any = 1\n    x: Any = 2\n"
    )
    found = {what for _, what in faults_in(ast.parse(code))} & SEAMS
    assert found == {"model", "engine", "network", "system"}
