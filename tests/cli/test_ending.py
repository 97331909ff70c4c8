"""How commands end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from strhub.cli.entry import end_with


def raising(error: BaseException) -> Callable[[], int]:
    def run() -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("run", "code", "printed"),
    [
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (lambda: "a table", 0, "a table\n"),
        (raising(ValueError("no such thing")), "words: no such thing", ""),
        (
            raising(ModuleNotFoundError("No module named 'torch'")),
            "words: No module named 'torch'",
            "",
        ),
        (raising(SystemExit(2)), 2, ""),
    ],
)
def test_status_and_message(
    capsys: pytest.CaptureFixture[str], run: Callable[[], int | str], code: int | str, printed: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        end_with("words", run)
    assert ended.value.code == code
    assert capsys.readouterr().out == printed


def test_ctrl_c(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit) as ended:
            end_with("words", raising(KeyboardInterrupt()))
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.value.code == 130
    assert capsys.readouterr().err == "\nwords: stopped\n"


def test_what_is_wrong_with_the_program_itself_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        end_with("words", raising(ZeroDivisionError()))


@pytest.mark.parametrize(
    "length", [1, 10**6]
)  # found when the text is flushed, or while it is printed
def test_nobody_reads_the_output(length: int) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    code = f"from strhub.cli.entry import end_with; end_with('words', lambda: 'x' * {length})"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=write_end, stderr=subprocess.PIPE, text=True
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_and_what_the_terminal_has_no_letters_for() -> None:
    code = "from strhub.cli.entry import end_with; end_with('words', lambda: 'caf\\udce9')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"caf\\udce9\n", b"")
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"words: [Errno 28] No space left on device\n")
