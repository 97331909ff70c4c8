"""Tars and tables that say what is not so, all in one child with limits on memory and time."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from attack_support import ROOT, run_python, write_line_ends

pyarrow = pytest.importorskip("pyarrow", reason="tables are an extra: pip install strhub[bulk]")

from pyarrow import parquet  # noqa: E402

IMAGE = (ROOT / "demo_images" / "01.png").read_bytes()
KINDS = ("png", "jpg", "jpeg", "bmp", "gif", "tif", "tiff", "webp", "ppm", "pgm", "jp2", "txt",
         "json", "npy")  # fmt: skip


def tar_of_words() -> bytes:
    """Three words, with the tar's end mark."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number in range(3):
            for suffix, content in (("png", IMAGE), ("txt", f"word{number}".encode())):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def table(path: Path, image: bytes, rows: int, *, repeated: bool) -> None:
    """Write a table of so many times one image, which is stored once if it is `repeated`."""
    one = pyarrow.array([image], pyarrow.binary())
    indices = pyarrow.array([0] * rows, pyarrow.int32())
    column = pyarrow.DictionaryArray.from_arrays(indices, one) if repeated else one.take(indices)
    parquet.write_table(
        pyarrow.table({"image": column}),
        path,
        compression="zstd",
        use_dictionary=repeated,
        dictionary_pagesize_limit=1 << 30,
        store_schema=False,
    )


CHILD = """
import sys
from pathlib import Path
from strhub.bulk.inputs import PARQUET, TAR, Unit, images
from strhub.bulk.parquet import parquet_groups
from strhub.data.sources.tar import TruncatedShard, read_words
for path in map(Path, sys.argv[1:]):
    found, said = [], "whole"
    try:
        if path.suffix == ".parquet":
            for span in parquet_groups(str(path)):
                found += [1 for _ in images(Unit(PARQUET, str(path), span))]
        else:
            list(images(Unit(TAR, str(path))))
            for word in read_words(str(path)):
                found.append(word.label or word.problem)
    except (TruncatedShard, ValueError) as error:
        said = str(error)
    print(path.name, len(found), said, sep="\\t")
"""


def test_what_is_not_so_costs_nothing_and_loses_nothing(tmp_path: Path) -> None:
    whole = tar_of_words()
    (tmp_path / "no-end.tar").write_bytes(whole[: len(whole.rstrip(b"\0"))])
    packed = bytearray(gzip.compress(whole))
    packed[-8] ^= 1
    (tmp_path / "checksum.tar.gz").write_bytes(packed)
    write_line_ends(tmp_path / "header.tar.gz", [("x", tarfile.XHDTYPE, 60 << 20)])
    write_line_ends(
        tmp_path / "stem.tar.gz", [(f"a.{kind}", tarfile.REGTYPE, 20 << 20) for kind in KINDS]
    )
    table(tmp_path / "unpacked.parquet", bytes(1 << 20), 70, repeated=False)
    table(tmp_path / "repeated.parquet", bytes(64 << 20), 64, repeated=True)
    # Texts where images should be: a path of this machine, and an address that would be asked.
    texts = [
        {"bytes": str(ROOT / "demo_images" / "01.png")},
        {"bytes": "http://127.0.0.1:9/a.png"},
    ]
    parquet.write_table(pyarrow.table({"image": texts}), tmp_path / "texts.parquet")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes["repeated.parquet"] < 20_000  # of 4 GiB
    outcome = run_python(CHILD, *sorted(tmp_path.iterdir()), memory_mib=500)
    assert outcome.ended_well, outcome
    assert outcome.status == 0, outcome
    lines = [line.split("\t") for line in outcome.stdout.splitlines()]
    found = {name: (int(count), said) for name, count, said in lines}
    assert found["no-end.tar"][0] == 3
    assert found["no-end.tar"][1] != "whole"
    assert found["checksum.tar.gz"][0] == 3
    assert "CRC check failed" in found["checksum.tar.gz"][1]
    assert found["header.tar.gz"][0] <= 1
    assert found["stem.tar.gz"][0] == 1
    assert found["texts.parquet"][0] == 0
    assert "none is known to hold images" in found["texts.parquet"][1]
    assert "would unpack from" in found["unpacked.parquet"][1]
    assert (
        found["repeated.parquet"] == (64, "whole") or "would unpack" in found["repeated.parquet"][1]
    )
