"""SECURITY.md names tests for each promise: they are there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_each_promise_has_tests() -> None:
    text = (TESTS.parent / "SECURITY.md").read_text("utf-8")
    promised, _, kept = text.partition("## How it is kept")
    rows = re.findall(r"^\| ([a-z ]+) \| (`test_.*`) \|$", kept, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^- \*\*", promised.partition("## What is not")[0], re.M))
    code = "".join(path.read_text("utf-8") for path in sorted(TESTS.rglob("test_*.py")))
    for promise, tests in rows:
        for name in re.findall(r"`(\w+)`", tests):
            assert f"def {name}(" in code, (promise, name)
