"""The container's files say what they promise; Ray Serve runs the same application."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from serving_support import WORD, free_port

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions and their arguments, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    pairs = (line.partition(" ") for line in lines)
    return [(name, " ".join(rest.split())) for name, _, rest in pairs]


def test_the_image_is_slim_without_root_and_looks_after_its_health() -> None:
    found = instructions()
    last = found[max(n for n, (name, _) in enumerate(found) if name == "FROM") :]
    stages = [rest for name, rest in found if name == "FROM"]
    assert all(re.fullmatch(r"python:3\.\d+-slim( AS \w+)?", rest) for rest in stages)
    users = [rest for name, rest in last if name == "USER"]
    assert len(users) == 1
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", users[0]), "a number, so that others can tell"
    order = [name for name, _ in last]
    assert order.index("USER") < order.index("ENTRYPOINT")
    assert order.index("USER") > order.index("RUN"), "nothing is installed by that user"
    assert "STOPSIGNAL SIGTERM" in {f"{name} {rest}" for name, rest in last}
    (health,) = [rest for name, rest in last if name == "HEALTHCHECK"]
    assert "/readyz" in health
    command = json.loads(health[health.index("CMD") + 3 :])
    compile(command[2], "health", "exec")
    (entry,) = [rest for name, rest in last if name == "ENTRYPOINT"]
    assert json.loads(entry) == ["strhub-serve", "--host", "0.0.0.0"]
    pips = [rest for name, rest in found if name == "RUN" and "pip install" in rest]
    assert pips
    assert all("--no-cache-dir" in rest for rest in pips)
    assert not any(name == "ADD" or "latest" in rest or "sudo" in rest for name, rest in found)
    assert not any("KEY" in rest or "SECRET" in rest for name, rest in found if name == "ENV")


def test_the_image_gets_what_it_is_built_from_and_nothing_else() -> None:
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {
        word
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for word in shlex.split(rest)[:-1]
    }
    assert copied == kept
    assert all((ROOT / name).exists() for name in kept)
    assert any(fnmatch.fnmatch("strhub/a/__pycache__", rule) for rule in rules)
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    named = re.findall(r"^(?:readme|license-files) = (.*)$", project, re.MULTILINE)
    assert set(re.findall(r'"(.*?)"', " ".join(named))) <= kept


@pytest.mark.slow
def test_hadolint_finds_no_fault() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("there is no hadolint")
    subprocess.run(["hadolint", str(ROOT / "Dockerfile")], check=True)


RAY = """
import sys
import ray
from ray import serve
from strhub.serving.deployment import app
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"port": PORT})
serve.run(app, name="strhub", route_prefix="/")
print("ready", flush=True)
sys.stdin.readline()
serve.shutdown()
"""


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_ray_serve_runs_the_same_application() -> None:
    pytest.importorskip("ray.serve", reason='pip install "ray[serve]"', exc_type=ImportError)
    environment = {
        **os.environ,
        "STRHUB_SERVE": json.dumps({"models": ["strhub-tiny"], "threads": 1}),
        "STRHUB_API_KEY": "secret",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
    }
    port = free_port()
    code = RAY.replace("PORT", str(port))
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stdin is not None
    try:
        line = next((one for one in running.stdout if one.startswith("ready")), "")
        assert line, "Ray Serve did not start"
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/read",
            WORD.read_bytes(),
            {"Content-Type": "image/png", "X-API-Key": "secret"},
        )
        with urllib.request.urlopen(request, timeout=240) as answer:
            assert json.loads(answer.read())["results"][0]["text"] == "clock"
    finally:
        running.communicate("\n", timeout=240)
