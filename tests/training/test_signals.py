"""Signals before training has begun: one line, a status that says so, and earlier states as they
were.
"""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small_runs import RENDERED_RUN, SMALL, Compose

from strhub.training.run import train
from strhub.training.signals import StoppedEarly, stopping_early

QUICK = (
    *RENDERED_RUN,
    "data.render.words=16",
    "data.render.validation=8",
    "data.render.style=simple",
    "callbacks.best=null",
    "trainer.max_epochs=1",
    "trainer.limit_val_batches=1",
    "ckpt_path=last",
)
SIGNAL = "+callbacks.signal._target_=tests_support.SignalAt"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*.ckpt")}


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("made", signal.SIGTERM),
        ("setup", signal.SIGUSR1),
        ("on_sanity_check_start", signal.SIGINT),
        ("on_fit_start", signal.SIGTERM),
        ("on_train_start", signal.SIGUSR1),
    ],
)
def test_before_the_first_step(
    compose_main: Compose, tmp_path: Path, where: str, number: int
) -> None:
    run = [
        *QUICK,
        "trainer.devices=1",
        SIGNAL,
        f"+callbacks.signal.where={where}",
        f"+callbacks.signal.number={number}",
    ]
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)}
    with (
        pytest.raises(StoppedEarly, match=f"stopped by {signal.Signals(number).name}"),
        stopping_early(),
    ):
        train(compose_main(*run))
    assert {one: signal.getsignal(one) for one in before} == before
    assert files(tmp_path) == {}


def test_a_child_that_was_forked_does_what_it_would_have_done() -> None:
    with stopping_early():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_other_threads_leave_the_signals_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    found = []

    def look() -> None:
        with stopping_early():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


def command(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "train.py", *SMALL, *QUICK, f"hydra.run.dir={folder}", *options],
        cwd=Path(__file__).parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=250,
        env=os.environ,
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("devices", [1, 2])
def test_the_command_on_one_device_and_on_two(tmp_path: Path, devices: int) -> None:
    run = [f"trainer.devices={devices}", *(["trainer.strategy=ddp"] if devices == 2 else [])]
    done = command(tmp_path, *run)
    assert done.returncode == 0
    assert done.stdout.count("\nval_loss: ") == 1, "the devices agree, and one of them says it"
    before = files(tmp_path)
    assert "last.ckpt" in before
    for where, number, status in (
        ("made", 15, 75),
        ("on_sanity_check_start", 10, 75),
        ("setup", 2, 130),
    ):
        at = [SIGNAL, f"+callbacks.signal.where={where}", f"+callbacks.signal.number={number}"]
        done = command(tmp_path, *run, "trainer.max_epochs=2", *at)
        assert done.returncode == status, done.stderr
        assert (
            f"train.py: stopped by {signal.Signals(number).name}: nothing more was saved"
            in done.stderr
        )
        assert "Traceback" not in done.stderr
        assert files(tmp_path) == before
    stored = "++callbacks.signal=null"  # what the last start was given is the run's own
    assert command(tmp_path, *run, "trainer.max_epochs=2", stored).returncode == 0, "and it goes on"
    assert files(tmp_path) != before


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_while_packages_are_being_imported(tmp_path: Path, number: int) -> None:
    code = (
        "import os, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *rest):\n"
        f"        if name == 'pytorch_lightning': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"sys.argv = ['train.py', 'dataset=rendered', 'hydra.run.dir={tmp_path}']\n"
        "from strhub.cli.train import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=250)
    assert done.returncode == (130 if number == signal.SIGINT else 75)
    assert done.stderr.strip() == f"train.py: {StoppedEarly(number)}"
