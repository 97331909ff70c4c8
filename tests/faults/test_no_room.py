"""Where nothing can be written: one line that says so, and what was there before stays."""

import sys
from pathlib import Path

import pytest
from attack_support import ROOT, run_limited, run_python

NOWHERE = Path("/proc/nowhere")  # not even root can make a folder there
pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")


@pytest.mark.slow
def test_a_full_disk_leaves_the_model_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"before")
    code = (
        "import sys, strhub; model = strhub.load('strhub-tiny')\n"
        "try: strhub.save(model, sys.argv[1])\n"
        "except OSError as error: print(error)"
    )
    outcome = run_python(code, path, file_mib=1)
    assert outcome.stdout.startswith(f"{path} cannot be written: File too large"), outcome
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"before"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["train.py", "dataset=rendered", f"hydra.run.dir={NOWHERE}"],
        [
            "bench.py",
            "pretrained=strhub-tiny",
            f"json={NOWHERE}/x.json",
            f"hydra.run.dir={NOWHERE}",
        ],
        ["read.py", "--images", "demo_images/01.png", "--output", str(NOWHERE)],
        ["-m", "strhub.cli.data", "render", str(NOWHERE), "--count", "1"],
        ["-m", "strhub.cli.data", "sheet", f"{NOWHERE}/x.png"],
    ],
)
def test_a_folder_that_cannot_be_made(command: list[str]) -> None:
    outcome = run_limited([sys.executable, *command], cwd=ROOT)
    assert outcome.status == 1, outcome
    assert outcome.ended_well, outcome
    assert str(NOWHERE) in outcome.stderr.splitlines()[-1]


@pytest.mark.parametrize("home", [None, pytest.param("/proc/nowhere", marks=pytest.mark.slow)])
def test_no_home(home: str | None) -> None:
    outcome = run_limited(
        [sys.executable, "read.py", "--images", "demo_images/01.png"], environment={"HOME": home}
    )
    assert outcome.ended_well, outcome
    assert outcome.stderr == ""
    assert "clock" in outcome.stdout
