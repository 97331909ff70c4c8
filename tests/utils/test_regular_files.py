"""Fifos, devices, sockets and links to them are refused at once; what is read has a limit."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from strhub.utils.regular_files import check_regular, open_regular, read_regular, read_regular_text


@pytest.fixture
def specials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.chdir(tmp_path)  # a socket's path may not be long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    os.mkfifo("fifo")
    os.mkdir("folder")
    for target in ("/dev/zero", "fifo", "folder"):
        os.symlink(target, f"to-{Path(target).name}")
    os.symlink("nowhere", "to-nothing")
    return {path.name: path for path in tmp_path.iterdir()} | {"null": Path("/dev/null")}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs fifos")
def test_only_regular_files_are_opened(specials: dict[str, Path]) -> None:
    assert len(specials) == 8
    for name, path in specials.items():
        for use in (
            open_regular,
            check_regular,
            lambda path: read_regular(path, max_bytes=9),
            read_regular_text,
        ):
            with pytest.raises(OSError, match=r"\[Errno") as raised:
                use(path)
            assert raised.value.filename == str(path)
            kinds = {"fifo": "a fifo", "zero": "a device", "null": "a device", "socket": "a socket"}
            expected = kinds.get(name.removeprefix("to-"))
            assert expected is None or f"not a regular file but {expected}" in str(raised.value)


def test_a_file_and_a_link_to_one(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfword\n")
    (tmp_path / "b").symlink_to("a")
    for path in (tmp_path / "a", str(tmp_path / "b")):
        assert read_regular(path, max_bytes=8) == b"\xef\xbb\xbfword\n"
        assert read_regular_text(path) == "word\n"
        with open_regular(path) as file:
            assert file.read(4) == b"\xef\xbb\xbfw"
        with pytest.raises(OSError, match="over 0 MiB"):
            read_regular(path, max_bytes=7)
    (tmp_path / "a").write_bytes(b"")
    assert read_regular(tmp_path / "a", max_bytes=0) == b""
    with pytest.raises(ValueError, match="null"):
        read_regular("a\0b", max_bytes=1)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_a_file_that_does_not_say_how_long_it_is() -> None:
    assert os.stat("/proc/self/maps").st_size == 0
    assert len(read_regular("/proc/self/maps", max_bytes=1 << 26)) > 100
    with pytest.raises(OSError, match="over 0 MiB"):
        read_regular("/proc/self/maps", max_bytes=99)
