"""Files are written as a whole or stay as they were."""

import signal
import sys
from pathlib import Path

import pytest
from attack_support import run_python

from strhub.utils.files import partial_of, replacing, replacing_folder, write_whole


def test_what_was_there_stays_if_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "page.html", "grün")
    assert (tmp_path / "page.html").read_bytes() == "grün".encode()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for name in ("page.html", "new.html"):
        with pytest.raises(OSError, match="No space left"):
            write_whole(tmp_path / name, b"half a page")
    assert [item.name for item in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text("utf-8") == "grün"


def test_links_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"
    write_whole("/dev/null", "gone")
    assert not Path("/dev/null").is_file()


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_whole(tmp_path / "absent" / "x.txt", "x")
    assert caught.value.filename == str(tmp_path / "absent" / "x.txt")


CHILD = """
import os, signal, sys
import signal
import sys
from pathlib import Path
from strhub.utils.files import replacing
with replacing(sys.argv[1]) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such signal")
def test_what_a_killed_writer_has_left_goes_and_what_another_one_writes_stays(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file.txt"
    write_whole(path, "before")
    killed = run_python(CHILD, path)
    assert killed.status == -signal.SIGKILL, killed
    (left,) = {*tmp_path.iterdir()} - {path}
    assert path.read_text() == "before"
    with replacing(path) as partial:
        assert not left.exists()
        partial.write_text("first")
        write_whole(path, "second")  # by another thread, or process
        assert partial.exists()
    assert path.read_text() == "first"
    assert [item.name for item in tmp_path.iterdir()] == ["file.txt"]


def test_names_of_others_are_left_alone(tmp_path: Path) -> None:
    machine = partial_of(tmp_path / "file.txt").name.split(".")[3].partition("-")[0]
    dead = 2**22 + 1  # beyond what a process can be numbered
    foreign = [
        f".file.txt.00000000-{dead}-00000000.partial",
        f".other.txt.{machine}-{dead}-00000000.partial",
    ]
    for name in [*foreign, f".file.txt.{machine}-{dead}-00000000.partial"]:
        (tmp_path / name).mkdir()
    write_whole(tmp_path / "file.txt", "")
    assert {item.name for item in tmp_path.iterdir()} == {"file.txt", *foreign}


def test_the_only_writer_writes_over_what_a_kill_on_any_machine_left(tmp_path: Path) -> None:
    (tmp_path / ".state.partial").write_text("half")
    with replacing(tmp_path / "state", only_writer=True) as partial:
        assert partial.name == ".state.partial"
        partial.write_text("whole")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"state": "whole"}


def test_a_folder_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing_folder(tmp_path / "words") as partial:
        (partial / "absent" / "data").touch()
    assert not [*tmp_path.iterdir()]
    with replacing_folder(tmp_path / "words") as partial:
        (partial / "data").touch()
        assert not (tmp_path / "words").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["words", "data"]
