"""No library reports home: reading, evaluating and training open no connection and write only where
they are told.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from attack_support import ROOT, Outcome, run_limited
from small_runs import RENDERED_RUN, SMALL

from strhub.utils.telemetry import SWITCHES, import_onnxruntime, switch_off_telemetry

SENDERS = {
    "onnxruntime",
    "ray",
    "open_clip",
    "huggingface_hub",
    "timm",
    "mlflow",
    "wandb",
    "gradio",
}
"""Packages that send statistics unless told not to."""
REFUSE = """
import runpy, sys
def refuse(event, arguments):
    far = event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple)
    if far or event == "socket.getaddrinfo":
        print("NETWORK", event, arguments, file=sys.stderr, flush=True)
        raise OSError("there is no network")
sys.addaudithook(refuse)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
STRACE = shutil.which("strace")
CALLS = "socket,connect,?open,openat,?creat,?mkdir,mkdirat,?rename,?renameat,renameat2"
WRITES = re.compile(r'(?:open|openat|creat|mkdir|mkdirat|rename\w*)\((?:AT_FDCWD, )?"([^"]+)"(.*)')


def imports_sender(path: Path) -> bool:
    names: set[str] = set()
    text = path.read_text("utf-8")
    if not any(name in text for name in SENDERS):
        return False
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names |= {
                ast.unparse(argument).strip("'\"").partition(".")[0] for argument in node.args
            }
    return bool(names & SENDERS)


def test_whoever_imports_what_sends_statistics_switches_them_off() -> None:
    files = [
        path
        for folder in ("strhub", "tools", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    ]
    importing = [path for path in files if imports_sender(path)]
    assert len(importing) >= 4
    quiet = ("telemetry", "ray_session")
    assert [
        path for path in importing if not any(word in path.read_text("utf-8") for word in quiet)
    ] == []
    assert [
        path
        for path in files
        if re.search(r"^\s*import onnxruntime", path.read_text("utf-8"), re.M)
        and path.stem != "telemetry"
    ] == [], "strhub.utils.telemetry.import_onnxruntime"


def test_a_variable_that_is_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    switch_off_telemetry()
    assert {name: os.environ[name] for name in SWITCHES} == {
        **SWITCHES,
        "RAY_USAGE_STATS_ENABLED": "1",
    }


@pytest.mark.parametrize(("wish", "disabled"), [(None, 1), ("1", 1), ("0", 0)])
def test_an_onnxruntime_that_was_imported_before_is_told(
    monkeypatch: pytest.MonkeyPatch, wish: str | None, disabled: int
) -> None:
    calls: list[int] = []
    monkeypatch.setitem(
        sys.modules,
        "onnxruntime",
        SimpleNamespace(disable_telemetry_events=lambda: calls.append(1)),
    )
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    if wish is not None:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", wish)
    import_onnxruntime()
    assert len(calls) == disabled


def run_watched(folder: Path, command: Sequence[str]) -> Outcome:
    """Run a script that must open no connection and write nothing outside of `folder`, nor in its
    home there.
    """
    home, temporary, record = folder / "home", folder / "tmp", folder / "calls.txt"
    for needed in (home, temporary):
        needed.mkdir(exist_ok=True)
    watched: list[str] = []
    if _strace_works():
        watched = [
            str(STRACE),
            "-f",
            "-qq",
            "--seccomp-bpf",
            "-e",
            f"trace={CALLS}",
            "-o",
            str(record),
        ]
    environment = {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": None,
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": str(temporary / "matplotlib"),
        **dict.fromkeys(SWITCHES),
    }
    outcome = run_limited(
        [*watched, sys.executable, "-c", REFUSE, *command], environment=environment
    )
    assert "NETWORK" not in outcome.stderr, outcome.stderr
    assert list(home.iterdir()) == [], "nothing is written to the home folder"
    calls = record.read_text("utf-8", "replace").splitlines() if watched else []
    assert [line for line in calls if "AF_INET" in line] == []
    assert {
        path for line in calls if (path := _written(line)) and not path.startswith(str(folder))
    } == set()
    return outcome


def _strace_works() -> bool:
    attempt = [str(STRACE), "-f", "--seccomp-bpf", "-o", os.devnull, "true"]
    return STRACE is not None and subprocess.run(attempt, check=False).returncode == 0


def _written(call: str) -> str | None:
    """The path that a system call makes or writes to; not devices, nor the memory that processes
    share.
    """
    found = WRITES.search(call)
    if not found or " = -1 " in call:
        return None
    path, rest = found.groups()
    opened = "open" in call.partition("(")[0]
    if opened and not re.search("O_WRONLY|O_RDWR|O_CREAT", rest):
        return None
    return None if path.startswith(("/dev/", "/proc/")) else path


def test_reading(tmp_path: Path) -> None:
    outcome = run_watched(tmp_path, ["read.py", "--images", "demo_images/01.png"])
    assert outcome.ended_well, outcome
    assert "clock" in outcome.stdout


@pytest.mark.slow
def test_training_evaluating_and_exporting(tmp_path: Path, word_tree: Path) -> None:
    pytest.importorskip("onnxscript", reason="exporting is an extra: pip install strhub[export]")
    run, words = tmp_path / "run", tmp_path / "words.onnx"
    rendered = [
        "data.render.words=16",
        "data.render.validation=8",
        "trainer.max_epochs=1",
        "logger=tensorboard",
    ]
    last = str(run / "checkpoints" / "last.ckpt")
    for command in (
        ["train.py", f"hydra.run.dir={run}", *RENDERED_RUN, *SMALL, *rendered],
        ["test.py", last, "--data_root", str(word_tree), "--num_workers", "0"],
        ["export.py", "strhub-tiny", str(words)],
        ["read.py", str(words), "--images", "demo_images/01.png"],
        ["read.py", "strhub-tiny", "refine_iters:int=1", "--images", "demo_images/01.png"],
    ):
        outcome = run_watched(tmp_path, command)
        assert outcome.ended_well, (command, outcome)
