"""A search's folder from a stranger is not resumed: Ray would unpickle what lies there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from strhub.errors import ConfigError
from strhub.training.own_searches import check_own, mark_own


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "strhub" / "key"


def search(folder: Path) -> Path:
    folder.mkdir()
    mark_own(folder)
    return folder


def test_own_searches_are_resumed_where_they_were_started(tmp_path: Path, home: Path) -> None:
    first, second = search(tmp_path / "first"), search(tmp_path / "second")
    check_own(first)
    check_own(second)
    assert home.stat().st_mode & 0o777 == 0o600
    first.rename(tmp_path / "moved")
    check_own(tmp_path / "moved")


def test_others_are_not(tmp_path: Path, home: Path) -> None:
    own = search(tmp_path / "own")
    shutil.copytree(own, tmp_path / "copied")  # such as one that somebody has sent back
    (tmp_path / "unmarked").mkdir()
    for name in ("copied", "unmarked", "absent"):
        with pytest.raises(ConfigError, match=r"tune\.trust=true"):
            check_own(tmp_path / name)
    home.write_bytes(b"k" * 32)  # another user's key
    with pytest.raises(ConfigError, match=r"tune\.resume_dir"):
        check_own(own)
    home.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"tune\.resume_dir"):
        check_own(own)


def test_where_no_key_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    own = search(tmp_path / "own")
    assert "cannot be resumed without tune.trust=true" in caplog.text
    with pytest.raises(ConfigError, match=r"tune\.trust=true"):
        check_own(own)
