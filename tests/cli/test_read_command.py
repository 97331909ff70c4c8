"""read.py as a user calls it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from golden_numbers import FOLDER

from strhub.cli.read import run
from strhub.weights import embedded_graph

ROOT = Path(__file__).parent.parent.parent
DEMO = sorted(str(path) for path in (ROOT / "demo_images").glob("*.png"))


def test_one_line_a_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--images", *DEMO, "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == DEMO
    assert all(0 <= float(line.rsplit(maxsplit=1)[-1]) <= 1 for line in lines)


def test_options_before_and_after_the_images(capsys: pytest.CaptureFixture[str]) -> None:
    run(
        [
            "pretrained=strhub-tiny",
            "refine_iters:int=2",
            "--images",
            *DEMO[:2],
            "decode_ar:bool=false",
            "--json",
        ]
    )
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["path"] for record in records] == DEMO[:2]
    assert all(len(record["character_confidences"]) == len(record["text"]) for record in records)


def test_a_checkpoint_by_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([str(FOLDER / "reference-lightning.ckpt"), "--images", DEMO[0]]) == 0
    assert capsys.readouterr().out.startswith(DEMO[0])


def test_bad_images_do_not_stop_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1-empty.png").touch()
    (tmp_path / "2-text.jpg").write_text("hello")
    (tmp_path / "3-good.png").write_bytes(Path(DEMO[0]).read_bytes())
    (tmp_path / "4-cut.png").write_bytes(Path(DEMO[0]).read_bytes()[:300])
    assert run(["--images", str(tmp_path), str(tmp_path / "gone.png")]) == 1
    output = capsys.readouterr()
    assert [line.split(": ")[0] for line in output.out.splitlines()] == [
        str(tmp_path / "3-good.png")
    ]
    for name, reason in (
        ("1-empty", "empty"),
        ("2-text", "not an image"),
        ("4-cut", "damaged"),
        ("gone", "No such file"),
    ):
        assert any(name in line and reason in line for line in output.err.splitlines()), name
    assert "4 of 5" in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--images", "nothing-here/*.png"], "no images found"),
        (["refine_iters:number=2", "--images", DEMO[0]], "unknown type 'number'"),
        (["refine_iters:int=two", "--images", DEMO[0]], "refine_iters:int=two"),
        (["decode_ar:bool=perhaps", "--images", DEMO[0]], "neither true nor false"),
        (["strhub-tiny", "decode_ar=false", "--images", DEMO[0]], "decode_ar:bool=false"),
        (["strhub-tiny", "refine_iters=2", "--images", DEMO[0]], "refine_iters:int=2"),
        (["strhub-tiny", "refine_iters:int=-1", "--images", DEMO[0]], "an integer of at least 0"),
        (
            [str(FOLDER / "reference-lightning.ckpt"), "refine_iters:float=2", "--images", DEMO[0]],
            "an integer of at least 0",
        ),
        (
            [str(FOLDER / "reference-lightning.ckpt"), "img_size=[32, 64]", "--images", DEMO[0]],
            "img_size is",
        ),
        (
            [str(embedded_graph("strhub-tiny")), "decode_ar=true", "--images", DEMO[0]],
            "decode_ar:bool=true",
        ),
        (
            ["strhub-tiny", "refine_itters:int=2", "--images", DEMO[0]],
            "Did you mean 'refine_iters'",
        ),
        (["pretrained=strhub-huge", "--images", DEMO[0]], "strhub-tiny"),
        (["missing.ckpt", "--images", DEMO[0]], "there is no checkpoint missing.ckpt"),
        (["--images", DEMO[0], "--device", "warp"], "cannot be used here"),
    ],
)
def test_mistakes_get_a_clear_message(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(arguments)


def test_a_image_may_have_a_name_like_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a=1.png").write_bytes(Path(DEMO[0]).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert run(["--images", "a=1.png"]) == 0


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images found"):
        run(["--images", str(tmp_path)])


def test_ctrl_c_in_the_middle(tmp_path: Path) -> None:
    """What was read is printed, there is no traceback, and the status is the one that shells
    expect.
    """
    for number in range(3000):
        (tmp_path / f"{number:04d}.png").symlink_to(DEMO[number % len(DEMO)])
    command = [sys.executable, "read.py", "--images", str(tmp_path), "--threads", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline() for _ in range(5)]
        process.send_signal(signal.SIGINT)
        lines += process.stdout.readlines()  # `communicate` would lose what was read ahead
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors.strip() == "read.py: stopped"
    assert 5 <= len(lines) < 3000
    for number, line in enumerate(lines):
        assert line.startswith(str(tmp_path / f"{number:04d}.png: "))
        assert line.endswith("\n")


def test_the_script_itself_and_a_closed_pipe() -> None:
    script = [sys.executable, "read.py", "--images", *DEMO]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == len(DEMO)
    bad = subprocess.run(
        [*script[:2], "--images", "none.png", "--device", "warp"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert bad.returncode == 1
    assert "Traceback" not in bad.stderr
    read_end, write_end = os.pipe()
    os.close(read_end)
    closed = subprocess.run(script, cwd=ROOT, stdout=write_end, stderr=subprocess.PIPE, text=True)
    os.close(write_end)
    assert "Traceback" not in closed.stderr
