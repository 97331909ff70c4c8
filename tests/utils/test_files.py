"""Files are written as a whole or stay as they were."""

from pathlib import Path

import pytest

from strhub.utils.files import write_whole


def test_what_was_there_stays_if_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
