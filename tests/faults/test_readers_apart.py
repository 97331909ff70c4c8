"""Readers in forked and other processes, without memory and on a full disk, in one child with
limits, whose start is most of the time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from attack_support import ROOT, run_python
from PIL import Image

from strhub.data.sources.lmdb import write_lmdb

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no such limits")
DEMO = ROOT / "demo_images" / "01.png"

CHILD = """
import os, pickle, resource, signal, sys
from pathlib import Path
from strhub import Recognizer
from strhub.cli.data import run
demo, large, folder = sys.argv[1:]
words, page = os.path.join(folder, "words"), os.path.join(folder, "page.html")

def told(*values):
    print("told", *values, sep=chr(9), flush=True)

def texts(reader):
    return [reading.text for reading in reader([demo] * 9)]

def full_disk():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
    run(["inspect", words, "--html", page, "--workers", "1"])

reader = Recognizer("strhub-tiny", threads=4)
expected = texts(reader)
child = os.fork()
if child == 0:
    os._exit(texts(reader) != expected)
told(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
copied = pickle.loads(pickle.dumps(reader.engine))
told(copied.decode([]) == [] and type(copied).__name__)
child = os.fork()
if child == 0:
    try: full_disk()
    except BaseException as error: os._exit("File too large" not in str(error))
    os._exit(2)
told(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sorted(os.listdir(folder)))
used = 1024 * int(next(line.split()[1] for line in open("/proc/self/status") if "VmData" in line))
resource.setrlimit(resource.RLIMIT_DATA, (used + (48 << 20),) * 2)
found = reader([large, demo])
told(found[0].error, found[1].text == expected[0])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
def test_forks_copies_no_room_and_no_memory(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "words", [(DEMO.read_bytes(), "word")] * 3)
    large = tmp_path.with_suffix(".png")
    Image.new("RGB", (7000, 7000), "red").save(large)
    outcome = run_python(CHILD, DEMO, large, tmp_path, memory_mib=900)
    large.unlink()
    assert outcome.ended_well, outcome
    lines = [line.split("\t")[1:] for line in outcome.stdout.splitlines() if line[:4] == "told"]
    forked, copied, full, memory = lines
    assert (forked, copied) == (["0"], ["OnnxEngine"])
    assert full == ["0", "['words']"]
    assert "memory" in memory[0]
    assert memory[1] == "True"
