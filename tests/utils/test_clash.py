"""Two projects of one name in one environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import strhub
from strhub.errors import MixedInstall
from strhub.utils.clash import check_alone

PACKAGE = Path(strhub.__file__).parent


def installed(folder: Path, name: str, version: str, files: list[str]) -> None:
    """What pip leaves of a package."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("")


def test_alone(tmp_path: Path) -> None:
    check_alone()
    installed(tmp_path, "strhub", strhub.__version__, ["strhub/models/network.py"])
    installed(tmp_path, "strhubble", "9", [])
    check_alone(tmp_path / "strhub")


def test_files_of_the_other_are_named_with_who_owns_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "strhub", strhub.__version__, ["strhub/models/network.py"])
    installed(tmp_path, "parseq_fork", "1.2", ["strhub/models/modules.py"])
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MixedInstall, match=r"modules.py is of the other one.*parseq_fork 1.2, str"):
        check_alone(tmp_path / "strhub")


def test_metadata_of_the_other_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    installed(tmp_path, "strhub", strhub.__version__, ["strhub/models/network.py"])
    installed(tmp_path, "strhub", "1.2.0", [])
    with pytest.raises(MixedInstall, match=r"strhub-1.2.0.dist-info is of the other one"):
        check_alone(tmp_path / "strhub")


@pytest.mark.parametrize("file", ["models/modules.py", "__init__.py"])
def test_commands_and_names_say_so(tmp_path: Path, file: str) -> None:
    """Of a copy in which the other's file lies, or that the other's `__init__` has replaced."""
    kept = shutil.ignore_patterns("weights", "__pycache__", "fonts", "training", "synth")
    shutil.copytree(PACKAGE, tmp_path / "strhub", ignore=kept)
    (tmp_path / "strhub" / file).write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def end_of(*code: str) -> str:
        done = subprocess.run(
            [sys.executable, *code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 1
        return done.stderr.strip().splitlines()[-1]

    said = end_of("-c", "import sys; sys.argv = ['x']; from strhub.cli.entry import read; read()")
    assert said.startswith("strhub-read: two projects that call their package strhub")
    assert str(tmp_path / "strhub" / file) in said
    if file != "__init__.py":
        assert "MixedInstall: two projects" in end_of("-c", "import strhub; strhub.Recognizer")
