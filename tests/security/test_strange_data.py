"""Images, archives and LMDBs of strangers, each read by a child with limits on memory and time."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from attack_support import ROOT, Outcome, run_limited, run_python
from PIL import Image

from strhub.data.sources.lmdb import write_lmdb

DEMO = ROOT / "demo_images" / "01.png"
TEXT = "clock"  # there


def read_in_child(code: str, path: Path, *, memory_mib: int = 500) -> Outcome:
    """Run code, which has `path`, and require that it ends by itself."""
    begin = "import sys; from pathlib import Path; path = Path(sys.argv[1])\n"
    outcome = run_python(begin + code, path, memory_mib=memory_mib)
    assert outcome.ended_well, outcome
    assert outcome.status == 0, outcome
    return outcome


def test_threads_share_one_unloaded_image(tmp_path: Path) -> None:
    with Image.open(DEMO) as image:
        image.convert("RGB").resize((800, 250)).save(tmp_path / "large.webp")
    code = """
from PIL import Image
from strhub import Recognizer
one = Image.open(path)
reader = Recognizer("strhub-tiny", threads=4)
print({(reading.text, reading.error) for reading in reader([one] * 64)})
"""
    assert read_in_child(code, tmp_path / "large.webp").stdout == f"{{('{TEXT}', None)}}\n"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["16 bits", "floats"])
def test_the_largest_images_of_many_bits(tmp_path: Path, kind: str) -> None:
    numbers = np.zeros((8000, 8000), np.uint16 if kind == "16 bits" else np.float32)
    path = tmp_path / ("large.png" if kind == "16 bits" else "large.tif")
    Image.fromarray(numbers).save(path)
    code = (
        "from strhub import Recognizer; print(Recognizer('strhub-tiny', threads=1)(path)[0].error)"
    )
    assert read_in_child(code, path, memory_mib=900).stdout == "None\n"


COUNTED = (
    "from strhub.data.sources.lmdb import LmdbWords; words = LmdbWords(path); print(len(words))"
)


@pytest.mark.parametrize("claimed", [b"999999999", b"9" * 4000, b"-1"])
def test_an_lmdb_that_claims_more_than_it_has(tmp_path: Path, claimed: bytes) -> None:
    import lmdb

    write_lmdb(tmp_path / "words", [(DEMO.read_bytes(), "word")] * 3)
    with lmdb.open(str(tmp_path / "words"), lock=False) as env, env.begin(write=True) as change:
        change.put(b"num-samples", claimed)
    told = (
        f"try:\n    {COUNTED.replace('; ', chr(10) + '    ')}\nexcept ValueError: print('refused')"
    )
    printed = read_in_child(told, tmp_path / "words", memory_mib=200).stdout
    assert printed == "refused\n" or int(printed) <= 1000


@pytest.mark.parametrize("damage", ["cut", "zeros", "ones", "noise"])
def test_a_damaged_lmdb_ends_no_process(tmp_path: Path, damage: str) -> None:
    """LMDB itself would end it with SIGBUS, or read where nothing is."""
    write_lmdb(tmp_path / "words", [(DEMO.read_bytes(), f"word{index}") for index in range(200)])
    path = tmp_path / "words" / "data.mdb"
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    rest = {
        "cut": b"",
        "zeros": bytes(len(content) - half),
        "ones": b"\xff" * (len(content) - half),
        "noise": np.random.default_rng(0).bytes(len(content) - half),
    }[damage]
    path.write_bytes(content[:half] + rest)
    code = """
from contextlib import suppress
from strhub.data.sources.lmdb import LmdbWords
found = 0
with suppress(ValueError, OSError):
    words = LmdbWords(path)
    for index in range(len(words)):
        with suppress(ValueError, OSError):
            words.read(index)
            found += 1
print(found < 200)
"""
    assert read_in_child(code, tmp_path / "words").stdout == "True\n"


@pytest.mark.slow
def test_a_small_tar_with_a_huge_header(tmp_path: Path) -> None:
    path = tmp_path / "words.tar.gz"
    member = tarfile.TarInfo("a.png")
    member.pax_headers = {"comment": "x" * (150 << 20)}
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT, compresslevel=1) as tar:
        tar.addfile(member)
    assert path.stat().st_size < 3 << 20
    code = """
from strhub.data.sources.tar import TruncatedShard, read_words
try: print([word.problem for word in read_words(str(path))])
except TruncatedShard: print("refused")
"""
    read_in_child(code, path, memory_mib=140)


def test_a_path_that_raises_ends_no_batch() -> None:
    code = """
from strhub import Recognizer
class Hostile:
    def __fspath__(self): raise RuntimeError("no")
found = Recognizer("strhub-tiny", threads=1)([Hostile(), path, Hostile()])
print([reading.error is None for reading in found], found[1].text)
"""
    assert read_in_child(code, DEMO).stdout == f"[False, True, False] {TEXT}\n"


def test_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    name = "\x1b]0;owned\x07\x1b[2J\r\nb.png"
    (tmp_path / name).write_bytes(DEMO.read_bytes())
    (tmp_path / f"bad{name}").write_bytes(b"x")
    outcome = run_limited([sys.executable, "read.py", "strhub-tiny", "--images", tmp_path])
    assert outcome.ended_well, outcome
    printed = outcome.stdout + outcome.stderr
    assert TEXT in outcome.stdout
    assert not {"\x1b", "\x07", "\r"} & {*printed}
    assert len(printed.splitlines()) <= 4
