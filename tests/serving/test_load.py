"""The service under load, killed and started again, and with 10,000 connections."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from serving_support import ask, free_port, wait_until_ready

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.mark.timeout(280)
def test_nothing_is_lost_or_swapped_though_the_service_is_killed(tmp_path: Path) -> None:
    command = [
        sys.executable, "benchmarks/serving.py", "--model", "strhub-tiny", "--clients", "8",
        "--count", "12", "--seconds", "8", "--rounds", "1", "--kill",
        "--json", str(tmp_path / "numbers.json"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=270)
    assert done.returncode == 0, done.stderr[-2000:]
    numbers = json.loads((tmp_path / "numbers.json").read_text("utf-8"))
    assert numbers["wrong_answers"] == 0
    assert numbers["tried_again"] > 0
    assert numbers["statuses"]["200"] > 8
    assert set(numbers["statuses"]) <= {"200", "429", "503"}
    assert numbers["exit_status"] == 0


def memory(process: subprocess.Popen[str]) -> float:
    """Return the MiB that a process holds."""
    pages = Path(f"/proc/{process.pid}/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize() / 2**20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is told by Linux")
def test_ten_thousand_connections_leave_it_alive() -> None:
    port = free_port()
    command = [sys.executable, "-m", "strhub", "serve", "strhub-tiny", "--port", str(port)]
    command += ["--max_connections", "200", "--header_timeout", "2"]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True)
    try:
        wait_until_ready(port, running)
        before = memory(running)
        count = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 300)
        opened = []
        for number in range(count):
            one = socket.create_connection(("127.0.0.1", port), timeout=240)
            opened.append(one)
            if number % 3:  # a part of the headers, or nothing
                with suppress(OSError):  # it had to make room already
                    one.sendall(b"POST /read HTTP/1.1\r\nX: ")
            if number % 2_000 == 1_999:
                assert ask(port)[0] == 200
        assert ask(port)[0] == 200
        assert memory(running) < before + 150
        for one in opened:
            one.close()
        assert running.poll() is None
    finally:
        running.terminate()
        assert running.wait(30) == 0
