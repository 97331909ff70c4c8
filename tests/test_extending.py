"""docs/extending.md, followed to the letter in a copy of the project: its files are written, its
commands run.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COPIED = (
    "strhub",
    "demo_images",
    "train.py",
    "test.py",
    "read.py",
    "export.py",
    "bench.py",
    "hubconf.py",
)
# What makes a command short, by the script that it runs.
SHORTER = {
    "train.py": [
        "hydra.run.dir=outputs/run",
        "data.render.words=64",
        "data.render.validation=8",
        "data.num_workers=0",
        "model.batch_size=16",
        "trainer.max_epochs=1",
        "trainer.accelerator=cpu",
        "logger=csv",
        "charset=36_lowercase",
    ],
    "test.py": ["--data_root", "data", "--num_workers", "0", "--sets", "words"],
    "bench.py": ["repeats=2", "warm_up=1"],
}


def files_of_the_page() -> dict[str, str]:
    found = {}
    for _, content in BLOCK.findall(PAGE):
        first, _, rest = content.partition("\n")
        if first.startswith("# file: "):
            found[first.removeprefix("# file: ")] = rest
    return found


def commands_of_the_page() -> list[list[str]]:
    lines = [
        line
        for kind, content in BLOCK.findall(PAGE)
        if kind == "sh"
        for line in content.splitlines()
    ]
    return [shlex.split(line.replace("<run>", "run"), comments=True) for line in lines]


def test_the_network_of_the_page_is_short() -> None:
    network = files_of_the_page()["strhub/models/glance/model.py"]
    assert len([line for line in network.splitlines() if line.strip()]) <= 40


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_is_one_folder_and_one_file(tmp_path: Path) -> None:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    for name, content in files_of_the_page().items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, "utf-8")
    (tmp_path / "strhub/models/unfinished").mkdir()
    (tmp_path / "strhub/models/unfinished/__init__.py").write_text("import nothing_of_this_name\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, *args],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=250,
        )
        assert done.returncode == 0, f"{args}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run("-m", "strhub.data", "render", "data/test/words", "--count", "8", "--difficulty", "0")
    printed = {}
    for script, *args in commands_of_the_page():
        name = script.removeprefix("./")
        images = [str(path) for path in sorted((tmp_path / "demo_images").glob("*.png"))]
        args = [part for arg in args for part in (images if arg == "demo_images/*" else [arg])]
        shorter = SHORTER.get(name, [])
        if "model.encoder=stripes" in args:
            shorter = [one.replace("outputs/run", "outputs/stripes") for one in shorter]
        printed[name] = run(name, *args, *shorter)
    assert set(printed) == {"train.py", "test.py", "read.py", "export.py", "bench.py"}
    assert "words" in printed["test.py"]
    assert len(printed["read.py"].splitlines()) == len(images)
    assert (tmp_path / "glance.onnx").stat().st_size > 10_000
    sizes = (
        "import torch; hub = lambda name: torch.hub.load('.', 'create_model', name, "
        "source='local').hparams.width; "
    )
    assert run("-c", f"{sizes}print(hub('glance'), hub('glance-wide'))").split() == ["64", "128"]
    code = (
        "from strhub.training.systems.registry import system_class; print(system_class('glance'))"
    )
    assert "systems.glance.Glance" in run("-c", code)
    run("read.py", "outputs/stripes", "--images", "demo_images")
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "figures" / "street.jpg", tmp_path / "docs" / "figures")
    for content in (content for kind, content in BLOCK.findall(PAGE) if kind == "python"):
        if not content.startswith("# file: "):
            run("-c", content)
