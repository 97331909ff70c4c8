"""The Python in the documents and the notebooks runs."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import DOCUMENTS, ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ELSEWHERE = {"extending.md": "tests/test_extending.py follows this page to the letter"}
SHORTENED = {
    "doctr": "needs docTR, which fetches weights",
    'engine="ray"': "starts a cluster",
    "ppocrv6-small": "needs the package that holds the weights",
    "from rapidocr": "needs the package rapidocr; tests/export/test_rapidocr.py runs it",
    "from onnxtr": "needs OnnxTR; tests/spotting/test_plugs.py runs it",
    "from docling": "needs docling; tests/spotting/test_docling.py runs it",
    "owner/name": "needs a repository on Hugging Face's hub",
    "outputs/german": "needs the ten minutes of training before it",
}
"""What marks a block that is only compiled, and why."""
OVERRIDES = {
    "trainer.max_steps=100": "trainer.max_steps=2",
    "trainer.val_check_interval=50": "trainer.val_check_interval=1",
}
"""What makes long blocks short."""
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def blocks(path: Path) -> list[str]:
    """Return a document's blocks, or a notebook's cells, of Python."""
    text = path.read_text("utf-8")
    if path.suffix != ".ipynb":
        return BLOCK.findall(text)
    return [
        "".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"
    ]


WITH_PYTHON = [
    path for path in (*DOCUMENTS, *NOTEBOOKS) if path.name not in ELSEWHERE and blocks(path)
]


@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: path.name)
def test_it_compiles(path: Path) -> None:
    for block in blocks(path):
        compile(block, path.name, "exec")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_small_and_were_run(path: Path) -> None:
    assert path.stat().st_size < 400_000
    cells = [
        cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"
    ]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert not [one for cell in cells for one in cell["outputs"] if one["output_type"] == "error"]


@pytest.mark.slow
@pytest.mark.parametrize("path", WITH_PYTHON, ids=lambda path: path.name)
def test_it_runs(path: Path, tmp_path: Path) -> None:
    run = [block for block in blocks(path) if not any(mark in block for mark in SHORTENED)]
    for long, short in OVERRIDES.items():
        run = [block.replace(long, short) for block in run]
    (tmp_path / "blocks.json").write_text(json.dumps(run), "utf-8")
    (tmp_path / "folder").mkdir()
    words = [
        sys.executable,
        "tests/docs/run_python.py",
        str(tmp_path / "folder"),
        str(tmp_path / "blocks.json"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
