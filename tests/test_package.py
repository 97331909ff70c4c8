"""What people install: one version, the files of the wheel, extras that bring what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import strhub

ROOT = Path(__file__).parents[1]
NEWEST = 13  # minor version of the newest Python that is promised


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    tomllib = pytest.importorskip("tomllib")  # of Python 3.11
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    return found


def test_the_version_has_one_place(project: dict[str, Any]) -> None:
    assert "version" not in project["project"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "strhub.__version__"}
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text("utf-8"), re.M)
    changed = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert cited is not None
    assert changed is not None
    assert cited[1] == changed[1] == strhub.__version__


def test_the_pythons_are_said(project: dict[str, Any]) -> None:
    lowest = int(project["project"]["requires-python"].removeprefix(">=3."))
    said = {
        int(line.rpartition(".")[2])
        for line in project["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", line)
    }
    assert said == set(range(lowest, NEWEST + 1))
    assert f"Python 3.{lowest} to 3.{NEWEST}" in (ROOT / "README.md").read_text("utf-8")


def test_what_is_started_by_name_is_there(project: dict[str, Any]) -> None:
    for target in project["project"]["scripts"].values():
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name))


def test_extras_without_torch(project: dict[str, Any]) -> None:
    extras = project["project"]["optional-dependencies"]
    for name in ("data", "convert", "spot", "onnx"):
        assert not [line for line in extras[name] if re.match(r"torch|strhub\[(?!data)", line)]


def test_every_extra_is_told_in_the_documentation(project: dict[str, Any]) -> None:
    text = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    extras = set(project["project"]["optional-dependencies"]) - {"onnx"}
    assert not {name for name in extras if f"`{name}`" not in text and f"[{name}" not in text}


ONLY_DATA = """
import sys
allowed = {"numpy", "PIL", "onnxruntime", "lmdb", "tqdm", "yaml", "rapidfuzz", "jinja2"}
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "safetensors", "hydra", "omegaconf", "pytorch_lightning", "scipy",
                    "pyarrow", "matplotlib", "onnx", "ray", "pandas", "torchvision"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refused())
from strhub.cli import data
for line in sys.stdin.read().splitlines():
    print("--", line)
    data.run(line.split())
"""


@pytest.mark.slow
def test_data_sets_need_no_torch(tmp_path: Path) -> None:
    """All commands of strhub-data, in an interpreter that has but the extra `data`."""
    images = tmp_path / "images"
    images.mkdir()
    for path in (ROOT / "demo_images").glob("*.png"):
        shutil.copy(path, images)
    names = sorted(path.name for path in images.iterdir())
    (images / "gt.txt").write_text("".join(f"{name} word\n" for name in names))
    (tmp_path / "c.tsv").write_text("source\timage\tlabel\tcorrection\taction\n")
    commands = [
        "render words --count 40",
        "make images/gt.txt made",
        "inspect words --json i.json --html i.html",
        "filter words filtered --min_side 4 --charset 36",
        "merge merged words filtered",
        "split words first second --fraction 0.5",
        "shard words shards/%06d.tar",
        "inspect shards",
        "charset words",
        "sheet sheet.png --from words --count 4",
        "suspects words suspects.html",
        "correct words c.tsv corrected",
    ]
    done = subprocess.run(
        [sys.executable, "-c", ONLY_DATA],
        input="\n".join(commands),
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("sheet.png", "suspects.html", "i.html", "corrected", "merged", "second"):
        assert (tmp_path / name).exists(), name


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    pytest.importorskip("build", reason="of the extra dev")
    source = tmp_path / "source"
    left_out = shutil.ignore_patterns("__pycache__", "*.partial")
    shutil.copytree(ROOT / "strhub", source / "strhub", ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"strhub-{strhub.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < 16 << 20
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if not name.endswith("/")}
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        reported = file.read(metadata).decode()
    assert f"\nVersion: {strhub.__version__}\n" in reported
    assert "Description-Content-Type: text/markdown" in reported
    own = {name for name in names if ".dist-info/" not in name}
    there = {path.relative_to(source).as_posix() for path in (source / "strhub").rglob("*.py")}
    assert there <= own
    kept = {path for path in (source / "strhub").rglob("*") if path.is_file()}
    missing = {path.relative_to(source).as_posix() for path in kept} - own
    assert not missing, "files of the package that pyproject.toml's list leaves out"
    assert own <= {path.relative_to(source).as_posix() for path in kept}
