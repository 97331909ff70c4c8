"""Ctrl-C and SIGTERM from a command's first moment on, streams that are closed or full: one line,
never a traceback.
"""

import json
import os
import shlex
import signal
import sys
from pathlib import Path

import pytest
from attack_support import ROOT, run_limited, run_python

COMMANDS = {
    "read": "argparse",
    "train": "hydra",
    "bench": "hydra",
    "tune": "hydra",
    "data": "argparse",
}
SIGNAL_AT_IMPORT = """
import os, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
sys.argv = [{command!r} + ".py", *{arguments}]
from strhub.cli.entry import start
start({command!r})
"""
WORDS = ["--images", "demo_images/01.png"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command", ["read", pytest.param("bench", marks=pytest.mark.slow)])
def test_while_packages_are_imported(command: str, number: int, status: int) -> None:
    arguments = WORDS if command == "read" else []
    code = SIGNAL_AT_IMPORT.format(
        module=COMMANDS[command], number=int(number), command=command, arguments=arguments
    )
    outcome = run_python(code, environment={"PYTHONPATH": str(ROOT)})
    assert outcome.status == status, outcome
    assert len(outcome.stderr.strip().splitlines()) == 1, outcome.stderr
    assert "stopped" in outcome.stderr


WORK = """
import pathlib, sys, time
from strhub.cli.entry import terminable
from strhub.cli.interrupted import Terminated
from strhub.utils.workers import run_in_order
if __name__ == "__main__":
    try:
        with terminable():
            for _ in run_in_order(time.sleep, [0.2] * 1000, workers=2):
                pathlib.Path(sys.argv[1]).touch()
    except Terminated:
        sys.exit(143)
"""


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_workers_end_with_who_started_them(tmp_path: Path, number: int, status: int) -> None:
    """SIGTERM ends them in order; after SIGKILL they notice that nobody waits for them."""
    script = tmp_path / "work.py"
    script.write_text(WORK, "utf-8")
    begun = tmp_path / "begun"
    command = [sys.executable, script, begun]
    outcome = run_limited(command, signals=[(0.1, number)], begun=begun)
    assert (outcome.status, outcome.survivors) == (status, 0), outcome


BUSY = """
import multiprocessing, pathlib, sys, time
if multiprocessing.parent_process() is not None:  # a worker, which needs this module for its work
    pathlib.Path(sys.argv[1], str(time.time_ns())).touch()
    time.sleep(60)
def work(job): return job
"""
IMPORTING = """
from strhub.utils.workers import run_in_order
if __name__ == "__main__":
    import busy
    for _ in run_in_order(busy.work, range(9), workers=2): pass
"""
LOADING = """
import pathlib, sys, time
from torch.utils.data import DataLoader, Dataset
from strhub.data.loading.restarting import restore_default_signals
class Slow(Dataset):
    def __len__(self): return 9
    def __getitem__(self, index):
        pathlib.Path(sys.argv[1], str(index)).touch()
        time.sleep(60)
if __name__ == "__main__":
    start, count = "START", 2
    options = {"worker_init_fn": restore_default_signals, "multiprocessing_context": start}
    list(DataLoader(Slow(), num_workers=count, **options))
"""
KILLER = """
import os, pathlib, signal, subprocess, sys, time
child = subprocess.Popen([sys.executable, *sys.argv[1:]])
while len([*pathlib.Path(sys.argv[2]).iterdir()]) < 2: time.sleep(0.02)
child.kill()
"""


@pytest.mark.parametrize(
    "script",
    [
        IMPORTING,
        pytest.param(LOADING.replace("START", "fork"), marks=pytest.mark.slow),
        pytest.param(LOADING.replace("START", "spawn"), marks=pytest.mark.slow),
    ],
    ids=["importing", "data-fork", "data-spawn"],
)
def test_workers_that_do_not_listen_end_with_who_started_them(tmp_path: Path, script: str) -> None:
    """While they import what they need, or are at something that takes long."""
    (tmp_path / "busy.py").write_text(BUSY, "utf-8")
    (tmp_path / "script.py").write_text(script, "utf-8")
    (tmp_path / "begun").mkdir()
    outcome = run_python(KILLER, tmp_path / "script.py", tmp_path / "begun", memory_mib=4000)
    assert outcome.status == 0, outcome
    assert outcome.survivors == 0, outcome


@pytest.mark.parametrize(
    ("redirected", "status", "out", "err"),
    [
        (">&-", 0, "", ""),
        ("2>&-", 0, "demo_images/01.png: clock", ""),
        ("<&- >&- 2>&-", 0, "", ""),
        (">/dev/full", 1, "", "No space left on device"),
    ],
)
def test_streams_that_are_closed_or_full(redirected: str, status: int, out: str, err: str) -> None:
    command = f"exec {shlex.quote(sys.executable)} read.py --images demo_images/01.png {redirected}"
    outcome = run_limited(["/bin/sh", "-c", command])
    assert outcome.status == status, outcome
    assert outcome.stdout.startswith(out)
    assert bool(outcome.stdout) == bool(out)
    assert len(outcome.stderr.splitlines()) == bool(err)
    assert err in outcome.stderr


def test_a_file_is_not_opened_in_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    target = tmp_path / "results"
    code = (
        "import os, sys; from strhub.cli.entry import open_streams; open_streams()\n"
        f"file = open({str(target)!r}, 'w'); os.write(1, b'noise'); os.write(2, b'noise'); "
        "print('more'); file.flush()"
    )
    run_limited(["/bin/sh", "-c", 'exec "$0" -c "$1" >&- 2>&-', sys.executable, code])
    assert target.read_text() == ""


def test_what_native_code_prints_is_no_result() -> None:
    code = (
        "import os, subprocess; from strhub.cli.entry import results_alone\n"
        "print('before')\n"
        "with results_alone():\n"
        "    print('{\"text\": \"a\"}'); os.write(1, b'[W:runtime]\\n'); subprocess.run(['echo', "
        "'child'])\n"
        "print('after')"
    )
    outcome = run_python(code)
    assert (outcome.stdout, outcome.stderr) == (
        'before\n{"text": "a"}\nafter\n',
        "[W:runtime]\nchild\n",
    )
    assert json.loads(outcome.stdout.splitlines()[1]) == {"text": "a"}


def test_sigterm_that_is_ignored_stays_so() -> None:
    code = (
        "import os, signal; from strhub.cli.entry import terminable\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "with terminable(): os.kill(os.getpid(), signal.SIGTERM); print('here')"
    )
    assert run_python(code).stdout == "here\n"


def test_a_forked_child_has_the_default() -> None:
    code = (
        "import os, signal; from strhub.cli.entry import terminable\n"
        "with terminable():\n"
        "    child = os.fork()\n"
        "    if not child: os.kill(os.getpid(), signal.SIGTERM); os._exit(0)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert run_python(code).stdout == f"{-signal.SIGTERM}\n", os.getpid()
