"""MATLAB files that strangers made: what reads them may end, or take gigabytes, in another process
alone.
"""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import pytest

from strhub.data.published import matlab_file

HEAD = b"MATLAB 5.0 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", 0x100) + b"IM"
DOUBLES, CELLS = 6, 1  # classes of arrays


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def array_head(kind: int, count: int, name: bytes = b"") -> bytes:
    flags, sizes = struct.pack("<II", kind, 0), struct.pack("<2i", 1, count)
    return element(6, flags) + element(5, sizes) + element(1, name)


def nested(depth: int) -> bytes:
    """Cells of cells of cells."""
    inner = element(14, array_head(DOUBLES, 1) + element(9, bytes(8)))
    heads, size = [], len(inner)
    for level in range(depth):
        head = array_head(CELLS, 1, b"x" if level == depth - 1 else b"")
        size += len(head)
        heads.append(struct.pack("<II", 14, size) + head)
        size += 8
    return HEAD + b"".join(reversed(heads)) + inner


def packed(size: int) -> bytes:
    """An array of so many bytes, in a thousandth of them."""
    whole = element(14, array_head(DOUBLES, size // 8, b"x") + element(9, bytes(size)))
    return HEAD + element(15, zlib.compress(whole, 9))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nested(100_000), "made to harm: the process .* ended with status -"),
        (packed(100 << 20), "takes over 60 seconds or 10. MiB"),
    ],
    ids=["nested", "packed"],
)
def test_what_harms_is_refused(
    tmp_path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy", reason="MATLAB files are an extra: pip install strhub[convert]")
    monkeypatch.setattr(matlab_file, "MEMORY", 100 << 20)
    path = tmp_path / "gt.mat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"gt\.mat is refused: .*{message}"):
        matlab_file.load_matlab(path)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", "made to harm"),
        ("raise ImportError", "made to harm"),
        ("import os; os._exit(4)", "takes over 60 seconds or 1024 MiB"),
        ("import os; os._exit(3)", None),
    ],
)
def test_what_became_of_the_other_process_decides(
    tmp_path: Path, code: str, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether scipy is there or not."""
    module = type(sys)("scipy.io")
    monkeypatch.setattr(module, "loadmat", lambda path: {"a": 1}, raising=False)
    monkeypatch.setitem(sys.modules, "scipy", type(sys)("scipy"))
    monkeypatch.setitem(sys.modules, "scipy.io", module)
    monkeypatch.setattr(matlab_file, "_CODE", code)
    path = tmp_path / "gt.mat"
    path.write_bytes(b"")
    if message is None:
        assert matlab_file.load_matlab(path) == {"a": 1}
        monkeypatch.setattr(sys, "executable", "/nowhere/python")
        message = "none can be started"
    with pytest.raises(ValueError, match=message):
        matlab_file.load_matlab(path)
