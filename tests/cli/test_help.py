"""Names, help and versions of the commands, without any extra installed."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import strhub
from strhub.__main__ import COMMANDS, listing
from strhub.cli.data import COMMANDS as DATA_COMMANDS
from strhub.cli.model import COMMANDS as MODEL_COMMANDS
from strhub.cli.program import examples, program
from strhub.utils.install import install_command

ROOT = Path(__file__).parent.parent.parent
# What `pip install strhub` alone does not bring.
EXTRAS = (
    "torch", "torchvision", "hydra", "omegaconf", "pytorch_lightning", "lightning_fabric", "yaml",
        "safetensors",
    "lmdb", "rapidfuzz", "tqdm", "tensorboard", "ray", "optuna", "pyarrow", "onnx", "onnxscript",
    "matplotlib", "scipy", "open_clip",
)  # fmt: skip

SHOW = """
import contextlib, importlib, io, json, sys
commands, extras = json.loads(sys.argv[1])
sys.modules.update(dict.fromkeys(extras))  # importing one of them fails as if it were not installed
shown = {}
for name, *rest in commands:
    sys.argv = [f"/usr/bin/strhub-{name}", *rest]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        importlib.import_module(f"strhub.cli.{name}").main()
    shown[" ".join([name, *rest])] = printed.getvalue()
print(json.dumps(shown))
"""


@pytest.fixture(scope="module")
def shown() -> dict[str, str]:
    """What each command prints where no extra is installed, by its arguments."""
    calls = [[name, flag] for name in COMMANDS for flag in ("--help", "--version")]
    calls += [["data", name, "--help"] for name in DATA_COMMANDS]
    calls += [["model", name, "--help"] for name in MODEL_COMMANDS]
    calls += [["explain", name, "--help"] for name in ("attention", "retrieve")]
    done = subprocess.run(
        [sys.executable, "-c", SHOW, json.dumps([calls, EXTRAS])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_every_command_shows_its_whole_help_without_extras(shown: dict[str, str]) -> None:
    for call, text in shown.items():
        if call.endswith("--help"):
            assert text.startswith(f"usage: strhub-{call.removesuffix(' --help')}"), call
            assert "./" not in text.replace("file://./", ""), (
                f"{call} is called by another name in its own help"
            )
    assert "--images" in shown["read --help"]
    assert "--drop_duplicates" in shown["data filter --help"]
    for command, option in (
        ("train", "val_check_interval"),
        ("bench", "warm_up: 3"),
        ("tune", "grace_period: 20"),
    ):
        text = shown[f"{command} --help"]
        assert option in text
        assert "  root_dir: data" in text, "all options of train.py are there, too"
        assert "experiment: abinet, abinet-sv," in text


def test_every_command_tells_its_version(shown: dict[str, str]) -> None:
    for name in COMMANDS:
        assert shown[f"{name} --version"] == f"strhub-{name} (strhub {strhub.__version__})\n"


def test_the_list_of_commands() -> None:
    scripts = re.findall(
        r'^strhub-(\w+) = "strhub\.cli\.entry:(\w+)"$', (ROOT / "pyproject.toml").read_text(), re.M
    )
    assert sorted(scripts) == sorted(zip(COMMANDS, COMMANDS, strict=True))
    done = subprocess.run(
        [sys.executable, "-m", "strhub"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, listing())
    done = subprocess.run(
        [sys.executable, "-m", "strhub", "reed"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "Did you mean 'read'?" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "strhub", "read"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "usage: python -m strhub read [-h]" in done.stderr


@pytest.mark.parametrize(
    ("started", "name"),
    [
        ("./read.py", "read.py"),
        ("/usr/bin/strhub-read", "strhub-read"),
        ("C:\\strhub-read.exe", "strhub-read"),
        (str(ROOT / "strhub" / "cli" / "read.py"), "python -m strhub read"),
        ("./train.py", "read.py"),
        ("/usr/bin/pytest", "strhub-read"),
    ],
)
def test_a_command_is_called_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch, started: str, name: str
) -> None:
    monkeypatch.setattr(sys, "argv", [started])
    assert program("read") == name
    assert examples("./read.py --images a") == f"{'./' * (name == 'read.py')}{name} --images a"


def test_the_line_that_installs_an_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert install_command("train") == "pip install -e '.[train]'"
    monkeypatch.chdir(tmp_path)
    assert shlex.split(install_command("train")) == ["pip", "install", "-e", f"{ROOT}[train]"]
    monkeypatch.setattr(
        strhub, "__file__", str(tmp_path / "site-packages" / "strhub" / "__init__.py")
    )
    assert install_command("train") == "pip install 'strhub[train]'"
